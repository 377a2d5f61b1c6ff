import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { FeedPort } from '../../control-plane/capabilities/feed.ts';
import { CapabilityHub } from '../../control-plane/capabilities/hub.ts';
import type { Exchange } from '../../control-plane/rpc/exchange.ts';
import { LocalLists } from '../../sidecar/capabilities/local-lists.ts';
import { verifies } from '../requirements.ts';
import { trusting, type VerifierUnderTest, verifierFor } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { rawReplica } from '../support/mesh-raw.ts';
import {
  connected,
  send,
  startClient,
  startReplica,
  type TestClient,
  until,
} from '../support/mesh-stream.ts';

/** Says who asked. */
function whoAmI({ caller, reply }: Exchange): void {
  reply.json([Buffer.from(caller.kind === 'identified' ? caller.binding.subject : 'anonymous')]);
}

interface Mesh extends AsyncDisposable {
  readonly issuer: TestIssuer;
  readonly identity: VerifierUnderTest;
  readonly replica: Awaited<ReturnType<typeof startReplica>>;
  readonly client: TestClient;
  ask(token: string | undefined): Promise<string>;
}

async function startMesh(options: { anonymous?: boolean; maxCredentials?: number } = {}): Promise<Mesh> {
  const issuer = await startIssuer();
  const identity = verifierFor([trusting(issuer)], { anonymous: options.anonymous ?? false });
  const replica = await startReplica({
    verifier: identity.verifier,
    handle: whoAmI,
    limits: { credentialsPerStream: options.maxCredentials ?? 1_000 },
  });
  const client = startClient([replica.address]);
  await connected(client);
  return {
    issuer,
    identity,
    replica,
    client,
    async ask(token) {
      const authorization = token === undefined ? undefined : `Bearer ${token}`;
      const { kind, text, error } = await send(client, 'who am I', { authorization }).answered;
      return kind === 'json' ? text : (error?.reason ?? kind);
    },
    async [Symbol.asyncDispose]() {
      await client.close(0);
      await replica.server.stop();
      await issuer.stop();
    },
  };
}

