import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parse } from 'yaml';
import { HEALTH_STATES } from '../../control-plane/backend/health.ts';
import { SET_STATES } from '../../control-plane/capabilities/set-sender.ts';
import { SENTENCES } from '../../control-plane/injector/outcomes.ts';
import { createMetrics } from '../../control-plane/ops/metrics.ts';
import { EDGE_REASONS, RPC_REASONS } from '../../shared/errors.ts';
import { SidecarMetrics } from '../../sidecar/ops/metrics.ts';
import { SETTINGS } from '../injector/settings.ts';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { AUTHORITY, KEY, VALID } from '../support/certificates.ts';
import { McpClient } from '../support/mcp-client.ts';
import { startMesh } from '../support/mesh.ts';
import { AGENT, REPLICA } from '../support/mesh-certificates.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { TestProcess } from '../support/process.ts';
import { type Exposed, exposedAs, parseQuery, readExposition } from '../support/promql.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { until } from '../support/story.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<'summary' | 'description' | 'runbook', string>>;
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFile(join(ROOT, path), 'utf8');
/** What a scraper adds, and the bound of a bucket. */
const SCRAPED = ['instance', 'job', 'le'];
/** Words that stand under a label; a query that asks for another one finds nothing, for ever. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  outcome: [...EDGE_REASONS, ...RPC_REASONS, 'ok', 'failed', 'refused', 'unavailable', 'lost'],
  reason: [...EDGE_REASONS, ...RPC_REASONS, ...Object.keys(SENTENCES), 'not_a_review'],
  result: ['ok', 'not_found', 'busy', 'unavailable', 'corrupt'],
  state: [...HEALTH_STATES, ...SET_STATES, 'flagged', 'quarantined'],
  kind: ['message'],
};
/** What comes with Node; it is told of by Prometheus' own pages. */
const COMMON = /^outrigger_(nodejs|process)_/;

const FILES = { 'ca.crt': AUTHORITY, 'replica.crt': REPLICA, 'agent.crt': AGENT, 'all.key': KEY };
const REPLICA_ID = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';

/** Everything that the three programs expose, after a little of what they do. */
async function scrape(): Promise<Map<string, Exposed>> {
  const tracing = { otlp: { url: `http://127.0.0.1:${await freePort()}/v1/traces` } };
  await using backend = await RecordingBackend.start({ tools: [{ name: 'echo' }] });
  await using mesh = await startMesh({
    anonymous: true,
    files: FILES,
    config: {
      listen: { grpc: { tls: { ca: 'ca.crt', cert: 'replica.crt', key: 'all.key' } } },
      mcpServers: { tools: { url: backend.url } },
      tracing,
    },
    sidecarConfig: {
      controlPlane: {
        addresses: ['127.0.0.1:1'],
        tls: { ca: 'ca.crt', cert: 'agent.crt', key: 'all.key', serverId: REPLICA_ID },
      },
      tracing,
    },
  });
  const ask = async ({ ops }: { readonly ops: string }) => (await fetch(`${ops}/metrics`)).text();
  const [replica] = mesh.replicas;
  if (replica === undefined) throw new Error('no replica');
  const client = await McpClient.open({ url: mesh.url });
  await client.call('echo');
  await client.call('nobody-has-this');
  await client.request('tools/list');
  const stranger = await McpClient.open({ url: mesh.url });
  await stranger.end();
  await fetch(`${mesh.url}/elsewhere`);
  await until('the sidecar has the list', async () =>
    (await ask(replica)).includes('outrigger_capability_pushes_total{result="acked"} 1'),
  );
  const exposed = new Map<string, Exposed>();
  for (const program of [replica, mesh.sidecar]) readExposition(await ask(program), exposed);
  await using webhook = await startWebhook();
  readExposition(await ask(webhook), exposed);
  labelsToCome(exposed);
  return exposed;
}

