import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError } from '../../shared/config/parse.ts';
import { loadSettings } from '../../sidecar/config.ts';
import { parseListenAddress } from '../../sidecar/http/address.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { AGENT, OTHER_KEY } from '../support/mesh-certificates.ts';

describe('the configuration of a sidecar', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-config-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const load = (yaml: string | undefined, argv: readonly string[] = [], env = {}) => {
    if (yaml === undefined) return loadSettings({ argv, env, cwd: folder });
    writeFileSync(join(folder, 'sidecar.yaml'), yaml);
    return loadSettings({ argv: ['--config', 'sidecar.yaml', ...argv], env, cwd: folder });
  };
  const problems = (...parameters: Parameters<typeof load>): string => {
    try {
      load(...parameters);
    } catch (error) {
      if (error instanceof ConfigError) {
        expect(error.exitCode).to.equal(64);
        return error.message;
      }
      throw error;
    }
    throw new Error('it was accepted');
  };

  it('needs no file', () => {
    const settings = load(undefined);
    expect(settings.listen).to.deep.equal({
      mcp: { kind: 'tcp', host: '127.0.0.1', port: 4280 },
      ops: { host: '127.0.0.1', port: 4281 },
    });
    expect(settings.controlPlane).to.deep.equal(['127.0.0.1:4290']);
    expect(settings.virtualServer).to.equal('default');
    expect(settings.node).not.to.equal('');
    expect(settings.timeouts).to.include({
      headers: 60_000,
      request: 300_000,
      keepAlive: 15_000,
      drain: 30_000,
    });
    expect(settings.limits).to.include({ message: 4 * 1024 * 1024 });
  });

  it('takes a file, the environment in it, and flags above both', () => {
    const yaml = [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own notation
      'node: ${NODE_NAME}',
      'controlPlane: { dns: "replicas.mesh.localhost:4290" }',
      'timeouts: { drain: 5s }',
      'listen: { mcp: "unix:/run/mcp.sock" }',
    ].join('\n');
    const settings = load(yaml, ['--virtual-server', 'files', '--ops', '[::1]:0'], { NODE_NAME: 'n-1' });
    expect(settings).to.include({ node: 'n-1', virtualServer: 'files' });
    expect(settings.controlPlane).to.deep.equal({ dns: 'replicas.mesh.localhost', port: 4290 });
    expect(settings.listen).to.deep.equal({
      mcp: { kind: 'unix', path: '/run/mcp.sock' },
      ops: { host: '::1', port: 0 },
    });
    expect(settings.timeouts.drain).to.equal(5_000);
    const addresses = ['127.0.0.1:1', '[::1]:2'];
    const flags = addresses.flatMap((address) => ['--control-plane', address]);
    expect(load(yaml, flags, { NODE_NAME: 'n-1' }).controlPlane).to.deep.equal(addresses);
  });

  it('tells every problem with its place and a suggestion', () => {
    const told = problems('lissten: {}\ntimeouts:\n  headers: 5\n  drian: 1s\n');
    expect(told).to.contain('sidecar.yaml:1: lissten: unknown key; did you mean listen?');
    expect(told).to.contain('timeouts.drian').and.contain('did you mean drain?');
  });

  it(verifies('G10')('speaks plain text to this machine only; beyond it, with certificates that fit'), () => {
    const refused = 'plain text is for loopback addresses';
    expect(problems(undefined, ['--control-plane', 'replica.example:4290'])).to.contain(refused);
    expect(problems('controlPlane: { addresses: ["127.0.0.1:1", "10.0.0.1:4290"] }')).to.contain(refused);
    expect(problems('controlPlane: { dns: "mesh.svc:4290" }')).to.contain(refused);

    const yaml = 'controlPlane: { dns: "mesh.svc:4290", tls: { ca: ca.pem, cert: cert.pem, key: key.pem } }';
    expect(problems(yaml)).to.contain('controlPlane.tls.key: cannot read');
    writeFileSync(join(folder, 'ca.pem'), AUTHORITY);
    writeFileSync(join(folder, 'cert.pem'), AGENT);
    writeFileSync(join(folder, 'key.pem'), OTHER_KEY);
    expect(problems(yaml)).to.contain('controlPlane.tls.key: this key is not that of the certificate');
    writeFileSync(join(folder, 'key.pem'), KEY);
    expect(load(yaml).tls).to.deep.equal({
      files: { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') },
      serverName: 'mesh.svc',
      serverId: undefined,
    });
    const id = yaml.replace('ca:', 'serverId: "spiffe://mesh.example", serverName: "a b", ca:');
    expect(problems(id)).to.contain('controlPlane.tls.serverName: expected a host name');
    expect(problems(id.replace('spiffe:', 'https:'))).to.contain('tls.serverId: expected a SPIFFE id');
  });

  it('refuses what would expose the listener, and times that contradict each other', () => {
    expect(problems('listen: { mcp: "10.0.0.1:4280" }')).to.contain('allowNonLoopback');
    expect(load('listen: { mcp: "10.0.0.1:4280" }\nallowNonLoopback: true').listen.mcp).to.include({
      host: '10.0.0.1',
    });
    expect(problems('timeouts: { headers: 20s, request: 10s }')).to.contain('timeouts.headers');
    expect(problems('controlPlane: { dns: "a:1", addresses: ["b:2"] }')).to.contain('controlPlane');
    expect(problems('listen: { mcp: "nowhere" }')).to.contain('listen.mcp');
  });

  it('takes a token from a file beside it or from the environment, on a Unix socket only unless told otherwise', () => {
    const unix = 'listen: { mcp: "unix:/run/mcp.sock" }\n';
    expect(load(`${unix}token: { file: token.txt }`).token).to.deep.equal({
      file: join(folder, 'token.txt'),
    });
    expect(load(`${unix}token: { env: T }`, [], { T: 'abc' }).token).to.deep.equal({ value: 'abc' });
    expect(problems(`${unix}token: { env: T }`)).to.contain('T is not set');
    expect(problems(`${unix}token: { env: T, file: t }`)).to.contain('expected one of file and env');
    expect(problems('token: { file: t }')).to.contain('allowSharedLoopback');
    expect(load('token: { file: t }\nallowSharedLoopback: true').token).to.have.property('file');
  });

  it('refuses flags that it does not know or cannot read', () => {
    expect(problems(undefined, ['--control-plain', 'x'])).to.contain('--control-plain');
    expect(problems(undefined, ['--ops', 'nowhere'])).to.contain('--ops: expected host:port');
    expect(problems(undefined, ['--config', 'missing.yaml'])).to.contain(
      'missing.yaml: cannot be read (ENOENT)',
    );
  });

  it('reads addresses', () => {
    expect(parseListenAddress('4280')).to.deep.equal({ kind: 'tcp', host: 'localhost', port: 4280 });
    expect(parseListenAddress('[::1]:1')).to.deep.equal({ kind: 'tcp', host: '::1', port: 1 });
    for (const text of ['', 'a', '1.2.3.4:', 'x:99999', 'unix:relative', 'http://a:1']) {
      expect(parseListenAddress(text), text).to.equal(undefined);
    }
  });
});
