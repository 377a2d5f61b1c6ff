import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import { loadSettings } from '../../control-plane/config.ts';
import { loadWebhookSettings } from '../../control-plane/injector/config.ts';
import { inject } from '../../control-plane/injector/inject.ts';
import { at, isList, isMap, type Json, type Path } from '../../control-plane/injector/json.ts';
import { INJECT } from '../../control-plane/injector/settings.ts';
import { ReadFiles } from '../../shared/config/watched-files.ts';
import { SIDECAR_NODE_FLAGS } from '../../shared/sidecar-node-flags.ts';
import { matchesSpiffe } from '../../shared/spiffe-id.ts';
import { VERSION } from '../../shared/version.ts';
import { loadSettings as loadSidecar } from '../../sidecar/config.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { kubernetesFaults } from '../support/kubernetes.ts';
import { AGENT, REPLICA } from '../support/mesh-certificates.ts';

/** Images, compose file and manifests, as far as they can be judged without an engine and a cluster. */
const DOCKER = join(import.meta.dirname, '../../docker');
const KUBERNETES = join(DOCKER, 'kubernetes');

const read = (...path: readonly string[]) => readFileSync(join(DOCKER, ...path), 'utf8');

function objectsIn(folder: string): Json[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return names.flatMap((name) =>
    parseAllDocuments(readFileSync(join(folder, name), 'utf8'), { version: '1.1' })
      .map((document) => document.toJS() as Json)
      .filter((object) => at(object, ['kind']) !== undefined && at(object, ['kind']) !== 'Kustomization'),
  );
}

/** Every value in an object, with its place. */
function everything(value: Json, path: Path = []): { path: Path; value: Json }[] {
  const inside = isList(value)
    ? value.flatMap((item, index) => everything(item, [...path, index]))
    : isMap(value)
      ? Object.entries(value).flatMap(([key, item]) => everything(item, [...path, key]))
      : [];
  return [{ path, value }, ...inside];
}

describe('the images', () => {
  for (const name of ['control-plane', 'sidecar']) {
    const lines = read(`Dockerfile.${name}`).replaceAll(/\\\n/g, '').split('\n');
    const instructions = lines.filter((line) => /^[A-Z]+ /.test(line)).map((line) => line.split(' ')[0]);

    it(`${name}: pinned, in stages, not as root, with a health check`, () => {
      const bases = lines.filter((line) => line.startsWith('FROM '));
      expect(bases).to.have.length.greaterThan(1);
      for (const base of bases) expect(base).to.match(/^FROM node:\d+\.\d+\.\d+-bookworm-slim( AS [a-z]+)?$/);
      const last = instructions.lastIndexOf('FROM');
      expect(instructions.slice(last)).to.include.members(['USER', 'HEALTHCHECK', 'ENTRYPOINT', 'ENV']);
      expect(lines.findLast((line) => line.startsWith('USER'))).to.equal('USER 65532:65532');
      expect(lines).to.include('ENV NODE_ENV=production');
      expect(instructions).not.to.include.members(['ADD']);
      expect(lines.filter((line) => /latest|sudo|curl|chmod 777/.test(line))).to.deep.equal([]);
      for (const line of lines.filter((each) => /^(ENTRYPOINT|CMD) /.test(each)))
        expect(JSON.parse(line.slice(line.indexOf(' ')))).to.be.an('array');
    });

    it(`${name}: sees nothing of the folder but what it is built of`, () => {
      const [, first] = read(`Dockerfile.${name}.dockerignore`).split('\n');
      expect(first).to.equal('*');
      expect(lines.join('\n')).to.contain(`-t outrigger-${name}:${VERSION}`);
    });
  }
});

it('the image of the sidecar runs Node as every sidecar of ours is run', () => {
  const entry = read('Dockerfile.sidecar')
    .split('\n')
    .findLast((line) => line.startsWith('ENTRYPOINT'));
  expect(JSON.parse(entry?.slice('ENTRYPOINT '.length) ?? '')).to.include.members([...SIDECAR_NODE_FLAGS]);
});

