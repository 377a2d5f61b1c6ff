import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { IdentityVerifier } from '../../control-plane/identity/caller.ts';
import { createVerifier } from '../../control-plane/identity/verifier.ts';
import { MemorySessionStore } from '../../control-plane/store/memory.ts';
import { silentLogger } from '../../shared/log.ts';
import {
  CAPABILITIES,
  HeadKind,
  PROOFS,
  type ReplicaFrame,
  type SidecarFrame,
} from '../../shared/rpc/mesh-protocol.ts';
import { LocalLists } from '../../sidecar/capabilities/local-lists.ts';
import { verifies } from '../requirements.ts';
import { ProofKey } from '../support/dpop.ts';
import { CLIENT_HEADERS, startEdge } from '../support/edge.ts';
import { movableClock, trusting } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type RawReplica, rawReplica, rawSidecar } from '../support/mesh-raw.ts';
import { startClient, startReplica, type TestReplica, until } from '../support/mesh-stream.ts';

const ALGORITHMS = ['ES256'];
const URL_OF_SIDECAR = 'http://localhost:4280/mcp';

describe('proofs of possession on the mesh stream', () => {
  let issuer: TestIssuer;
  before(async () => {
    issuer = await startIssuer();
  });
  after(() => issuer.stop());

  describe('at a replica', () => {
    const key = new ProofKey();
    let replica: TestReplica;
    before(async () => {
      replica = await startReplica({ verifier: checking(issuer) });
    });
    after(() => replica.server.stop());

    function open(exchange: number, credential: number, more: SidecarFrame['open'] = {}): SidecarFrame {
      return { open: { exchange, credential, body: Buffer.from('{}'), ...more } };
    }

    function proofOf(token: string) {
      const jwt = key.proof({ method: 'POST', url: URL_OF_SIDECAR, token });
      return { jwt, urls: [URL_OF_SIDECAR], request: 'name-of-one-request' };
    }

    async function hello(features: string[] = [PROOFS]) {
      const sidecar = rawSidecar(replica.address);
      sidecar.say({ hello: { node: 'raw', build: 'test', features } });
      const { welcome } = await sidecar.heard((frame) => frame.welcome !== null);
      return Object.assign(sidecar, { welcome });
    }

    it(verifies('I16', 'G14')('each exchange needs its own, and one without is not handed on'), async () => {
      await using sidecar = await hello();
      const token = issuer.token({ claims: key.cnf });
      const { length } = replica.arrived;
      const proof = proofOf(token);
      sidecar.say(
        { credential: { id: 1, authorization: `DPoP ${token}` } },
        open(1, 1),
        open(2, 1, { proof }),
      );
      sidecar.say(
        open(3, 1, { proof: { ...proof, request: 'name-of-another' } }),
        open(4, 1, { kind: 2, proof }),
      );
      for (const exchange of [1, 3, 4]) {
        const { failure } = await sidecar.heard((frame) => frame.failure?.exchange === exchange);
        expect(failure?.reason).to.equal('invalid_dpop_proof');
      }
      await sidecar.heard((frame) => frame.head?.exchange === 2);
      // What is sent again, to this replica or another, is the same request.
      sidecar.say(open(5, 1, { proof }));
      await sidecar.heard((frame) => frame.head?.exchange === 5);
      expect(replica.arrived).to.have.length(length + 2);
    });

    it(
      verifies('I16', 'G14')('a sidecar that knows nothing of them hears of a token that is no good'),
      async () => {
        const authorization = `Bearer ${issuer.token({ claims: key.cnf })}`;
        for (const [features, reason] of [
          [[CAPABILITIES], 'unauthenticated'],
          [[PROOFS], 'invalid_dpop_proof'],
        ] as const) {
          await using sidecar = await hello([...features]);
          sidecar.say({ credential: { id: 1, authorization } }, open(1, 1));
          const { refused } = await sidecar.heard((frame) => frame.refused !== null);
          const { failure } = await sidecar.heard((frame) => frame.failure !== null);
          expect([refused?.reason, failure?.reason]).to.deep.equal([reason, reason]);
        }
      },
    );

    it('a replica that takes none says so by naming no algorithm', async () => {
      await using sidecar = await hello();
      expect(sidecar.welcome).to.deep.include({ proofAlgorithms: [], proofRequired: false });
    });
  });

  describe('at a sidecar', () => {
    it(
      verifies('I16', 'CAP-2')('they cross with their request, and no list is answered without a replica'),
      async () => {
        await using replica = await rawReplica();
        const lists = new LocalLists();
        const client = startClient([replica.address], { lists });
        try {
          await replica.heard(({ hello }) => hello?.features.includes(PROOFS) === true);
          replica.say({
            welcome: {
              ...{
                replica: 'r',
                maxMessageBytes: 65_536,
                features: [CAPABILITIES],
                proofAlgorithms: ALGORITHMS,
              },
              resource: 'https://mesh.example/mcp',
            },
          });
          await using edge = await startEdge({ client, lists });
          await replica.heard(({ held }) => held !== null);
          const ask = (headers: Record<string, string>) =>
            edge.post(
              { jsonrpc: '2.0', id: 7, method: 'tools/list' },
              { ...CLIENT_HEADERS, 'mcp-session-id': 's-1', ...headers },
            );

          const shown = { authorization: 'DPoP a-bound-token', dpop: 'a.proof.of-it' };
          const first = ask(shown);
          const { open } = await replica.heard((frame) => frame.open?.exchange === 1);
          const { urls, jwt, request } = open?.proof ?? {};
          const { host } = new URL(edge.url);
          expect({ jwt, urls }).to.deep.equal({
            jwt: shown.dpop,
            urls: [`http://${host}/mcp`, 'https://mesh.example/mcp'],
          });
          expect(request).to.match(/^[A-Za-z0-9_-]{22}$/);
          const { credential } = await replica.heard((frame) => frame.credential !== null);
          expect(credential?.authorization).to.equal(shown.authorization);
          await grantAll(replica);
          answer(replica, 1);
          await first;

          const second = ask(shown);
          const { open: next } = await replica.heard((frame) => frame.open?.exchange === 2);
          expect(next?.proof?.request).not.to.equal(request);
          answer(replica, 2);
          expect(await (await second).text()).to.equal('"crossed"');
          expect(lists.counters).to.include({ answered: 0, grants: 1 });

          const bearer = ask({ authorization: 'Bearer another-token', dpop: shown.dpop });
          const { open: plain } = await replica.heard((frame) => frame.open?.exchange === 3);
          expect(plain?.proof ?? null).to.equal(null);
          answer(replica, 3);
          await bearer;
          for (const dpop of [undefined, '', 'no-jwt', 'a.b.c, d.e.f', `a.${'b'.repeat(8_192)}.c`]) {
            const reply = await ask({
              authorization: 'DPoP a-bound-token',
              ...(dpop === undefined ? {} : { dpop }),
            });
            expect(reply.status).to.equal(401);
            expect(await reply.text()).to.contain('"invalid_dpop_proof"');
          }
          expect(replica.frames.filter((frame) => frame.open !== null)).to.have.length(3);
        } finally {
          await client.close(0);
          lists.close();
        }
      },
    );

    it(
      verifies('I16')('a listening stream whose proof is too old for the next home ends, to be resumed'),
      async () => {
        await using replica = await rawReplica();
        const client = startClient([replica.address]);
        const greeted = () => replica.frames.filter(({ hello }) => hello !== null).length;
        const opened = () => replica.frames.flatMap(({ open }) => open ?? []);
        const welcome: ReplicaFrame = {
          welcome: { replica: 'r', maxMessageBytes: 65_536, proofAlgorithms: ALGORITHMS },
        };
        try {
          await until(() => greeted() === 1);
          replica.say(welcome);
          await using edge = await startEdge({ client });
          await until(() => client.connected);
          const listening = fetch(edge.url, {
            headers: {
              accept: 'text/event-stream',
              'mcp-session-id': 's-1',
              authorization: 'DPoP a-bound-token',
              dpop: 'a.proof.of-it',
            },
          });
          await until(() => opened().length === 1);
          replica.say({ head: { exchange: 1, kind: HeadKind.STREAM } });
          const response = await listening;
          expect(response.status).to.equal(200);

          replica.say({ goAway: { lastExchange: 1 } });
          await until(() => greeted() === 2);
          replica.say(welcome);
          await until(() => opened().length === 2);
          const [first, again] = opened();
          expect(again?.proof).to.deep.equal(first?.proof);
          replica.say({ failure: { exchange: again?.exchange ?? 0, reason: 'invalid_dpop_proof' } });
          expect(await response.text()).not.to.contain('error');
        } finally {
          await client.close(0);
        }
      },
    );
  });
});

