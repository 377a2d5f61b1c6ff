import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { verifies } from '../requirements.ts';
import {
  type CredentialStage,
  exchanging,
  FILES,
  startCredentialStage,
} from '../support/credential-stage.ts';
import { type McpClient, type Reply, reasonOf } from '../support/mcp-client.ts';
import { metric, until } from '../support/story.ts';

/** Whom each execution of a tool at the guarded backend was authorized for. */
function executedFor({ rec }: CredentialStage): (string | undefined)[] {
  return rec.record.executions.map(
    ({ authorization = '' }) => decodeJwt(authorization.slice('Bearer '.length)).sub,
  );
}

const calls = ({ rec }: CredentialStage) => rec.view.requests({ rpc: 'tools/call' });
const errorOf = (reply: Reply) => reply.answer?.error?.data;

async function works(client: McpClient, backend: 'rec' | 'plain'): Promise<void> {
  const reply = await client.call(`${backend}__echo`, { n: 1 });
  expect(reply.answer?.result, reply.body).to.be.an('object');
}

describe('a backend that takes exchanged tokens', function () {
  this.timeout(30_000);

  it(
    verifies('RST-2', 'RST-4')('N callers at once cause N exchanges, however many calls they make'),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const subs = ['alice', 'bob', 'carol', 'dave'];
      const clients = await Promise.all(subs.map((sub) => stage.open(sub)));
      await Promise.all(clients.flatMap((client) => Array.from({ length: 8 }, () => works(client, 'rec'))));
      expect(
        stage.idp.grants.map(({ form }) => decodeJwt(form['subject_token'] ?? '').sub).sort(),
      ).to.deep.equal(subs);
      const served = new Map<string | undefined, number>();
      for (const sub of executedFor(stage)) served.set(sub, (served.get(sub) ?? 0) + 1);
      expect(Object.fromEntries(served)).to.deep.equal({ alice: 8, bob: 8, carol: 8, dave: 8 });
    },
  );

  it(
    verifies('RST-10')(
      'goes on under a refreshed token of the caller, and a new one of its own when that has ended',
    ),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      // It is replaced after half of its life.
      stage.idp.misbehave({ expiresIn: 10 });
      const alice = await stage.open('alice');
      await works(alice, 'rec');
      alice.token = await stage.idp.token({ sub: 'alice' });
      await works(alice, 'rec');
      await sleep(5_100);
      await works(alice, 'rec');
      const shown = calls(stage).map(({ authorization }) => authorization);
      expect(shown[0]).to.equal(shown[1]);
      expect(shown[2]).to.not.equal(shown[0]);
      expect(executedFor(stage)).to.deep.equal(['alice', 'alice', 'alice']);
      expect(stage.idp.grants).to.have.length(2);
    },
  );

  it(verifies('BACK-6', 'B3')('that refuses one gets another, once, and the call is done once'), async () => {
    await using stage = await startCredentialStage({ credential: exchanging });
    const alice = await stage.open('alice');
    await works(alice, 'rec');
    const [first] = calls(stage);
    stage.rec.script({ refuse: { [first?.authorization ?? '']: 401 } });
    await works(alice, 'rec');
    const [, refused, again] = calls(stage);
    expect(refused?.authorization).to.equal(first?.authorization);
    expect(again?.authorization).to.not.equal(first?.authorization);
    expect(executedFor(stage)).to.deep.equal(['alice', 'alice']);
    expect(stage.idp.grants).to.have.length(2);
  });

  it(
    verifies(
      'BACK-6',
      'B3',
    )('that refuses whatever it gets: an error for that caller alone, and no run on the provider'),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const [alice, bob] = [await stage.open('alice'), await stage.open('bob')];
      for (const client of [alice, bob]) await works(client, 'rec');
      for (let refusals = 0; refusals < 4; refusals += 1) stage.rec.next('tools/call', { status: 401 });
      const challenge = { 'www-authenticate': 'Bearer resource_metadata="http://127.0.0.1:9/evil"' };
      stage.rec.next('tools/call', { status: 401, headers: challenge });
      for (let call = 0; call < 4; call += 1) {
        const reply = await alice.call('rec__echo');
        expect(reply.status).to.equal(200);
        expect(errorOf(reply)).to.deep.equal({
          reason: 'backend_unauthorized',
          retryable: false,
          backend: 'rec',
        });
        expect(`${JSON.stringify(reply.headers)} ${reply.body}`).to.not.contain('evil');
      }
      expect(stage.idp.grants, 'one for each, and one more for her').to.have.length(3);
      await works(bob, 'rec');
      await works(alice, 'plain');
      await works(alice, 'rec');
    },
  );

  it(
    verifies(
      'BACK-6',
      'HTTP-23',
      'HTTP-24',
    )(
      'that wants more scopes: our own challenge, with all of them; scopes that we do not know are not repeated',
    ),
    async () => {
      const resource = 'https://mesh.example/mcp';
      await using stage = await startCredentialStage({
        credential: exchanging,
        config: { advertise: { resource, scopes: ['read', 'write'] } },
      });
      const alice = await stage.open('alice');
      const wanting = (scope: string) => {
        const challenge = `Bearer error="insufficient_scope", scope="${scope}", resource_metadata="http://127.0.0.1:9/evil"`;
        stage.rec.next('tools/call', { status: 403, headers: { 'www-authenticate': challenge } });
      };
      wanting('write');
      const stepUp = await alice.call('rec__echo');
      expect(stepUp.status).to.equal(403);
      expect(stepUp.headers['www-authenticate'])
        .to.contain('error="insufficient_scope", scope="read write"')
        .and.to.contain('/.well-known/oauth-protected-resource')
        .and.not.to.contain('evil');
      wanting('root');
      const refused = await alice.call('rec__echo');
      expect(errorOf(refused)).to.include({ reason: 'backend_unauthorized' });
      expect(refused.body).to.not.contain('root');
      await works(alice, 'rec');
    },
  );

  it(
    verifies(
      'I12',
      'I15',
      'B3',
    )('of a caller whose token its provider has revoked: refused, and nobody else notices'),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const token = await stage.idp.token({ sub: 'mallory' });
      stage.idp.revoke(token);
      const mallory = await stage.open('alice').then((client) => client.alias({ token, sessionId: '' }));
      expect((await mallory.initialize()).answer?.result).to.deep.include({
        _meta: {
          'dev.outrigger/backends': {
            rec: {
              status: 'unavailable',
              reason: 'backend_unauthorized',
              message: 'No credential for the backend "rec" is given to this caller.',
            },
          },
        },
      });
      await works(mallory, 'plain');
      expect(errorOf(await mallory.call('rec__echo'))).to.deep.equal({
        reason: 'backend_unauthorized',
        retryable: false,
        backend: 'rec',
      });
      await works(await stage.open('bob'), 'rec');
      expect(executedFor(stage)).to.deep.equal(['bob']);
    },
  );

  for (const how of [{ sub: 'bob' }, { scope: 'read admin' }]) {
    it(
      verifies('I15', 'RST-2')(`never sees a token with ${JSON.stringify(how)} that was not asked for`),
      async () => {
        await using stage = await startCredentialStage({ credential: exchanging });
        stage.idp.misbehave(how);
        const alice = await stage.open('alice');
        expect(reasonOf(await alice.call('rec__echo'))).to.equal('backend_unauthorized');
        await works(alice, 'plain');
        expect(stage.rec.record.requests).to.deep.equal([]);
      },
    );
  }

  it(
    verifies(
      'I9',
      'I15',
    )(
      'when the provider is down: its backends fail, retryably and by name; sessions, other backends and tokens in hand go on',
    ),
    async () => {
      await using stage = await startCredentialStage({ credential: exchanging });
      const [alice, bob] = [await stage.open('alice'), await stage.open('bob')];
      await works(alice, 'rec');
      const fresh = await stage.idp.token({ sub: 'bob', scope: 'read write' });
      stage.idp.outage('down');
      bob.token = fresh;
      const reply = await bob.call('rec__echo');
      expect(errorOf(reply)).to.include({
        reason: 'credential_unavailable',
        retryable: true,
        backend: 'rec',
      });
      await works(bob, 'plain');
      await works(alice, 'rec');
      stage.idp.outage('none');
      await until(
        'bob is served again',
        async () => (await bob.call('rec__echo')).answer?.result !== undefined,
      );
      expect(executedFor(stage).filter((sub) => sub !== 'alice')).to.deep.equal(['bob']);
    },
  );

  it(verifies('I9')('when the provider rotates its keys'), async () => {
    await using stage = await startCredentialStage({ credential: exchanging });
    await works(await stage.open('alice'), 'rec');
    stage.idp.rotate();
    await sleep(1_000);
    await works(await stage.open('bob'), 'rec');
    expect(executedFor(stage)).to.deep.equal(['alice', 'bob']);
  });

  it(
    verifies(
      'BACK-3',
      'I12',
    )('is listened to under the exchanged token, and under the next one when that has ended'),
    async () => {
      await using stage = await startCredentialStage({
        credential: exchanging,
        identity: { tokenGrace: '200ms' },
      });
      stage.idp.misbehave({ expiresIn: 2 });
      const alice = await stage.open('alice');
      const stream = await alice.listen();
      const listened = () =>
        stage.rec.view.requests({ method: 'GET' }).map(({ authorization = '' }) => authorization);
      await until('it is listened to anew', () => new Set(listened()).size >= 2, 8_000);
      for (const authorization of listened())
        expect(decodeJwt(authorization.slice('Bearer '.length))).to.include({ sub: 'alice', aud: FILES });
      await stage.rec.listeners(1);
      stage.rec.push({ method: 'notifications/message', params: { level: 'error', data: 'heard' } });
      await stream.message('notifications/message');
      stream.drop();
    },
  );

  it(verifies('OBS-1')('counts what providers were asked, by backend and outcome'), async () => {
    await using stage = await startCredentialStage({ credential: exchanging });
    await works(await stage.open('alice'), 'rec');
    const counted = await Promise.all(
      stage.mesh.replicas.map((each) => metric(each, 'outrigger_credential_exchange_seconds_count')),
    );
    expect(counted.reduce((sum, each) => sum + each, 0)).to.equal(1);
  });
});

describe('passthrough', function () {
  this.timeout(30_000);

  it(
    verifies('I14')(
      'is said to be non-conformant at the start, and hands nothing on that is not meant for the backend',
    ),
    async () => {
      await using stage = await startCredentialStage({
        credential: () => ({ strategy: 'passthrough', audience: FILES }),
      });
      const warnings = stage.mesh.log().filter((line) => line.includes('token_passthrough'));
      expect(warnings, 'once a replica').to.have.length(2);
      const alice = await stage.open('alice');
      const reply = await alice.call('rec__echo');
      expect(reply.answer?.error?.code).to.equal(-32000);
      expect(errorOf(reply)).to.deep.equal({
        reason: 'audience_not_allowed',
        retryable: false,
        backend: 'rec',
      });
      await works(alice, 'plain');
      expect(stage.rec.record.requests).to.deep.equal([]);
    },
  );
});
