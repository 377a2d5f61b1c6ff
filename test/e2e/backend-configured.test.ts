import { expect } from 'chai';
import type { BackendSession } from '../../control-plane/backend/backend.ts';
import { verifies } from '../requirements.ts';
import { callTool, eventually, faultOf, open } from '../support/backend-calls.ts';
import { configuredBackends } from '../support/configured-backends.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';

const LIMITS = { concurrency: 2, queue: 1 };

describe('the limits of a backend, as configured', () => {
  it('hold over Streamable HTTP', async () => {
    await using server = await RecordingBackend.start();
    await using backends = configuredBackends({ subject: { url: server.url, limits: LIMITS } });
    const session = await open(backends.backend('subject'));
    await limited([session, session], () => server.view.executionsOf('slow'));
  });

  it(verifies('BACK-10')('hold over HTTP+SSE, for calls that wait for their answers too'), async () => {
    await using server = await LegacySseBackend.start();
    await using backends = configuredBackends({ subject: { url: server.url, type: 'sse', limits: LIMITS } });
    const sessions = [
      await open(backends.backend('subject')),
      await open(backends.backend('subject')),
    ] as const;
    const finished = limited(sessions, () => server.posts('tools/call').length);
    await eventually(() => server.posts('tools/call').length === 2);
    const releasing = setInterval(() => server.release(), 300);
    await finished.finally(() => clearInterval(releasing));
  });

  it(verifies('BACK-9')('hold over all children of a program'), async () => {
    const { command, args, cwd } = stdioBackendCommand();
    await using backends = configuredBackends({ subject: { command, args, cwd, limits: LIMITS } });
    const sessions = [
      await open(backends.backend('subject')),
      await open(backends.backend('subject')),
    ] as const;
    await limited(sessions);
  });

  it('leave a call that waits its own deadline, and nothing of it is ever sent', async () => {
    await using server = await LegacySseBackend.start();
    const limits = { concurrency: 1, queue: 10 };
    await using backends = configuredBackends({ subject: { url: server.url, type: 'sse', limits } });
    const session = await open(backends.backend('subject'));
    const running = callTool(session, 'slow');
    await eventually(() => server.posts('tools/call').length === 1);
    const leaving = new AbortController();
    const left = faultOf(callTool(session, 'echo', { signal: leaving.signal }));
    const late = faultOf(callTool(session, 'echo', { timeoutMs: 100 }));
    leaving.abort();
    expect(await left).to.include({ kind: 'aborted', executed: 'no' });
    expect(await late).to.include({ kind: 'timeout', executed: 'no' });
    const next = callTool(session, 'echo');
    server.release();
    expect(await running).to.equal('slept');
    expect(await next).to.equal('{}');
    expect(server.posts('tools/call')).to.have.length(2);
    expect(server.posts('notifications/cancelled')).to.deep.equal([]);
  });

  it('hold for each backend by itself', async () => {
    await using server = await RecordingBackend.start();
    const limits = { concurrency: 1, queue: 0 };
    await using backends = configuredBackends({
      one: { url: server.url, limits },
      two: { url: server.url, limits },
    });
    const [one, two] = [await open(backends.backend('one')), await open(backends.backend('two'))];
    const slow = callTool(one, 'slow', { arguments: { ms: 300 } });
    expect(await faultOf(callTool(one, 'echo'))).to.include({ kind: 'busy' });
    expect(await callTool(two, 'echo')).to.equal('{}');
    expect(await slow).to.equal('slept');
  });
});

describe('the health of a backend', () => {
  it('is known by name, and its breaker, as configured, is logged as it changes', async () => {
    await using server = await RecordingBackend.start({ sessions: false });
    await using backends = configuredBackends({
      steady: { url: server.url },
      shaky: { url: server.url, breaker: { failures: 2, open: '200ms' } },
    });
    const session = await open(backends.backend('shaky'));
    expect(backends.registry.health('steady')!.state).to.equal('unknown');
    await server.stop();
    for (let round = 0; round < 3; round += 1) await faultOf(callTool(session, 'echo'));
    expect(backends.registry.health('shaky')).to.include({ state: 'open', lastFault: 'unreachable' });
    await server.restart();
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(await callTool(session, 'echo')).to.equal('{}');
    expect(backends.registry.health('shaky')).to.include({ state: 'healthy', consecutiveFailures: 0 });
    expect(backends.logged.map(({ backend, state }) => [backend, state])).to.deep.equal([
      ['shaky', 'open'],
      ['shaky', 'half_open'],
      ['shaky', 'healthy'],
    ]);
    expect(backends.registry.health('nobody')).to.equal(undefined);
  });
});

/** Two calls run, a third waits, a fourth is refused; whoever waited runs when there is room. */
async function limited(
  sessions: readonly [BackendSession, BackendSession],
  running?: () => number,
): Promise<void> {
  const slow = sessions.map((session) => callTool(session, 'slow', { arguments: { ms: 500 } }));
  if (running !== undefined) await eventually(() => running() === 2);
  const third = callTool(sessions[0], 'echo');
  expect(await faultOf(callTool(sessions[1], 'echo'))).to.include({ kind: 'busy', executed: 'no' });
  expect(await third).to.equal('{}');
  expect(await Promise.all(slow)).to.deep.equal(['slept', 'slept']);
  expect(await callTool(sessions[1], 'echo')).to.equal('{}');
}