describe('configurations for containers', () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-docker-'));
    const certificates = { ca: AUTHORITY, tls: REPLICA, replica: REPLICA, sidecar: AGENT };
    for (const [name, text] of Object.entries(certificates)) writeFileSync(join(folder, `${name}.crt`), text);
    for (const name of ['tls', 'replica', 'sidecar']) writeFileSync(join(folder, `${name}.key`), KEY);
    const key = Buffer.alloc(32, 3).toString('base64');
    for (const name of ['server', 'index', 'server.key', 'index.key']) writeFileSync(join(folder, name), key);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('those of the compose file are taken by the programs, and fit each other', () => {
    const env = { OUTRIGGER_SECRETS: folder };
    const replica = loadSettings({ file: 'outrigger.yaml', env, cwd: join(DOCKER, 'compose') });
    const sidecar = loadSidecar({ argv: ['--config', 'sidecar.yaml'], env, cwd: join(DOCKER, 'compose') });
    const secrets = read('compose/secrets.sh');
    expect(secrets).to.contain(`URI:${sidecar.tls?.serverId}'`);
    expect(secrets).to.contain(`URI:${replica.meshTls?.clients?.[0]?.id}'`);
    const compose = parse(read('compose.yaml'), { merge: true }) as {
      services: Record<string, Record<string, unknown>>;
    };
    const port = replica.listen.grpc.port;
    for (const address of sidecar.controlPlane as readonly string[]) {
      const [host = '', at = ''] = address.split(':');
      expect(compose.services).to.have.property(host);
      expect(Number(at)).to.equal(port);
    }
  });

  it('the compose file: two replicas, two agents in the networks of their sidecars, a Redis that keeps what it has', () => {
    const { services, volumes } = parse(read('compose.yaml'), { merge: true }) as {
      services: Record<
        string,
        { image: string; command?: string[]; network_mode?: string; depends_on?: object; volumes?: string[] }
      >;
      volumes: object;
    };
    const names = Object.keys(services);
    expect(names.filter((name) => name.startsWith('replica-'))).to.have.length(2);
    for (const [name, { image, network_mode = '', depends_on = {}, volumes: mounts = [] }] of Object.entries(
      services,
    )) {
      expect(image, name).to.match(/:\d+\.\d+\.\d+/);
      if (name.startsWith('agent-')) expect(names).to.include(network_mode.replace('service:', ''));
      expect(names).to.include.members(Array.isArray(depends_on) ? depends_on : Object.keys(depends_on));
      for (const mount of mounts) {
        const [source = ''] = mount.split(':');
        if (source.startsWith('./')) expect(() => readFileSync(join(DOCKER, source)), mount).not.to.throw();
        else expect(volumes, mount).to.have.property(source);
      }
    }
    expect(services['redis']?.command?.join(' ')).to.contain('noeviction').and.contain('--appendonly yes');
  });

  it('those of the manifests are taken by the programs, and speak of one another', () => {
    const env = { OUTRIGGER_TLS: folder, OUTRIGGER_KEYS: folder, REDIS_URL: 'rediss://redis:6379' };
    const replica = loadSettings({ file: 'outrigger.yaml', env, cwd: KUBERNETES });
    const webhook = loadWebhookSettings({
      file: 'webhook-config.yaml',
      env,
      cwd: KUBERNETES,
      files: new ReadFiles(),
    });
    expect(webhook.sidecar.controlPlane).to.equal(`outrigger.outrigger.svc:${replica.listen.grpc.port}`);
    expect(replica.identity.issuers[0]?.audiences).to.deep.equal([webhook.sidecar.token.audience]);
    const certificates = read('kubernetes/optional/certificates.yaml');
    expect(certificates).to.contain(`"${webhook.sidecar.tls.serverId}"`);
    expect(certificates).to.contain(`secretName: ${webhook.sidecar.tls.secret}`);
    const agent = /spiffe:\/\/mesh\.example\/ns\/agents[^"]*/.exec(certificates)?.[0] ?? '';
    expect(matchesSpiffe(replica.meshTls?.clients?.[0]?.id ?? '', agent)).to.equal(true);
    expect(webhook.neverIn).to.include('outrigger');
    for (const image of [webhook.sidecar.image, read('kubernetes/control-plane.yaml')])
      expect(image).to.contain(`:${VERSION}`);
  });
});

