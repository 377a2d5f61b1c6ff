import { expect } from 'chai';
import { decodeJwt } from 'jose';
import * as oauth from 'oauth4webapi';
import { verifies } from '../requirements.ts';
import {
  type CredentialStage,
  exchanging,
  FILES,
  startCredentialStage,
} from '../support/credential-stage.ts';
import { ProofKey } from '../support/dpop.ts';
import { CLIENT, MESH, type OidcProvider } from '../support/oidc-provider.ts';
import { type OpaqueIssuer, startOpaqueIssuer } from '../support/opaque-issuer.ts';
import { McpClient, reasonOf, type Setting, startSetting, textOf } from '../support/story.ts';

const INSECURE = { [oauth.allowInsecureRequests]: true };
const ACCEPT = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };

describe('Bound tokens of a real provider', function () {
  this.timeout(60_000);

  it(
    verifies(
      'I16',
      'HTTP-23',
      'HTTP-24',
    )('a client of the field gets one by the metadata alone, and uses it'),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const agent = await FieldClient.signIn(stage.mesh.url);
      expect(decodeJwt(agent.token).cnf).to.have.property('jkt');
      const session = await agent.initialize();
      expect(await agent.call(session, 'rec__echo', { n: 1 })).to.equal('{"n":1}');

      const [request] = stage.rec.record.requests.filter(({ body }) => body.includes('tools/call'));
      const { sub, aud } = decodeJwt(request?.authorization?.slice('Bearer '.length) ?? '');
      expect({ sub, aud }).to.deep.equal({ sub: CLIENT.id, aud: FILES });

      const stolen = await fetch(stage.mesh.url, {
        method: 'POST',
        headers: { ...ACCEPT, authorization: `Bearer ${agent.token}`, 'mcp-session-id': session },
        body: JSON.stringify({ jsonrpc: '2.0', id: 9, method: 'ping' }),
      });
      expect(stolen.status).to.equal(401);
      await stolen.body?.cancel();
    },
  );

  it(
    verifies(
      'I16',
      'RST-1',
      'RST-2',
      'BACK-6',
    )('after a restore elsewhere the backend sees the right principal, by an exchanged token'),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const people = await Promise.all(['alice', 'bob'].map((sub) => holder(stage, sub)));
      const sessions = await Promise.all(people.map(({ client }) => backendSession(client)));
      const before = stage.rec.record.requests.length;

      await stage.loseOwner();
      for (const { client, sub, key } of people) client.token = await boundToken(stage.idp, sub, key);
      expect(await Promise.all(people.map(({ client }) => backendSession(client)))).to.deep.equal(sessions);

      const later = stage.rec.record.requests.slice(before);
      expect(later).not.to.have.length(0);
      for (const { authorization = '', sessionId, headers } of stage.rec.record.requests) {
        const claims = decodeJwt(authorization.slice('Bearer '.length));
        const at = sessions.indexOf(sessionId ?? '');
        if (at >= 0) expect(claims.sub).to.equal(people[at]?.sub);
        expect({ aud: claims.aud, cnf: claims['cnf'] }).to.deep.equal({ aud: FILES, cnf: undefined });
        expect(headers).not.to.have.property('dpop');
      }
      const [alice, bob] = people;
      const thief = bob?.client.alias({ token: alice?.client.token });
      expect((await thief?.call('rec__whoami'))?.status).to.equal(401);
    },
  );

  it(
    verifies('I16', 'I14')('none is handed on to a backend: it says that an exchange is needed'),
    async () => {
      await using stage = await startCredentialStage({
        credential: () => ({ strategy: 'passthrough', audience: MESH }),
      });
      const { client } = await holder(stage, 'alice');
      const { length } = stage.rec.record.requests;
      const reply = await client.call('rec__echo', { n: 1 });
      expect(reply.status).to.equal(200);
      expect(reasonOf(reply)).to.equal('backend_unauthorized');
      expect(reply.body).to.contain('is bound to a key').and.to.contain('exchanged');
      expect(stage.rec.record.requests).to.have.length(length);
      expect((await client.call('plain__echo', { n: 1 })).status).to.equal(200);
      const bearer = await stage.open('alice');
      expect(textOf(await bearer.call('rec__echo', { n: 1 }))).to.equal('{"n":1}');
    },
  );
});

