import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';

const run = promisify(execFile);

/** Whether this machine has the shell. */
function isThere(shell: string): boolean {
  try {
    execFileSync(shell, ['-c', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('outrigger completion', () => {
  before(ensureBuilt);

  const script = async (shell: string) =>
    (await run(process.execPath, [OUTRIGGER, 'completion', shell], { timeout: 20_000 })).stdout;

  /** What bash offers when the last of these words is to be completed. */
  async function offered(...words: string[]): Promise<string[]> {
    const ask = `
      source <("$0" "$1" completion bash)
      shift; COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _outrigger; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ['-c', ask, process.execPath, OUTRIGGER, 'outrigger', ...words];
    const { stdout } = await run('bash', args, { timeout: 20_000 });
    return stdout.split('\n').filter((word) => word !== '');
  }

  it(verifies('ADM-1')('bash: commands, their options, and the words that options take'), async () => {
    expect(await offered('se')).to.deep.equal(['sessions']);
    expect(await offered('do')).to.deep.equal(['doctor']);
    expect(await offered('sessions', 'e')).to.deep.equal(['explain']);
    expect(await offered('sessions', 'list', '--o')).to.deep.equal(['--output', '--older-than']);
    expect(await offered('sessions', 'list', '-o', '')).to.deep.equal(['table', 'json', 'yaml']);
    expect(await offered('sessions', 'list', '--output', 'y')).to.deep.equal(['yaml']);
    // What a group does by itself: list.
    expect(await offered('backends', '--wat')).to.deep.equal(['--watch']);
    expect(await offered('completion', '')).to.include.members(['bash', 'zsh', 'fish']);
  });

  it(verifies('ADM-1')('bash: the value of an option is no command'), async () => {
    expect(await offered('replicas', '--address', 'drain', '--tok')).to.deep.equal(['--token-file']);
    expect(await offered('replicas', 'drain', '--address', 'sessions', '-o', 'j')).to.deep.equal(['json']);
    // Nothing of ours: bash completes files.
    expect(await offered('doctor', '--config', '')).to.deep.equal([]);
    expect(await offered('none', 'such', '--x')).to.deep.equal([]);
  });

  for (const [shell, check] of [
    ['bash', '-n'],
    ['zsh', '-n'],
    ['fish', '--no-execute'],
  ] as const) {
    it(
      verifies('ADM-1')(
        `${shell}: every command is in a script that the shell can read, where it is installed`,
      ),
      async () => {
        const text = await script(shell);
        for (const word of ['sessions', 'explain', 'doctor', 'top', 'uninject', 'log-level'])
          expect(text, word).to.include(word);
        if (!isThere(shell)) return;
        const child = execFile(shell, [check]);
        child.stdin?.end(text);
        const code = await new Promise((resolve) => child.once('exit', resolve));
        expect(code).to.equal(0);
      },
    );
  }

  it(verifies('C12')('another shell is wrong usage'), async () => {
    const refused = await script('tcsh').catch((error: { code: number; stderr: string }) => error);
    expect(refused).to.include({ code: 64 });
    expect((refused as { stderr: string }).stderr).to.include('Allowed choices are bash, zsh, fish');
  });
});
