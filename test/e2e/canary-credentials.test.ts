import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Canaries, type Place } from '../support/canaries.ts';
import {
  type CredentialStage,
  HEADER_SECRET,
  type Providers,
  providerSection,
  startCredentialStage,
} from '../support/credential-stage.ts';
import type { McpClient, Reply } from '../support/mcp-client.ts';
import { CLIENT } from '../support/oidc-provider.ts';
import { filesBelow, metricsAt } from '../support/places.ts';

/** Each with its own way to a provider; what goes wrong there may not say what was shown or given. */
const ENTRIES: Readonly<Record<string, (providers: Providers) => Readonly<Record<string, unknown>>>> = {
  exchanged: ({ idp }) => ({ strategy: 'token_exchange', provider: providerSection(idp) }),
  asserted: ({ idp, resources }) => ({
    strategy: 'id_jag',
    identityProvider: providerSection(idp),
    authorizationServer: providerSection(resources),
  }),
  keyed: ({ idp }) => ({
    strategy: 'client_credentials',
    provider: {
      issuer: idp.url,
      client: { id: 'keyed', auth: 'private_key_jwt', key: { env: 'OUTRIGGER_TEST_CLIENT_KEY' } },
    },
  }),
  signed: ({ sts }) => ({
    strategy: 'aws_sigv4',
    roleArn: 'arn:aws:iam::123456789012:role/agents',
    region: 'eu-central-1',
    service: 'execute-api',
    stsEndpoint: sts.url,
  }),
};

describe('no token that was exchanged, and nothing it was exchanged with, is anywhere but where it belongs', function () {
  this.timeout(60_000);

  for (const [name, credential] of Object.entries(ENTRIES)) {
    it(verifies('I17', 'OBS-1')(name), async () => {
      await using stage = await startCredentialStage({ credential, logLevel: 'debug' });
      const heard: Place[] = [];
      const alice = await stage.open('alice');
      const canaries = new Canaries();
      await life(stage, alice, (what, { status, headers, body }) => {
        const { 'mcp-session-id': _id, ...others } = headers;
        heard.push({ name: what, content: `${status} ${JSON.stringify(others)}\n${body}` });
      });
      plant(canaries, stage);
      const places = [
        ...heard,
        { name: 'the logs', content: stage.mesh.log().join('\n') },
        ...(await metricsAt(stage.mesh.replicas.filter(({ alive }) => alive).map(({ ops }) => ops))),
        ...(await filesBelow(stage.mesh.stateFolder)),
      ];
      const found = canaries.in(places);
      expect(found, `\n${found.join('\n')}\n`).to.deep.equal([]);
      expect(stage.mesh.log().join('\n')).to.contain('no credential was issued');
    });
  }
});

/** A life with all that can go wrong on the way to a credential. */
async function life(
  stage: CredentialStage,
  alice: McpClient,
  keep: (what: string, reply: Reply) => void,
): Promise<void> {
  const { idp, rec, sts } = stage;
  const call = async (what: string) => keep(what, await alice.call('rec__echo', { n: 1 }));
  await call('a call');
  rec.next('tools/call', { status: 401, body: JSON.stringify(rec.record.requests[0]?.headers ?? {}) });
  await call('a refused credential');
  rec.next('tools/call', { status: 403 });
  await call('a forbidden call');
  await stage.loseOwner();
  // The other replica has the keys of the issuer then, which is down soon.
  keep('a call elsewhere', await alice.call('plain__echo'));
  sts.refuse(true);
  for (const outage of ['error', 'garbage', 'down'] as const) {
    idp.outage(outage);
    await call(`a provider that is ${outage}`);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
  }
  idp.outage('none');
  sts.refuse(false);
  await new Promise((resolve) => setTimeout(resolve, 2_050));
  await call('a call after a restore');
  const token = await idp.token({ sub: 'mallory' });
  idp.revoke(token);
  const mallory = alice.alias({ token, sessionId: '' });
  keep('initialize with a revoked token', await mallory.initialize());
  keep('a call with a revoked token', await mallory.call('rec__echo'));
}

function plant(canaries: Canaries, { idp, resources, rec, sts }: CredentialStage): void {
  canaries.add('the secret of the mesh', CLIENT.secret);
  canaries.add('the static secret', HEADER_SECRET);
  for (const [at, line] of idp.clientKey.trim().split('\n').slice(1, -1).entries())
    canaries.add(`line ${at + 1} of the private key`, line);
  const shown = [...idp.grants, ...resources.grants].flatMap(({ form }) =>
    ['subject_token', 'assertion', 'client_assertion'].flatMap((name) => form[name] ?? []),
  );
  for (const [at, token] of shown.entries())
    canaries.addToken(`token ${at + 1} that a provider was shown`, token);
  for (const form of sts.asked)
    canaries.addToken('a token that STS was shown', form.get('WebIdentityToken') ?? '');
  const seen = new Set(
    rec.record.requests.map(({ authorization = '' }) => authorization.replace(/^Bearer /, '')),
  );
  for (const each of seen) {
    const id = /Credential=(\w+)\//.exec(each)?.[1];
    if (id === undefined) canaries.addToken('a token that the backend was shown', each);
    else canaries.add('a temporary secret', sts.secretOf(id) ?? '');
  }
}