describe('Bound tokens that say nothing by themselves', function () {
  this.timeout(40_000);
  let issuer: OpaqueIssuer;
  let setting: Setting;

  before(async () => {
    issuer = await startOpaqueIssuer();
    const { id, secret } = issuer.client;
    const introspection = { clientId: id, clientSecret: { env: 'ISSUER_SECRET' } };
    setting = await startSetting({
      env: { ISSUER_SECRET: secret },
      identity: { issuers: [{ issuer: issuer.url, audiences: [MESH], introspection }] },
    });
    await setting.whole();
  });
  after(async () => {
    await setting[Symbol.asyncDispose]();
    await issuer[Symbol.asyncDispose]();
  });

  it(verifies('I16')('need a proof as well, by what their issuer says of them'), async () => {
    const key = new ProofKey();
    const token = await issuer.token({ sub: 'alice', boundTo: key.thumbprint });
    const { url } = setting.mesh;
    const client = await McpClient.open({ url, token, shows: key.shows });
    expect((await client.call('whoami')).status).to.equal(200);
    const shown = [
      ({ token: shown }: { readonly token: string }) => ({ authorization: `Bearer ${shown}` }),
      ({ token: shown }: { readonly token: string }) => ({ authorization: `DPoP ${shown}` }),
      new ProofKey().shows,
    ];
    for (const shows of shown) {
      const reply = await client.alias({ shows }).call('whoami');
      expect(reply.status, reply.body).to.equal(401);
      expect(reasonOf(reply)).to.equal('invalid_dpop_proof');
    }
  });
});

/** An OAuth client with DPoP, as the library oauth4webapi is one. */
class FieldClient {
  readonly token: string;
  readonly #url: URL;
  readonly #dpop: oauth.DPoPHandle;
  #id = 0;

  static async signIn(mesh: string): Promise<FieldClient> {
    const url = new URL(mesh);
    const refused = await fetch(url, {
      method: 'POST',
      headers: ACCEPT,
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    });
    const [challenge] = refused.headers.get('www-authenticate')?.split(', DPoP ') ?? [];
    const metadata = /resource_metadata="([^"]+)"/.exec(challenge ?? '')?.[1] ?? '';
    const resource = (await (await fetch(metadata)).json()) as {
      readonly authorization_servers: readonly string[];
      readonly dpop_signing_alg_values_supported: readonly string[];
    };
    expect(resource.dpop_signing_alg_values_supported).to.include('ES256');
    const issuer = new URL(resource.authorization_servers[0] ?? '');
    const server = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, INSECURE),
    );
    const client = { client_id: CLIENT.id };
    const dpop = oauth.DPoP({}, await oauth.generateKeyPair('ES256'));
    const granted = await oauth.clientCredentialsGrantRequest(
      server,
      client,
      oauth.ClientSecretBasic(CLIENT.secret),
      { scope: 'read', resource: MESH },
      { ...INSECURE, DPoP: dpop },
    );
    const { access_token: token, token_type: type } = await oauth.processClientCredentialsResponse(
      server,
      client,
      granted,
    );
    expect(type).to.equal('dpop');
    return new FieldClient(url, token, dpop);
  }

  private constructor(url: URL, token: string, dpop: oauth.DPoPHandle) {
    this.#url = url;
    this.token = token;
    this.#dpop = dpop;
  }

  /** The id of the session. */
  async initialize(): Promise<string> {
    const clientInfo = { name: 'a client of the field', version: '1' };
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
    const response = await this.#send('initialize', params);
    await response.body?.cancel();
    return response.headers.get('mcp-session-id') ?? '';
  }

  async call(session: string, name: string, args: Readonly<Record<string, unknown>>): Promise<string> {
    const response = await this.#send('tools/call', { name, arguments: args }, session);
    const { result } = (await response.json()) as { result: { content: { text: string }[] } };
    return result.content[0]?.text ?? '';
  }

  #send(method: string, params: unknown, session?: string): Promise<Response> {
    this.#id += 1;
    const body = JSON.stringify({ jsonrpc: '2.0', id: this.#id, method, params });
    const headers = new Headers({
      ...ACCEPT,
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
    });
    const options = { ...INSECURE, DPoP: this.#dpop };
    return oauth.protectedResourceRequest(this.token, 'POST', this.#url, headers, body, options);
  }
}

interface Holder {
  readonly sub: string;
  readonly key: ProofKey;
  readonly client: McpClient;
}

/** A session of somebody whose tokens are bound to a key. */
async function holder({ idp, mesh }: CredentialStage, sub: string): Promise<Holder> {
  const key = new ProofKey();
  const token = await boundToken(idp, sub, key);
  return { sub, key, client: await McpClient.open({ url: mesh.url, token, shows: key.shows }) };
}

function boundToken(idp: OidcProvider, sub: string, { thumbprint }: ProofKey): Promise<string> {
  return idp.token({ sub, boundTo: thumbprint });
}

async function backendSession(client: McpClient): Promise<string> {
  const { sessionId } = JSON.parse(textOf(await client.call('rec__whoami'))) as { sessionId: string };
  return sessionId;
}
