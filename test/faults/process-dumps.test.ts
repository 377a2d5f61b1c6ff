import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { OUTRIGGER } from '../support/build.ts';
import { Canaries } from '../support/canaries.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { McpClient, textOf } from '../support/mcp-client.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { filesBelow, processesBelow } from '../support/places.ts';
import type { TestProcess } from '../support/process.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';
import { until } from '../support/story.ts';
import { Watched } from '../support/watched.ts';

const run = promisify(execFile);
/** What the kernel leaves out of a core dump is a mask; this one leaves out all memory (core(5)). */
const NO_MEMORY = '00000000\n';

/** Each process runs in a folder where all that it could write by itself would be found. */
describe('Programs that are killed for a look into their memory', function () {
  this.timeout(60_000);
  let folder: string;
  let issuer: TestIssuer;
  let backend: RecordingBackend;
  let mesh: Mesh;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-dumps-'));
    const [cwd, tmp] = [join(folder, 'cwd'), join(folder, 'tmp')];
    await Promise.all([mkdir(cwd), mkdir(tmp)]);
    [issuer, backend] = await Promise.all([startIssuer(), RecordingBackend.start()]);
    mesh = await startMesh({
      replicas: 2,
      cwd,
      env: { TMPDIR: tmp, NODE_ENV: 'production' },
      logLevel: 'debug',
      config: {
        mcpServers: {
          rec: { url: backend.url, credential: { strategy: 'passthrough', audience: issuer.audience } },
          kid: stdioBackendCommand(),
        },
        identity: {
          issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
        },
      },
    });
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await Promise.all([issuer.stop(), backend.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  const programs = () => [mesh.sidecar, ...mesh.replicas];

  it(verifies('X10')('in production no inspector is opened from outside'), async () => {
    for (const { pid } of programs()) process.kill(pid, 'SIGUSR1');
    await sleep(300);
    expect(programs().every(({ alive }) => alive)).to.equal(true);
    expect(mesh.log().join('\n')).not.to.contain('Debugger listening');
  });

  it(
    verifies('X10')('with a call under way leave no token on the disk, and none in an environment'),
    async () => {
      const canaries = new Canaries();
      const token = issuer.token({ sub: 'alice' });
      canaries.addToken('the token of a caller', token);
      const client = await McpClient.open({ url: mesh.url, token });
      canaries.add('a session id', client.sessionId ?? '');
      const [seen] = backend.view.authorizations;
      expect(seen).to.equal(`Bearer ${token}`);
      expect(textOf(await client.call('kid__pid'))).to.match(/^\d+$/);
      client.beginCall('rec__slow', { ms: 60_000 });
      await until('it runs', () => backend.view.executionsOf('slow') === 1);

      const processes = await processesBelow(programs().map(({ pid }) => pid));
      expect(processes.length).to.be.above(programs().length);
      for (const { pid, environment } of processes) {
        expect(await readFile(`/proc/${pid}/coredump_filter`, 'utf8')).to.equal(NO_MEMORY);
        expect(canaries.in([{ name: `the environment of ${pid}`, content: environment }])).to.deep.equal([]);
      }
      for (const program of programs()) await dumpCore(program);

      const places = [
        ...(await filesBelow(folder)),
        ...(await filesBelow(mesh.stateFolder)),
        { name: 'the logs', content: mesh.log().join('\n') },
      ];
      expect(canaries.in(places)).to.deep.equal([]);
    },
  );

  for (const program of ['control-plane', 'sidecar', 'connect']) {
    it(verifies('X10')(`in production ${program} does not run under the inspector`), async () => {
      const args = ['--inspect=0', OUTRIGGER, program];
      const watched = new Watched(args, { cwd: folder, env: { NODE_ENV: 'production' } });
      expect(await watched.exited).to.equal(64);
      expect(watched.lines.join('\n')).to.contain('refusing to run under --inspect');
    });
  }
});

/** Has the kernel write what it writes of a process, as far as this system lets it. */
async function dumpCore(program: TestProcess): Promise<void> {
  await run('prlimit', ['--pid', String(program.pid), '--core=unlimited']).catch(() => {});
  await program.kill('SIGABRT');
  expect(await program.exited).to.deep.equal({ code: null, signal: 'SIGABRT' });
}
