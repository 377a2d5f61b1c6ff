import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { BackendSession } from '../../control-plane/backend/backend.ts';
import { HealthRecord } from '../../control-plane/backend/health.ts';
import { verifies } from '../requirements.ts';
import {
  callTool,
  connectTo,
  connectToSse,
  eventually,
  faultOf,
  hear,
  open,
} from '../support/backend-calls.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

const OPEN_MS = 500;

describe('a backend that cannot be reached', () => {
  it(
    verifies('B1')(
      'is left alone after some failures, tried by one live call later, and used again when that is answered',
    ),
    async () => {
      await using server = await RecordingBackend.start({ sessions: false });
      await using connector = connectTo(server.url, { health: breaking() });
      const session = await open(connector.backend);
      await server.stop();
      await failing(session, 3);
      expect(connector.health.read().state).to.equal('open');

      await server.restart();
      const seen = server.view.requests().length;
      const refused = [faultOf(callTool(session, 'echo')), faultOf(open(connector.backend))];
      for (const fault of await Promise.all(refused)) {
        expect(fault).to.include({ kind: 'unreachable', executed: 'no' });
        expect(fault.retryAfterMs).to.be.within(1, OPEN_MS);
      }
      expect(server.view.requests()).to.have.length(seen);

      await sleep(OPEN_MS + 20);
      const held = server.hold('tools/call');
      const probe = callTool(session, 'echo');
      await held.arrived;
      expect(connector.health.read().state).to.equal('half_open');
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'unreachable', executed: 'no' });
      held.release();
      expect(await probe).to.equal('{}');
      expect(await callTool(session, 'echo')).to.equal('{}');
      expect(connector.health.read()).to.include({ state: 'healthy', consecutiveFailures: 0 });
      expect(server.view.executionsOf('echo')).to.equal(2);
    },
  );

  it('stays left alone when the call that tried it failed too', async () => {
    await using server = await RecordingBackend.start({ sessions: false });
    await using connector = connectTo(server.url, { health: breaking() });
    const session = await open(connector.backend);
    await server.stop();
    await failing(session, 3);
    await sleep(OPEN_MS + 20);
    expect((await faultOf(callTool(session, 'echo'))).cause).to.include({ code: 'ECONNREFUSED' });
    expect((await faultOf(callTool(session, 'echo'))).cause).to.equal(undefined);
  });

  it('is used again as soon as a call that tries it begins to be answered, however long that takes', async () => {
    await using server = await RecordingBackend.start({ sessions: false, answers: 'sse' });
    await using connector = connectTo(server.url, { health: breaking() });
    const session = await open(connector.backend);
    await server.stop();
    await failing(session, 3);
    await server.restart();
    await sleep(OPEN_MS + 20);
    const long = callTool(session, 'slow', { arguments: { ms: 300 } });
    await eventually(() => connector.health.read().state !== 'half_open');
    expect(await callTool(session, 'echo')).to.equal('{}');
    expect(await long).to.equal('slept');
  });

  it('is tried by another call when the one that should have tried it was given up', async () => {
    await using server = await RecordingBackend.start({ sessions: false });
    await using connector = connectTo(server.url, { health: breaking() });
    const session = await open(connector.backend);
    await server.stop();
    await failing(session, 3);
    await server.restart();
    await sleep(OPEN_MS + 20);
    const leaving = new AbortController();
    const held = server.hold('tools/call');
    const probe = faultOf(callTool(session, 'echo', { signal: leaving.signal }));
    await held.arrived;
    leaving.abort();
    expect(await probe).to.include({ kind: 'aborted' });
    expect(await callTool(session, 'count')).to.equal('1');
    held.release();
  });

  it('that restarts under many calls has failed once: new calls go on at once', async () => {
    await using server = await RecordingBackend.start({ sessions: false });
    await using connector = connectTo(server.url, { health: breaking() });
    const session = await open(connector.backend);
    const calls = Array.from({ length: 20 }, () => faultOf(callTool(session, 'hang')));
    await eventually(() => server.view.executionsOf('hang') === 20);
    await server.restart();
    for (const fault of await Promise.all(calls)) expect(fault).to.include({ kind: 'interrupted' });
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it('is not one that refuses, errs, or fails tools', async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url, { health: breaking() });
    const session = await open(connector.backend);
    for (let round = 0; round < 4; round += 1) {
      await callTool(session, 'fail');
      await callTool(session, 'error');
      for (const status of [401, 403, 429, 500, 400]) {
        server.next('tools/call', { status });
        await faultOf(callTool(session, 'echo'));
      }
    }
    for (let round = 0; round < 4; round += 1) await faultOf(callTool(session, 'hang', { timeoutMs: 60 }));
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it('is one that does not answer handshakes, unless the callers had no time for it', async () => {
    await using server = await RecordingBackend.start({ delays: { initialize: 60_000 } });
    for (const [lifeMs, state] of [
      [60, 'failing'],
      [60_000, 'open'],
    ] as const) {
      await using connector = connectTo(server.url, { health: breaking() });
      for (let round = 0; round < 3; round += 1) {
        await faultOf(open(connector.backend, { timeoutMs: 60, lifeMs }));
      }
      expect(connector.health.read().state).to.equal(state);
    }
  });

  it(verifies('BACK-10')('is also one over HTTP+SSE'), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url, { health: breaking() });
    const events = hear();
    const session = await open(connector.backend, { events });
    await server[Symbol.asyncDispose]();
    await eventually(() => events.faults.length === 1);
    for (let round = 0; round < 3; round += 1) {
      expect((await faultOf(open(connector.backend))).cause).to.include({ code: 'ECONNREFUSED' });
    }
    expect((await faultOf(open(connector.backend))).retryAfterMs).to.be.within(1, OPEN_MS);
    await session.close({ terminate: false });
    await sleep(OPEN_MS + 20);
    expect((await faultOf(open(connector.backend))).cause).to.include({ code: 'ECONNREFUSED' });
  });
});

function breaking(): HealthRecord {
  return new HealthRecord({ breaker: { failures: 3, openMs: OPEN_MS } });
}

async function failing(session: BackendSession, times: number): Promise<void> {
  for (let round = 0; round < times; round += 1) {
    expect(await faultOf(callTool(session, 'echo'))).to.include({ executed: 'no' });
  }
}
