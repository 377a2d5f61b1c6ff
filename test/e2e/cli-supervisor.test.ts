import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt } from '../support/build.ts';
import { freePorts } from '../support/ports.ts';
import { TSX, Watched } from '../support/watched.ts';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const UP = path('../support/stand-in/main.ts');
const FAULTY = path('../support/stand-in/faulty.ts');
const STAND_IN = path('../support/stand-in/program.mjs');
const GUARD = path('../../dist/guard.js');

/** A helper that knows nothing of supervisors. */
const HELPER_SOURCE = `
  const server = require('node:http').createServer((_, response) => response.end());
  server.listen(process.env.PORT, '127.0.0.1', () => console.log('helper runs as', process.pid));
`;

function config(port: number) {
  return {
    identity: { anonymous: true },
    mcpServers: { files: { command: 'node' } },
    limits: { drain: '100ms' },
    up: {
      replicas: 2,
      folders: ['files'],
      processes: [
        {
          name: 'helper',
          command: process.execPath,
          args: ['-e', HELPER_SOURCE],
          env: { PORT: String(port) },
          ready: { url: `http://127.0.0.1:${port}/` },
        },
      ],
    },
  };
}

const SIDECAR = /sidecar local runs as (\d+)/;
const REPLICA_A = /control-plane a runs as (\d+)/;
const REPLICA_B = /control-plane b runs as (\d+)/;
const HELPER = /helper runs as (\d+)/;

describe('outrigger up', () => {
  let folder: string;
  let up: Watched;

  before(ensureBuilt);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-up-'));
    const [port = 0] = await freePorts(1);
    await writeFile(join(folder, 'mesh.json'), JSON.stringify(config(port)));
  });

  afterEach(async () => {
    up.child.kill('SIGKILL');
    await up.exited;
    await rm(folder, { recursive: true, force: true });
  });

  function start(env: Record<string, string> = {}): void {
    up = new Watched([...TSX, UP, 'mesh.json', STAND_IN, GUARD], {
      cwd: folder,
      env,
    });
  }

  function startedPids(): Promise<number[]> {
    return Promise.all([HELPER, REPLICA_A, REPLICA_B, SIDECAR].map((pattern) => up.pid(pattern)));
  }

  it('starts helpers, replicas and the sidecar, and says so when all are ready', async () => {
    start();
    await up.line(/^ready: http:\/\/127\.0\.0\.1:\d+\/mcp$/);
    const [, a, b, sidecar] = await startedPids();
    const screen = up.lines.join('\n');
    expect(screen).to.match(new RegExp(`sidecar +${sidecar} +127\\.0\\.0\\.1:\\d+`));
    expect(screen).to.match(new RegExp(`replica a +${a} +127\\.0\\.0\\.1:\\d+`));
    expect(screen).to.contain(`kill -9 ${a}`).and.to.contain(`kill -9 ${b}`);
    expect(screen.indexOf('helper runs as')).to.be.below(screen.indexOf('control-plane a runs as'));
    expect(screen.indexOf('control-plane b runs as')).to.be.below(screen.indexOf('sidecar local runs as'));
  });

  it(verifies('I17')('passes on what its processes write, without their secrets'), async () => {
    start();
    const [line] = await up.line(/sidecar +\| sidecar local runs as.*/);
    expect(line).to.match(/Bearer \[masked\]$/);
  });

  it(verifies('C9')('starts again what dies, at its own address, while the others go on'), async () => {
    start();
    await up.line(/^ready: /);
    const [, a, b] = await startedPids();
    process.kill(a ?? 0, 'SIGKILL');
    await up.line(/replica a ended with SIGKILL; it is started again/);
    const again = await up.pid(REPLICA_A, { nth: 2 });
    expect(again).not.to.equal(a);
    expect(isRunning(b ?? 0)).to.equal(true);
    process.kill(again, 'SIGKILL');
    await up.pid(REPLICA_A, { nth: 3 });
  });

  it(
    verifies('RST-12')('on Ctrl-C ends the sidecar first, then replicas, and leaves nobody behind'),
    async () => {
      start();
      await up.line(/^ready: /);
      const pids = await startedPids();
      up.child.kill('SIGINT');
      expect(await up.exited).to.equal(0);
      expect(up.lines.join('\n')).not.to.contain('in time');
      const ends = up.lines.filter((line) => line.endsWith(' ends'));
      expect(ends[0]).to.contain('sidecar local ends');
      expect(
        ends
          .slice(1)
          .map((line) => line.slice(-'a ends'.length))
          .sort(),
      ).to.deep.equal(['a ends', 'b ends']);
      await allGone(pids);
    },
  );

  it('passes SIGHUP on to the replicas and the sidecar, and to no helper, which it would end', async () => {
    start();
    await up.line(/^ready: /);
    const pids = await startedPids();
    // A program that has only just started reads what is there: it is left alone.
    await sleep(2_000);
    up.child.kill('SIGHUP');
    for (const who of ['control-plane a', 'control-plane b', 'sidecar local'])
      await up.line(new RegExp(`${who} looks again`));
    expect(pids.every(isRunning)).to.equal(true);
  });

  it('takes everything with it when it is killed itself', async () => {
    start();
    await up.line(/^ready: /);
    const pids = await startedPids();
    up.child.kill('SIGKILL');
    await up.exited;
    await allGone(pids);
  });

  it('gives up, with what was said, when a program cannot start at all', async () => {
    start({ STAND_IN: 'broken' });
    expect(await up.exited).to.equal(1);
    // Of the other replica, which is broken as well, a last line may come later.
    expect(up.lines.join('\n')).to.match(/^replica [ab] \| mesh.yaml:1: wrong$/m);
    expect(up.lines.join('\n')).to.match(/^replica [ab] ended with 64 before it was ready$/m);
    await allGone([await up.pid(HELPER)]);
  });

  it('ends by force what does not end when asked', async function () {
    this.timeout(30_000);
    start({ STAND_IN: 'stubborn' });
    await up.line(/^ready: /);
    const pids = await startedPids();
    up.child.kill('SIGTERM');
    expect(await up.exited).to.equal(0);
    expect(up.lines.join('\n')).to.contain('replica a did not end in time');
    await allGone(pids);
  });
});

