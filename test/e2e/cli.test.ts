import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { freePorts } from '../support/ports.ts';

const VALID = 'identity: { anonymous: true }\nmcpServers: { files: { command: node } }\n';

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('the outrigger command', () => {
  let folder: string;

  before(ensureBuilt);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-cli-'));
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  function outrigger(...args: string[]): Promise<Ended> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [OUTRIGGER, ...args],
        { cwd: folder, timeout: 15_000 },
        (error, stdout, stderr) => {
          resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
        },
      );
    });
  }

  it('says what it can do', async () => {
    const { code, stdout } = await outrigger('--help');
    expect(code).to.equal(0);
    for (const command of [
      'up',
      'control-plane',
      'sidecar',
      'connect',
      'inject',
      'uninject',
      'webhook',
      'config',
      'version',
    ]) {
      expect(stdout).to.match(new RegExp(`^  ${command}\\b`, 'm'));
    }
    for (const program of ['control-plane', 'sidecar', 'connect', 'webhook', 'inject', 'up']) {
      const help = await outrigger(program, '--help');
      expect(help).to.include({ code: 0, stderr: '' });
      expect(help.stdout).to.contain(`Usage: outrigger ${program}`);
    }
  });

  it('prints its version', async () => {
    expect((await outrigger('version')).stdout).to.match(/^\d+\.\d+\.\d+\n$/);
    expect((await outrigger('--version')).stdout).to.equal((await outrigger('version')).stdout);
  });

  for (const args of [[], ['bogus'], ['up', '--replicas', 'many'], ['up', '--bogus'], ['config', 'bogus']]) {
    it(`wrong usage ends with 64: outrigger ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await outrigger(...args);
      expect(code).to.equal(64);
      expect(stdout).to.equal('');
      expect(stderr).not.to.equal('');
    });
  }

  it('a valid configuration is said to be', async () => {
    await writeFile(join(folder, 'outrigger.yaml'), VALID);
    expect(await outrigger('config', 'validate')).to.deep.equal({
      code: 0,
      stdout: 'outrigger.yaml is valid: 1 backend, 1 virtual server\n',
      stderr: '',
    });
  });

  it(
    verifies('C12')('a wrong configuration ends every command with 64 and the same clear lines'),
    async () => {
      await writeFile(join(folder, 'mesh.yaml'), `${VALID}lmits: {}\nreplica: A\n`);
      const lines =
        'mesh.yaml:3: lmits: unknown key; did you mean limits?\n' +
        'mesh.yaml:4: replica: expected a name of lower-case letters, digits and -, at most 40 characters\n';
      for (const command of [
        ['config', 'validate', 'mesh.yaml'],
        ['control-plane', '--config', 'mesh.yaml'],
        ['up', '--config', 'mesh.yaml'],
      ]) {
        expect(await outrigger(...command), command.join(' ')).to.deep.equal({
          code: 64,
          stdout: '',
          stderr: lines,
        });
      }
    },
  );

  it('a file that is not there is one clear line', async () => {
    for (const command of [
      ['config', 'validate', 'no.yaml'],
      ['control-plane', '--config', 'no.yaml'],
    ]) {
      expect(await outrigger(...command)).to.include({
        code: 64,
        stderr: 'no.yaml: cannot be read (ENOENT)\n',
      });
    }
    expect(await outrigger('control-plane')).to.include({ code: 64, stderr: '--config FILE is required\n' });
  });

  it('up names the port that is in use, and by whom', async () => {
    await writeFile(join(folder, 'outrigger.yaml'), VALID);
    const [port = 0] = await freePorts(1);
    const holder = createServer().listen(port, '127.0.0.1');
    await once(holder, 'listening');
    try {
      const { code, stderr } = await outrigger('up', '--port-base', String(port));
      expect(code).to.equal(1);
      const who = process.platform === 'linux' ? `.+ \\(pid ${process.pid}\\)` : 'another process';
      expect(stderr).to.match(new RegExp(`^port ${port} \\(MCP\\) is in use by ${who}\\n`));
      expect(stderr).to.contain('--port-base');
    } finally {
      holder.close();
    }
  });
});
