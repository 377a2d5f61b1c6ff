import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { verifies } from '../requirements.ts';
import {
  type CredentialStage,
  exchanging,
  FILES,
  HEADER_SECRET,
  type Providers,
  providerSection,
  startCredentialStage,
} from '../support/credential-stage.ts';
import { type McpClient, textOf } from '../support/mcp-client.ts';
import { MESH } from '../support/oidc-provider.ts';
import type { RecordedRequest } from '../support/recording-backend.ts';

interface Strategy {
  readonly credential: (providers: Providers) => Readonly<Record<string, unknown>>;
  /** Whom a request speaks for, after everything that can be checked in its credential was. */
  readonly speaksFor: (request: RecordedRequest, stage: CredentialStage) => Promise<string> | string;
  /** Whether each caller has a credential of its own, and who has it then. */
  readonly own?: (sub: string) => string;
}

const claimsOf = ({ authorization = '' }: RecordedRequest) => {
  expect(authorization).to.match(/^Bearer /);
  return decodeJwt(authorization.slice('Bearer '.length));
};

const STRATEGIES: Readonly<Record<string, Strategy>> = {
  token_exchange: {
    credential: exchanging,
    speaksFor(request, { idp }) {
      const { sub, iss, aud, scope } = claimsOf(request);
      expect({ iss, aud, scope }).to.deep.equal({ iss: idp.url, aud: FILES, scope: 'read' });
      return sub ?? '';
    },
    own: (sub) => sub,
  },
  id_jag: {
    credential: ({ idp, resources }) => ({
      strategy: 'id_jag',
      identityProvider: providerSection(idp),
      authorizationServer: providerSection(resources),
      resource: FILES,
      scopes: ['read'],
    }),
    speaksFor(request, { resources }) {
      const { sub, iss, aud } = claimsOf(request);
      expect({ iss, aud }).to.deep.equal({ iss: resources.url, aud: FILES });
      return sub ?? '';
    },
    own: (sub) => `local:${sub}`,
  },
  client_credentials: {
    credential: ({ idp }) => ({
      strategy: 'client_credentials',
      provider: {
        issuer: idp.url,
        client: {
          id: 'keyed',
          auth: 'private_key_jwt',
          key: { env: 'OUTRIGGER_TEST_CLIENT_KEY' },
          keyId: 'keyed-1',
        },
      },
      resource: [FILES],
      scopes: ['read'],
    }),
    speaksFor: (request) => String(claimsOf(request).sub),
  },
  aws_sigv4: {
    credential: ({ sts }) => ({
      strategy: 'aws_sigv4',
      roleArn: 'arn:aws:iam::123456789012:role/agents',
      region: 'eu-central-1',
      service: 'bedrock-agentcore',
      stsEndpoint: sts.url,
    }),
    speaksFor: signedBy,
    own: (sub) => sub,
  },
  passthrough: {
    credential: () => ({ strategy: 'passthrough', audience: MESH }),
    speaksFor(request) {
      const { sub, aud } = claimsOf(request);
      expect(aud).to.equal(MESH);
      return sub ?? '';
    },
    own: (sub) => sub,
  },
  header: {
    credential: () => ({
      strategy: 'header',
      name: 'Authorization',
      prefix: 'Bearer ',
      value: { env: 'OUTRIGGER_TEST_HEADER' },
    }),
    speaksFor(request) {
      expect(request.authorization).to.equal(`Bearer ${HEADER_SECRET}`);
      return 'the mesh';
    },
  },
  none: {
    credential: () => ({ strategy: 'none' }),
    speaksFor(request) {
      expect(request.authorization).to.equal(undefined);
      return 'nobody';
    },
  },
};

/** Makes the signature again from what arrived, with the secret of the key that it names: one bit of it elsewhere and it differs. */
async function signedBy(request: RecordedRequest, { rec, sts }: CredentialStage): Promise<string> {
  const { authorization = '', headers } = request;
  const [, accessKeyId = '', signed = ''] =
    /Credential=(\w+)\/\d{8}\/eu-central-1\/bedrock-agentcore\/aws4_request, SignedHeaders=([\w;-]+)/.exec(
      authorization,
    ) ?? [];
  expect(signed.split(';')).to.include.members(['host', 'x-amz-date', 'x-amz-security-token']);
  expect(headers['x-amz-security-token']).to.equal(`session-of-${accessKeyId}`);
  const covered = signed.split(';').filter((name) => !name.startsWith('x-amz-'));
  const url = new URL(rec.url);
  const signer = new SignatureV4({
    credentials: {
      accessKeyId,
      secretAccessKey: sts.secretOf(accessKeyId) ?? '',
      sessionToken: `session-of-${accessKeyId}`,
    },
    ...{ region: 'eu-central-1', service: 'bedrock-agentcore', sha256: Sha256 },
  });
  const again = await signer.sign(
    {
      method: request.method,
      ...{ protocol: 'http:', hostname: url.hostname, path: url.pathname, query: {} },
      headers: Object.fromEntries(covered.map((name) => [name, String(headers[name])])),
      body: request.body === '' ? undefined : request.body,
    },
    { signingDate: dateOf(String(headers['x-amz-date'])) },
  );
  expect(again.headers['authorization']).to.equal(authorization);
  return sts.subjectOf(accessKeyId) ?? '';
}

function dateOf(amz: string): Date {
  return new Date(amz.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

/** Per caller: the session that it has at the backend. */
async function backendSession(client: McpClient): Promise<string> {
  const { sessionId } = JSON.parse(textOf(await client.call('rec__whoami'))) as { sessionId: string };
  return sessionId;
}

describe('after a restore on another replica the backend sees the right principal’s fresh credential', function () {
  this.timeout(60_000);

  for (const [name, { credential, speaksFor, own }] of Object.entries(STRATEGIES)) {
    it(verifies('RST-1', 'RST-2', 'BACK-6')(name), async () => {
      await using stage = await startCredentialStage({ credential });
      const subs = ['alice', 'bob'];
      const clients = await Promise.all(subs.map((sub) => stage.open(sub)));
      const sessions = await Promise.all(clients.map(backendSession));
      expect(new Set(sessions).size).to.equal(2);
      const before = stage.rec.record.requests.length;

      await stage.loseOwner();
      for (const [index, client] of clients.entries())
        client.token = await stage.idp.token({ sub: subs[index] ?? '' });
      const after = await Promise.all(clients.map(backendSession));

      expect(after, 'the hint was good').to.deep.equal(sessions);
      for (const request of stage.rec.record.requests) {
        const found = await speaksFor(request, stage);
        const at = sessions.indexOf(request.sessionId ?? '');
        if (own !== undefined && at >= 0) expect(found).to.equal(own(subs[at] ?? ''));
      }
      const shown = (from: number, to?: number) =>
        new Set(stage.rec.record.requests.slice(from, to).map(({ authorization }) => authorization));
      if (own !== undefined && name !== 'aws_sigv4') {
        const earlier = shown(0, before);
        for (const each of shown(before)) expect(earlier.has(each), 'obtained anew').to.equal(false);
      }
      expect([
        ...new Set(stage.plain.record.requests.map(({ authorization }) => authorization)),
      ]).to.deep.equal([undefined]);
    });
  }
});
