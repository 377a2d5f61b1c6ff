import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';
import { MESH } from './oidc-provider.ts';

/** A real OpenID provider (npm `oidc-provider`) whose tokens say nothing by themselves. */
export interface OpaqueIssuer extends AsyncDisposable {
  readonly url: string;
  /** The credential of the mesh at its introspection endpoint. */
  readonly client: { readonly id: string; readonly secret: string };
  /** How often it was asked about tokens. */
  readonly asked: () => number;
  /** An access token of a person, for the mesh. */
  token(options: {
    readonly sub: string;
    readonly scope?: string;
    /** The thumbprint of the key that it is bound to. */
    readonly boundTo?: string;
  }): Promise<string>;
  revoke(token: string): Promise<void>;
  /** Connections are cut from now on, or are not. */
  down(isDown: boolean): void;
}

const TTL_S = 300;
const RESOURCE = {
  audience: MESH,
  scope: 'read write',
  accessTokenFormat: 'opaque',
  accessTokenTTL: TTL_S,
} as const;

export async function startOpaqueIssuer(): Promise<OpaqueIssuer> {
  let asked = 0;
  let isDown = false;
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = { id: 'mesh', secret: 'the-secret-of-the-mesh-at-this-issuer' };
  const provider = new Provider(url, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      { client_id: 'agent', token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1/done'] },
    ],
    ttl: { AccessToken: TTL_S, Grant: TTL_S },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      resourceIndicators: { enabled: true, getResourceServerInfo: () => RESOURCE },
    },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url?.endsWith('/introspection') === true) asked += 1;
    if (isDown) request.socket.destroy();
    else void answer(request, response);
  });
  return {
    url,
    client,
    asked: () => asked,
    async token({ sub, scope = 'read', boundTo }) {
      const agent = await provider.Client.find('agent');
      if (agent === undefined) throw new Error('the issuer does not know its client');
      const grant = new provider.Grant({ accountId: sub, clientId: 'agent' });
      grant.addResourceScope(MESH, scope);
      const token = new provider.AccessToken({
        accountId: sub,
        client: agent,
        grantId: await grant.save(),
        gty: 'authorization_code',
        scope,
      });
      token.resourceServer = new provider.ResourceServer(MESH, RESOURCE);
      if (boundTo !== undefined) token.setThumbprint('jkt', boundTo);
      return await token.save();
    },
    async revoke(token) {
      await (await provider.AccessToken.find(token))?.destroy();
    },
    down(next) {
      isDown = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
