import { expect } from 'chai';
import { ExitError } from '../../shared/lifecycle.ts';
import { loadSettings } from '../../sidecar/connect/config.ts';

function load(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return loadSettings({ argv, env, cwd: '/somewhere' });
}

describe('the settings of outrigger connect', () => {
  it('needs none: the sidecar of this machine, no token, text on standard error', () => {
    expect(load([])).to.deep.equal({
      target: { kind: 'tcp', host: '127.0.0.1', port: 4280, path: '/mcp' },
      url: 'http://127.0.0.1:4280/mcp',
      token: undefined,
      log: { level: 'info', format: 'text' },
    });
  });

  it('flags win over the environment, and an empty variable is none', () => {
    const env = { OUTRIGGER_URL: 'http://localhost:5000', OUTRIGGER_TOKEN: '', OUTRIGGER_TOKEN_FILE: 'a' };
    expect(load([], env).target).to.deep.equal({ kind: 'tcp', host: 'localhost', port: 5000, path: '/mcp' });
    expect(load(['--url', 'http://[::1]:1/x?y=1'], env)).to.deep.include({
      target: { kind: 'tcp', host: '::1', port: 1, path: '/x?y=1' },
      url: 'http://[::1]:1/x',
    });
    expect(load([], env).token).to.deep.equal({ file: '/somewhere/a' });
    expect(load(['--token-file', '/b'], env).token).to.deep.equal({ file: '/b' });
    expect(load([], { ...env, OUTRIGGER_TOKEN: 'secret' }).token).to.deep.equal({ value: 'secret' });
    expect(load([], { OUTRIGGER_URL: '' }).url).to.equal('http://127.0.0.1:4280/mcp');
  });

  it('a Unix socket, and another machine where that is said', () => {
    expect(load(['--url', 'unix:/run/s.sock']).target).to.deep.equal({
      kind: 'unix',
      socketPath: '/run/s.sock',
      path: '/mcp',
    });
    expect(load(['--url', 'http://sidecar:4280', '--allow-non-loopback']).target).to.include({
      host: 'sidecar',
    });
  });

  for (const argv of [
    ['--url', 'https://127.0.0.1:4280/mcp'],
    ['--url', 'http://user:secret@127.0.0.1/mcp'],
    ['--url', 'unix:relative'],
    ['--url', 'http://sidecar:4280/mcp'],
    ['--token', 'secret'],
    ['--log-level', 'loud'],
    ['--log-format', 'xml'],
    ['secret'],
  ]) {
    it(`refuses ${argv.join(' ')}`, () => {
      expect(() => load(argv))
        .to.throw(ExitError)
        .with.property('exitCode', 64);
    });
  }
});