async function startWebhook(): Promise<{ readonly ops: string } & AsyncDisposable> {
  await ensureBuilt();
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-webhook-'));
  const [port = 0, opsPort = 0] = await freePorts(2);
  const ops = `http://127.0.0.1:${opsPort}`;
  await writeFile(join(folder, 'tls.crt'), VALID);
  await writeFile(join(folder, 'tls.key'), KEY);
  const config = join(folder, 'webhook.json');
  const listen = { webhook: `127.0.0.1:${port}`, ops: `127.0.0.1:${opsPort}` };
  const { image, tls } = SETTINGS;
  const sidecar = { image, tls: { serverId: tls.serverId } };
  await writeFile(config, JSON.stringify({ listen, tls: { cert: 'tls.crt', key: 'tls.key' }, sidecar }));
  const process = new TestProcess({
    name: 'webhook',
    args: [OUTRIGGER, 'webhook', '--config', config],
    readyUrl: `${ops}/readyz`,
  });
  await process.start();
  return {
    ops,
    async [Symbol.asyncDispose]() {
      await process.kill('SIGTERM');
      await rm(folder, { recursive: true });
    },
  };
}

/** What has not happened yet has no sample that would show its labels. */
function labelsToCome(exposed: ReadonlyMap<string, Exposed>): void {
  const { registry } = createMetrics();
  for (const [name, { labels }] of exposed) {
    const metric = registry.getSingleMetric(name);
    const names: unknown = metric && Reflect.get(metric, 'labelNames');
    if (Array.isArray(names)) for (const each of names) labels.add(String(each));
  }
  const sidecar = new SidecarMetrics();
  sidecar.shed('session', 'heap');
  for (const [name, { labels }] of readExposition(sidecar.render()))
    for (const label of labels) exposed.get(name)?.labels.add(label);
}

/** What is wrong with a query, in words. */
function faultsOf(expr: string, exposed: ReadonlyMap<string, Exposed>): string[] {
  const { selectors, groups } = parseQuery(expr);
  const faults: string[] = [];
  const known = new Set(SCRAPED);
  for (const { metric, matchers } of selectors) {
    const labels = exposedAs(metric, exposed)?.labels;
    if (labels === undefined) faults.push(`nobody exposes ${metric}`);
    for (const label of labels ?? []) known.add(label);
    for (const { label, value } of matchers) {
      if (labels?.has(label) === false) faults.push(`${metric} has no ${label}`);
      const words = WORDS[label];
      if (words === undefined || value.startsWith('$')) continue;
      for (const word of value.split('|'))
        if (!words.includes(word)) faults.push(`${label} is never ${word}`);
    }
  }
  for (const label of groups) if (!known.has(label)) faults.push(`no ${label} in ${expr}`);
  if (selectors.length === 0) faults.push(`nothing is asked for: ${expr}`);
  return faults;
}

async function rules(): Promise<Rule[]> {
  const { groups } = parse(await read('docker/prometheus/alerts.yaml')) as {
    groups: readonly { name: string; rules: readonly Rule[] }[];
  };
  expect(new Set(groups.map(({ name }) => name)).size).to.equal(groups.length);
  return groups.flatMap((group) => group.rules);
}

