import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { verifies } from '../requirements.ts';
import { FILES, providerSection } from '../support/credential-stage.ts';
import { HeadlessLogin } from '../support/headless-login.ts';
import { startMesh } from '../support/mesh.ts';
import { CLIENT, startOidcProvider } from '../support/oidc-provider.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

describe('a client that knows nothing but the URL', function () {
  this.timeout(30_000);

  it(
    verifies(
      'HTTP-23',
      'HTTP-24',
      'HTTP-25',
    )('logs in by the metadata alone, and its calls reach the backend under an exchanged token'),
    async () => {
      await using idp = await startOidcProvider({ login: 'alice' });
      await using rec = await RecordingBackend.start();
      await using mesh = await startMesh({
        config: {
          mcpServers: {
            rec: {
              url: rec.url,
              credential: {
                strategy: 'token_exchange',
                provider: providerSection(idp),
                audience: [FILES],
                scopes: ['read'],
              },
            },
          },
          identity: { issuers: [{ issuer: idp.url }], acceptLoopbackAudience: true },
          advertise: { scopes: ['read'] },
        },
        env: { OUTRIGGER_TEST_CLIENT_SECRET: CLIENT.secret },
      });
      const login = new HeadlessLogin();
      const url = new URL(mesh.url);

      const knocking = new StreamableHTTPClientTransport(url, { authProvider: login });
      const refused = await new Client({ name: 'agent', version: '1' }).connect(knocking).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(refused).to.be.instanceOf(UnauthorizedError);
      const [authorization] = login.visited;
      expect(authorization?.origin).to.equal(idp.url);
      expect(Object.fromEntries(authorization?.searchParams ?? [])).to.include({
        resource: mesh.url,
        scope: 'read',
        code_challenge_method: 'S256',
      });
      await knocking.finishAuth(login.code ?? '');

      const client = new Client({ name: 'agent', version: '1' });
      await client.connect(new StreamableHTTPClientTransport(url, { authProvider: login }));
      try {
        const { content } = await client.callTool({ name: 'echo', arguments: { n: 1 } });
        expect(content).to.deep.equal([{ type: 'text', text: '{"n":1}' }]);
      } finally {
        await client.close();
      }
      const own = decodeJwt(login.tokens()?.access_token ?? '');
      expect(own).to.include({ sub: 'alice', aud: mesh.url });
      const [execution] = rec.record.executions;
      const shown = decodeJwt(execution?.authorization?.slice('Bearer '.length) ?? '');
      expect(shown).to.include({ sub: 'alice', aud: FILES, iss: idp.url });
    },
  );
});