function checking(issuer: TestIssuer): IdentityVerifier {
  const clock = movableClock();
  const store = new MemorySessionStore({ clock: () => clock.now() });
  return createVerifier(
    {
      ...{ anonymous: false, issuers: [trusting(issuer)], scopeImplies: {}, acceptLoopbackAudience: false },
      ...{ verdictCacheMs: 60_000, clockToleranceMs: 5_000, tokenGraceMs: 30_000 },
      proofs: { required: false, algorithms: ALGORITHMS },
    },
    { clock, log: silentLogger, note: (mark) => store.writeVault(mark) },
  );
}

/** A replica that grants under a bound token is wrong, and its sidecar does not follow it. */
async function grantAll(replica: RawReplica): Promise<void> {
  const set = Buffer.alloc(32, 1);
  const item = Buffer.from('{"name":"a"}');
  const items = [createHash('sha256').update(item).digest()];
  replica.say({ capabilitySet: { set, head: Buffer.from('{"tools":['), items, bodies: [item] } });
  await replica.heard(({ ack }) => ack !== null);
  replica.say({
    grant: { sessionId: 's-1', credential: 1, sets: { 'tools/list': set }, validForMs: 60_000 },
  });
  await sleep(30);
}

function answer(replica: RawReplica, exchange: number): void {
  replica.say({ head: { exchange, kind: 0, body: Buffer.from('"crossed"') } });
}