describe('credentials on the mesh stream', () => {
  it(
    verifies('X9b')(
      'a bearer under which lists are granted is looked at again, and revoked if it is not good any more',
    ),
    async () => {
      const issuer = await startIssuer();
      const identity = verifierFor([trusting(issuer)]);
      const ports: FeedPort[] = [];
      await using replica = await startReplica({
        verifier: identity.verifier,
        handle: whoAmI,
        openFeed(port) {
          ports.push(port);
          return hub.open(port);
        },
      });
      const hub = new CapabilityHub({
        lists: { known: () => undefined },
        clock: identity.clock,
        key: Buffer.alloc(32),
        sessionIdleMs: 60_000,
      });
      await using client = startClient([replica.address], { lists: new LocalLists() });
      await connected(client);
      const authorization = `Bearer ${issuer.token({ sub: 'alice' })}`;
      expect((await send(client, 'who am I', { authorization }).answered).text).to.equal('alice');
      const credentials = () => client.streams()[0]?.counters.credentials;
      for (const port of ports) port.recheck(1);
      identity.clock.forward(61_000);
      for (const port of ports) port.recheck(1);
      await sleep(100);
      expect(credentials()).to.equal(1);
      identity.clock.forward(300_000);
      for (const port of ports) port.recheck(1);
      await until(() => credentials() === 0);
      expect(replica.server.streams()[0]?.sync()).to.deep.equal([]);
      await issuer.stop();
    },
  );

  it(verifies('I12')('who is about to listen when its bearer is revoked never does'), async () => {
    const issuer = await startIssuer();
    const identity = verifierFor([trusting(issuer)]);
    const ports: FeedPort[] = [];
    const slow: Exchange[] = [];
    await using replica = await startReplica({
      verifier: identity.verifier,
      handle: (exchange) => void slow.push(exchange),
      openFeed(port) {
        ports.push(port);
        return hub.open(port);
      },
    });
    const hub = new CapabilityHub({
      lists: { known: () => undefined },
      clock: identity.clock,
      key: Buffer.alloc(32),
      sessionIdleMs: 60_000,
    });
    await using client = startClient([replica.address], { lists: new LocalLists() });
    await connected(client);
    const authorization = `Bearer ${issuer.token({ sub: 'alice' })}`;
    const [early, late] = [0, 1].map(() => send(client, undefined, { kind: 'listen', authorization }));
    await until(() => slow.length === 2);
    slow[0]?.reply.stream();
    identity.clock.forward(600_000);
    for (const port of ports) port.recheck(1);
    expect((await late?.answered)?.error?.reason).to.equal('unauthenticated');
    slow[1]?.reply.stream();
    expect(slow.map(({ reply }) => reply.closed)).to.deep.equal([false, true]);
    early?.cancel('cancelled');
    await issuer.stop();
  });

  it('a bearer crosses once, is verified once, and finds its own principal each time', async () => {
    await using mesh = await startMesh();
    const tokens = ['alice', 'bob'].map((sub) => mesh.issuer.token({ sub }));
    const asked = await Promise.all([0, 1, 0, 1, 1, 0].map((which) => mesh.ask(tokens[which])));
    expect(asked).to.deep.equal(['alice', 'bob', 'alice', 'bob', 'bob', 'alice']);
    expect(mesh.client.streams()[0]!.counters.credentials).to.equal(2);
    expect(mesh.replica.server.streams()[0]!.counters.credentials).to.equal(2);
  });

  it('an exchange whose credential waits for its verdict holds nobody else up', async () => {
    await using mesh = await startMesh();
    const alice = mesh.issuer.token({ sub: 'alice' });
    expect(await mesh.ask(alice)).to.equal('alice');
    mesh.issuer.rotate();
    mesh.issuer.outage('slow');
    mesh.identity.clock.forward(31_000);
    let told = false;
    const waiting = mesh.ask(mesh.issuer.token({ sub: 'carol' })).then((answer) => {
      told = true;
      return answer;
    });
    expect(await mesh.ask(alice)).to.equal('alice');
    expect(await mesh.ask(alice)).to.equal('alice');
    expect(told).to.equal(false);
    expect(await waiting).to.equal('unavailable');
  });

  it(verifies('G11')('a refused one is 401, and is refused by the sidecar alone for a while'), async () => {
    await using mesh = await startMesh();
    const forged = mesh.issuer.token({ signature: () => Buffer.alloc(64) });
    expect(await mesh.ask(forged)).to.equal('unauthenticated');
    await until(() => mesh.replica.server.streams()[0]!.counters.credentials === 0);
    const { framesIn } = mesh.replica.server.streams()[0]!.counters;
    expect(await mesh.ask(forged)).to.equal('unauthenticated');
    expect(mesh.replica.server.streams()[0]!.counters.framesIn).to.equal(framesIn);
    expect(mesh.replica.arrived).to.have.length(0);
  });

  it(verifies('G11')('an expired one is 401, and a fresh one of the same principal goes on'), async () => {
    await using mesh = await startMesh();
    const token = mesh.issuer.token({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + 60 });
    expect(await mesh.ask(token)).to.equal('alice');
    mesh.identity.clock.forward(70_000);
    expect(await mesh.ask(token)).to.equal('unauthenticated');
    await until(() => mesh.client.streams()[0]!.counters.credentials === 0);
    expect(await mesh.ask(token)).to.equal('unauthenticated');
    const renewed = mesh.issuer.token({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + 600 });
    expect(await mesh.ask(renewed)).to.equal('alice');
  });

  it(verifies('G11')('none is 401 where one is required, else a caller of its own kind'), async () => {
    await using strict = await startMesh();
    expect(await strict.ask(undefined)).to.equal('unauthenticated');
    await using open = await startMesh({ anonymous: true });
    expect(await open.ask(undefined)).to.equal('anonymous');
    expect(await open.ask(open.issuer.token({ sub: 'alice' }))).to.equal('alice');
  });

  it(
    verifies('G11')('one that the replica does not know is registered and sent again, invisibly'),
    async () => {
      await using replica = await rawReplica();
      await using client = startClient([replica.address]);
      await replica.heard(({ hello }) => hello !== null);
      replica.say({ welcome: { replica: 'raw' } });
      await connected(client);
      const sent = send(client, 'who am I', { authorization: 'Bearer first' });
      await replica.heard(({ open }) => open?.credential === 1);
      replica.say({ failure: { exchange: 1, reason: 'credential_unknown' } });
      await replica.heard(({ open }) => open?.exchange === 2);
      const registered = replica.frames.flatMap(({ credential }) =>
        credential === null ? [] : [credential],
      );
      expect(registered.map(({ id, authorization }) => [id, authorization])).to.deep.equal([
        [1, 'Bearer first'],
        [2, 'Bearer first'],
      ]);
      replica.say({ head: { exchange: 2, body: Buffer.from('alice') } });
      expect(await sent.answered).to.include({ kind: 'json', text: 'alice', finishes: 1 });
    },
  );

  it(
    verifies('G11')('one that no replica will know is given up after a few times, as unavailable'),
    async () => {
      await using mesh = await startMesh({ maxCredentials: 1 });
      expect(await mesh.ask(mesh.issuer.token({ sub: 'alice' }))).to.equal('alice');
      expect(await mesh.ask(mesh.issuer.token({ sub: 'bob' }))).to.equal('unavailable');
      expect(mesh.replica.arrived).to.have.length(1);
    },
  );

  it(verifies('G11')('no frame but Credential ever holds a token'), async () => {
    const canary = 'Bearer canary-0123456789';
    await using replica = await rawReplica();
    await using client = startClient([replica.address]);
    await replica.heard(({ hello }) => hello !== null);
    replica.say({ welcome: { replica: 'raw' } });
    await connected(client);
    const sent = send(client, 'x', { authorization: canary });
    await replica.heard(({ open }) => open !== null);
    sent.cancel('cancelled');
    await replica.heard(({ cancel }) => cancel !== null);
    const others = replica.frames.filter(({ credential }) => credential === null);
    expect(JSON.stringify(others)).not.to.contain('canary');
    expect(replica.frames.length - others.length).to.equal(1);
  });

  it('keys that cannot be had are 503, and the next request asks again', async () => {
    await using mesh = await startMesh();
    mesh.issuer.outage('down');
    const token = mesh.issuer.token({ sub: 'alice' });
    expect(await mesh.ask(token)).to.equal('unavailable');
    mesh.issuer.outage('none');
    mesh.identity.clock.forward(60_000);
    expect(await mesh.ask(token)).to.equal('alice');
  });

  it('a replica never sees more credentials than agreed: the sidecar forgets its oldest', async () => {
    await using mesh = await startMesh();
    const subjects = Array.from({ length: 1_010 }, (_, index) => `subject-${index}`);
    for (let at = 0; at < subjects.length; at += 101) {
      const some = subjects.slice(at, at + 101);
      const answers = await Promise.all(some.map((sub) => mesh.ask(mesh.issuer.token({ sub }))));
      expect(answers).to.deep.equal(some);
    }
    expect(mesh.client.streams()[0]!.counters.credentials).to.equal(1_000);
    await until(() => mesh.replica.server.streams()[0]!.counters.credentials === 1_000);
  });
});