describe('metrics, and what is made of them', function () {
  this.timeout(60_000);
  let exposed: ReadonlyMap<string, Exposed>;

  before(async () => {
    exposed = await scrape();
  });

  it(verifies('OBS-1')('are named by the conventions of Prometheus'), () => {
    for (const [name, { type, labels }] of exposed) {
      expect(name).to.match(/^outrigger_[a-z][a-z0-9_]*$/);
      expect(name, 'base units').to.not.match(/_(ms|millis|milliseconds|minutes|kb|mb|kib|mib)(_|$)/);
      if (!COMMON.test(name)) expect(name.endsWith('_total'), name).to.equal(type === 'counter');
      if (type === 'histogram' && !COMMON.test(name)) expect(name).to.match(/_seconds$/);
      for (const label of labels)
        expect(['session', 'principal', 'subject', 'tool', 'node']).to.not.include(label);
    }
  });

  it('every alert asks for what there is, and says what to do', async () => {
    const runbooks = await read('docs/operators.md');
    for (const { alert, expr, for: lasting, labels, annotations } of await rules()) {
      expect(faultsOf(expr, exposed), alert).to.deep.equal([]);
      expect(alert).to.match(/^Outrigger[A-Za-z]+$/);
      expect(['info', 'warning', 'critical']).to.include(labels.severity);
      expect(lasting ?? '1m').to.match(/^\d+m$/);
      const { summary, description, runbook } = annotations;
      for (const [, label = ''] of `${summary}${description}`.matchAll(/\$labels\.(\w+)/g))
        expect(parseQuery(expr).groups, alert).to.include(label);
      expect(runbook).to.equal(`docs/operators.md#${alert.toLowerCase()}`);
      expect(runbooks.split('\n'), 'its runbook').to.include(`#### ${alert}`);
    }
  });

  it('the command for Kubernetes makes a PrometheusRule of them', async () => {
    const page = await read('docker/kubernetes/README.md');
    const [, command = ''] = /```sh\n(\{ printf [\s\S]*?)```/.exec(page) ?? [];
    const script = command.replace('kubectl apply -f -', 'cat');
    const { stdout } = await promisify(execFile)('sh', ['-c', script], {
      cwd: join(ROOT, 'docker/kubernetes'),
    });
    const { kind, spec } = parse(stdout) as { kind: string; spec: unknown };
    expect(kind).to.equal('PrometheusRule');
    expect(spec).to.deep.equal(parse(await read('docker/prometheus/alerts.yaml')));
  });

  it('the page for operators has no runbook of an alert that is not there', async () => {
    const headings = (await read('docs/operators.md')).matchAll(/^#### (Outrigger\w+)$/gm);
    const alerts = (await rules()).map(({ alert }) => alert);
    expect([...headings].map(([, alert]) => alert)).to.deep.equal(alerts);
  });

  it('every panel of the dashboard asks for what there is', async () => {
    const dashboard = JSON.parse(await read('docker/grafana/outrigger.json')) as {
      readonly __inputs: readonly { readonly name: string }[];
      readonly panels: readonly Panel[];
      readonly templating: { readonly list: readonly { readonly definition: string }[] };
    };
    expect(dashboard.__inputs.map(({ name }) => name)).to.deep.equal(['DS_PROMETHEUS']);
    for (const { definition } of dashboard.templating.list) {
      const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? [];
      expect(exposedAs(metric, exposed)?.labels.has(label), definition).to.equal(true);
    }
    for (const { type, title, datasource, targets = [], gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
      if (type === 'row') continue;
      expect(datasource?.uid, title).to.equal(`\${DS_PROMETHEUS}`);
      expect(targets, title).to.not.have.lengthOf(0);
      for (const { expr, legendFormat } of targets) {
        expect(faultsOf(expr, exposed), title).to.deep.equal([]);
        const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
        const { groups, selectors } = parseQuery(expr);
        const labels = new Set([
          ...SCRAPED,
          ...groups,
          ...selectors.flatMap(({ metric }) => [...(exposedAs(metric, exposed)?.labels ?? [])]),
        ]);
        for (const label of shown) expect([...labels], `${title}: ${legendFormat}`).to.include(label);
      }
    }
  });

  it('every metric that a page names is there, and operators are told of each', async () => {
    const pages = [
      'README.md',
      'ARCHITECTURE.md',
      'docker/kubernetes/README.md',
      'docs/configuration.md',
      'docs/operators.md',
    ];
    const texts = await Promise.all(pages.map(read));
    for (const [at, text] of texts.entries())
      for (const [name] of text.matchAll(/\boutrigger_[a-z_]*[a-z]\b/g))
        expect(
          exposed.has(name) || exposedAs(name, exposed) !== undefined,
          `${name} in ${pages[at]}`,
        ).to.equal(true);
    const told = texts.at(-1) ?? '';
    for (const name of exposed.keys()) if (!COMMON.test(name)) expect(told).to.contain(`\`${name}\``);
  });

  it('the page for operators has every reason', async () => {
    const page = await read('docs/operators.md');
    for (const reason of [...EDGE_REASONS, ...RPC_REASONS]) expect(page).to.contain(`| \`${reason}\` |`);
  });

  it('a query for what nobody exposes is found', () => {
    expect(faultsOf('sum by (color) (rate(outrigger_session_total{size="1"}[5m]))', exposed)).to.deep.equal([
      'nobody exposes outrigger_session_total',
      'no color in sum by (color) (rate(outrigger_session_total{size="1"}[5m]))',
    ]);
    expect(faultsOf('outrigger_exchange_seconds{outcome="nothing"}', exposed)).to.not.deep.equal([]);
    expect(faultsOf('outrigger_ready{replica="a"}', exposed)).to.deep.equal([
      'outrigger_ready has no replica',
    ]);
    expect(() => parseQuery('sum(rate(outrigger_ready[5m])')).to.throw('no PromQL');
  });
});