describe('the manifests for Kubernetes', () => {
  const objects = objectsIn(KUBERNETES).filter((object) => at(object, ['metadata']) !== undefined);
  const workloads = objects.filter((object) => at(object, ['kind']) === 'Deployment');
  const ofKind = (kind: string) => objects.filter((object) => at(object, ['kind']) === kind);
  const nameOf = (object: Json) => String(at(object, ['metadata', 'name']));

  it('are what the schemas of Kubernetes allow', () => {
    const kinds = objects.map((object) => at(object, ['kind']));
    expect(kinds).to.include.members(
      'Deployment Service ServiceAccount ClusterRoleBinding PodDisruptionBudget NetworkPolicy HorizontalPodAutoscaler MutatingWebhookConfiguration'.split(
        ' ',
      ),
    );
    expect(objects.flatMap((object) => kubernetesFaults(object as object))).to.deep.equal([]);
    const listed = parse(read('kubernetes/kustomization.yaml')) as { resources: string[] };
    const configs = ['kustomization.yaml', 'outrigger.yaml', 'webhook-config.yaml'];
    const files = readdirSync(KUBERNETES).filter((name) => name.endsWith('.yaml') && !configs.includes(name));
    expect(listed.resources.toSorted()).to.deep.equal(files.toSorted());
  });

  it('every pod may do nothing that it need not, in a namespace that holds it to that', () => {
    expect(
      at(ofKind('Namespace')[0] ?? null, ['metadata', 'labels', 'pod-security.kubernetes.io/enforce']),
    ).to.equal('restricted');
    for (const workload of workloads) {
      const spec = at(workload, ['spec', 'template', 'spec']);
      expect(at(spec, ['securityContext'])).to.deep.include({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(at(spec, ['automountServiceAccountToken'])).to.equal(false);
      expect(at(spec, ['containers', 0, 'securityContext'])).to.deep.equal({
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      });
      expect(at(spec, ['containers', 0, 'resources', 'limits', 'memory']), nameOf(workload)).to.be.a(
        'string',
      );
    }
  });

  it('selectors find pods, ports and volumes have their names, accounts are there', () => {
    const accounts = ofKind('ServiceAccount').map(nameOf);
    for (const workload of workloads) {
      const labels = at(workload, ['spec', 'template', 'metadata', 'labels']);
      expect(at(workload, ['spec', 'selector', 'matchLabels'])).to.deep.equal(labels);
      const spec = at(workload, ['spec', 'template', 'spec']) ?? null;
      expect(accounts).to.include(at(spec, ['serviceAccountName']));
      const names = (path: Path) => ((at(spec, path) ?? []) as Json[]).map((each) => at(each, ['name']));
      expect(names(['volumes'])).to.include.members(names(['containers', 0, 'volumeMounts']));
      for (const { path, value } of everything(spec)) {
        if (path.at(-1) === 'port' && path.includes('httpGet'))
          expect(names(['containers', 0, 'ports'])).to.include(value);
      }
    }
    const selected = [
      ...ofKind('Service').map((each) => at(each, ['spec', 'selector'])),
      ...ofKind('PodDisruptionBudget').map((each) => at(each, ['spec', 'selector', 'matchLabels'])),
      ...ofKind('NetworkPolicy').map((each) => at(each, ['spec', 'podSelector', 'matchLabels'])),
    ];
    const labels = workloads.map((each) => at(each, ['spec', 'template', 'metadata', 'labels']));
    for (const each of selected) expect(labels).to.deep.include(each);
    expect(workloads.map(nameOf)).to.include(
      at(ofKind('HorizontalPodAutoscaler')[0] ?? null, ['spec', 'scaleTargetRef', 'name']),
    );
  });

  it('the webhook stops no pod, does nothing twice, and is asked about those who wish it', () => {
    const [configuration = null] = ofKind('MutatingWebhookConfiguration');
    const webhooks = at(configuration, ['webhooks']) as readonly Json[];
    expect(webhooks.map((each) => at(each, ['clientConfig', 'service', 'path']))).to.deep.equal([
      '/inject/namespace',
      '/inject/pod',
    ]);
    for (const webhook of webhooks) {
      expect(webhook).to.include({
        failurePolicy: 'Ignore',
        sideEffects: 'None',
        reinvocationPolicy: 'IfNeeded',
      });
      const service = at(webhook, ['clientConfig', 'service', 'name']);
      expect(ofKind('Service').map(nameOf)).to.include(service);
      expect(
        JSON.stringify([at(webhook, ['namespaceSelector']), at(webhook, ['objectSelector'])]),
      ).to.contain(INJECT);
    }
  });

  it('nothing of the mesh itself is injected', () => {
    const env = { OUTRIGGER_TLS: '/' };
    const { sidecar } = loadWebhookSettings({
      file: 'webhook-config.yaml',
      env,
      cwd: KUBERNETES,
      files: new ReadFiles(),
    });
    for (const workload of workloads) {
      expect(inject(workload, { settings: sidecar, demandOptIn: true }).outcomes[0]?.reason).to.equal(
        'not_opted_in',
      );
    }
  });

  it('what needs other definitions has at least their shape', () => {
    const optional = objectsIn(join(KUBERNETES, 'optional'));
    expect(optional.map((object) => at(object, ['kind']))).to.include.members([
      'Certificate',
      'ClusterIssuer',
      'ServiceMonitor',
    ]);
    for (const object of optional) expect(nameOf(object)).to.match(/^[a-z][a-z-]+$/);
  });
});