describe('the life of a program', () => {
  let program: Watched;

  afterEach(() => program.child.kill('SIGKILL'));

  function start(fault: string): void {
    program = new Watched([...TSX, FAULTY, fault], { cwd: tmpdir() });
  }

  it(verifies('C2')('SIGTERM closes what was opened, last first, and ends it with 0'), async () => {
    start('none');
    await program.line(/^running$/);
    program.child.kill('SIGTERM');
    expect(await program.exited).to.equal(0);
    expect(program.lines.filter((line) => line.startsWith('closed'))).to.deep.equal([
      'closed the second',
      'closed the first',
    ]);
  });

  it('a second signal ends it at once', async () => {
    start('slow');
    await program.line(/^running$/);
    program.child.kill('SIGTERM');
    await program.line(/stopping/);
    program.child.kill('SIGTERM');
    expect(await program.exited).to.equal(143);
  });

  it('what does not close within the grace time is left', async () => {
    start('slow');
    await program.line(/^running$/);
    program.child.kill('SIGINT');
    expect(await program.exited).to.equal(1);
    expect(program.lines.join('\n')).to.contain('the shutdown took too long');
  });

  for (const fault of ['rejects', 'throws']) {
    it(verifies('C9')(`an error that nobody handles is logged and ends it (${fault})`), async () => {
      start(fault);
      expect(await program.exited).to.equal(70);
      expect(program.lines.join('\n')).to.match(/unhandled rejection|uncaught exception/);
      expect(program.lines.join('\n')).not.to.contain('eyJ');
    });
  }

  it('what was opened is closed when it cannot start', async () => {
    start('cannot-start');
    expect(await program.exited).to.equal(1);
    expect(program.lines.join('\n')).to.contain('no store').and.to.contain('closed the first');
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function allGone(pids: readonly number[]): Promise<void> {
  for (let waited = 0; pids.some(isRunning) && waited < 8_000; waited += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(pids.filter(isRunning)).to.deep.equal([]);
}
