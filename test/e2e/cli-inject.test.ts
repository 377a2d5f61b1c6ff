import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';

const GOLDEN = join(import.meta.dirname, '../injector/golden');
/** What the golden files were made with. */
const FLAGS = [
  ...['--image', 'registry.example/outrigger-sidecar:0.1.0'],
  ...['--server-id', 'spiffe://mesh.example/ns/outrigger/sa/control-plane'],
];

describe('outrigger inject and uninject', () => {
  let folder: string;

  before(ensureBuilt);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-inject-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  function outrigger(
    args: readonly string[],
    input = '',
  ): Promise<{ code: number; out: string; told: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [OUTRIGGER, ...args], { cwd: folder, timeout: 15_000 });
      let out = '';
      let told = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        out += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        told += chunk;
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, out, told }));
      child.stdin.on('error', () => {});
      child.stdin.end(input);
    });
  }

  it('writes the sidecar into manifests from standard input, and takes it out again to the byte', async () => {
    const input = await readFile(join(GOLDEN, 'in/several.yaml'), 'utf8');
    const injected = await outrigger(['inject', '--manual', ...FLAGS], input);
    expect(injected).to.include({ code: 0, out: await readFile(join(GOLDEN, 'out/several.yaml'), 'utf8') });
    expect(injected.told.split('\n')).to.deep.equal([
      'standard input:3: Service agent has no pods that are known here [unsupported_kind]',
      'standard input:9: Pod agent has a sidecar now [injected]',
      'standard input:21: Pod other says outrigger.dev/inject: disabled [opted_out]',
      '',
    ]);
    expect(await outrigger(['uninject'], injected.out)).to.include({ code: 0, out: input });
  });

  it('marks workloads for the webhook, and forgets that', async () => {
    const input = await readFile(join(GOLDEN, 'in/deployment.yaml'), 'utf8');
    const marked = await outrigger(['inject'], input);
    expect(marked.out).to.contain('outrigger.dev/inject: enabled').and.not.contain('outrigger-sidecar');
    expect(marked.told).to.contain('[annotated]');
    expect((await outrigger(['uninject'], marked.out)).out).to.equal(input);
  });

  it('takes several files, and the settings of the webhook', async () => {
    await writeFile(
      join(folder, 'webhook.yaml'),
      'sidecar: { image: "registry.example/mine:1", virtualServer: tickets }\n',
    );
    const files = ['pod.yaml', 'job.yaml'].map((name) => join(GOLDEN, 'in', name));
    const args = ['inject', '--manual', '--config', 'webhook.yaml', '-f', ...files];
    const { code, out } = await outrigger(args);
    expect(code).to.equal(0);
    expect(out.match(/image: registry\.example\/mine:1/g)).to.have.length(2);
    expect(out.match(/^---$/gm)).to.have.length(1);
    expect(out).to.contain('"virtualServer":"tickets"');
  });

  it('says where a manifest cannot be read, and writes nothing', async () => {
    await writeFile(join(folder, 'bad.yaml'), 'kind: Pod\n---\nkind: Pod\nspec: [\n');
    const bad = await outrigger(['inject', '--manual', '-f', join(GOLDEN, 'in/pod.yaml'), 'bad.yaml']);
    expect(bad).to.include({ code: 65, out: '' });
    expect(bad.told).to.match(/^bad\.yaml:3: document 2: not valid YAML \(/);
    const missing = await outrigger(['uninject', '-f', 'missing.yaml']);
    expect(missing).to.include({ code: 65, told: 'missing.yaml: cannot be read (ENOENT)\n' });
  });

  it('ends with 1 when a workload that should have a sidecar gets none, and with 64 for wrong flags', async () => {
    const onHost =
      'apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec: { hostNetwork: true, containers: [{ name: a }] }\n';
    const declined = await outrigger(['inject', '--manual'], onHost);
    expect(declined).to.include({ code: 1, out: onHost });
    expect(declined.told).to.contain('[host_network]');
    const flags = await outrigger(['inject', '--virtual-server', 'a b'], onHost);
    expect(flags).to.include({ code: 64, out: '', told: 'virtualServer: expected a name\n' });
    expect((await outrigger(['inject', '--manuel'], onHost)).code).to.equal(64);
  });
});
