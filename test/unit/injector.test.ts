import { expect } from 'chai';
import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { parseAllDocuments } from 'yaml';
import { toJsonPatch } from '../../control-plane/injector/edits.ts';
import { annotate, inject } from '../../control-plane/injector/inject.ts';
import { at, type Json } from '../../control-plane/injector/json.ts';
import { changeManifest, ManifestError } from '../../control-plane/injector/manifest.ts';
import { STATUS } from '../../control-plane/injector/settings.ts';
import { uninject } from '../../control-plane/injector/uninject.ts';
import { loadSettings } from '../../sidecar/config.ts';
import { SETTINGS } from '../injector/settings.ts';
import { verifies } from '../requirements.ts';

const AGENT = { name: 'agent', image: 'example/agent:1.0.0' };
const asked = { settings: SETTINGS, demandOptIn: false };
const byPod = { settings: SETTINGS, demandOptIn: true };

function pod(spec: Record<string, Json> = {}, metadata: Record<string, Json> = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', ...metadata },
    spec: { containers: [AGENT], ...spec },
  };
}

function sidecarOf(object: Json): Record<string, Json> {
  return at(object, ['spec', 'initContainers', 0]) as Record<string, Json>;
}

describe('injection', () => {
  it(
    verifies('X3')('the sidecar starts before the agent and ends after it, and is ready without a replica'),
    () => {
      const { object, outcomes } = inject(pod({ initContainers: [{ ...AGENT, name: 'first' }] }), asked);
      expect(outcomes).to.deep.equal([{ kind: 'Pod', name: 'p', namespace: '', reason: 'injected' }]);
      const sidecar = sidecarOf(object);
      expect(sidecar).to.include({ name: 'outrigger-sidecar', restartPolicy: 'Always' });
      const path = (probe: string) => at(sidecar, [probe, 'httpGet', 'path']);
      expect([path('startupProbe'), path('readinessProbe'), path('livenessProbe')]).to.deep.equal([
        '/startupz',
        '/startupz',
        '/livez',
      ]);
    },
  );

  it('a label chooses the virtual server, and an annotation wins over it', () => {
    const chosen = (metadata: Parameters<typeof pod>[1]) => {
      const { object } = inject(pod({}, metadata), asked);
      return (JSON.parse(String(at(sidecarOf(object), ['env', 2, 'value']))) as { virtualServer: string })
        .virtualServer;
    };
    const labels = { 'outrigger.dev/virtual-server': 'tickets' };
    expect(chosen({ labels })).to.equal('tickets');
    const annotations = { 'outrigger.dev/virtual-server': 'files' };
    expect(chosen({ labels, annotations })).to.equal('files');
    expect(chosen({})).to.equal('default');
  });

  it('the sidecar takes the configuration that it is given', () => {
    const { object } = inject(pod({}, { annotations: { 'outrigger.dev/virtual-server': 'tickets' } }), asked);
    const config = at(sidecarOf(object), ['env', 2, 'value']);
    const told = (): string => {
      try {
        loadSettings({
          argv: ['--node', 'red.p'],
          env: { OUTRIGGER_SIDECAR_CONFIG: String(config) },
          cwd: '/',
        });
        return '';
      } catch (error) {
        return error instanceof Error ? error.message : '';
      }
    };
    // On this machine there are no such files: nothing else is wrong.
    expect(told().split('\n')).to.have.length(3);
    for (const line of told().split('\n'))
      expect(line).to.match(/controlPlane\.tls\.(ca|cert|key): cannot read/);
    expect(config).to.contain('"virtualServer":"tickets"');
  });

  it('the sidecar may do nothing that it need not', () => {
    const { object } = inject(pod(), asked);
    expect(at(sidecarOf(object), ['securityContext'])).to.deep.equal({
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(at(object, ['spec', 'volumes', 0, 'projected', 'sources', 0, 'serviceAccountToken'])).to.include({
      audience: 'outrigger',
    });
  });

  const declined: readonly (readonly [what: string, object: Json, reason: string])[] = [
    ['a pod on the network of its host', pod({ hostNetwork: true }), 'host_network'],
    ['a pod on Windows', pod({ os: { name: 'windows' } }), 'windows'],
    ['a static pod', pod({}, { annotations: { 'kubernetes.io/config.mirror': 'x' } }), 'static_pod'],
    ['a label that says no', pod({}, { labels: { 'outrigger.dev/inject': 'disabled' } }), 'opted_out'],
    [
      'an annotation that says no',
      pod({}, { annotations: { 'outrigger.dev/inject': 'false' } }),
      'opted_out',
    ],
    [
      'a label that says something',
      pod({}, { labels: { 'outrigger.dev/inject': 'maybe' } }),
      'invalid_annotation',
    ],
    [
      'no name of a virtual server',
      pod({}, { annotations: { 'outrigger.dev/virtual-server': 'a b' } }),
      'invalid_annotation',
    ],
    ['a status that is none', pod({}, { annotations: { [STATUS]: '{}' } }), 'invalid_annotation'],
    [
      "the sidecar's name for something else",
      pod({ containers: [{ ...AGENT, name: 'outrigger-sidecar' }] }),
      'name_conflict',
    ],
    ["one of the sidecar's volumes", pod({ volumes: [{ name: 'outrigger-tls' }] }), 'name_conflict'],
    [
      "one of the sidecar's ports",
      pod({ containers: [{ ...AGENT, ports: [{ containerPort: 4280 }] }] }),
      'port_conflict',
    ],
    ['containers that are none', pod({ containers: 'agent' }), 'invalid_template'],
    ['two containers of one name', pod({ containers: [AGENT, AGENT] }), 'invalid_template'],
    ['labels that are a list', pod({}, { labels: [] }), 'invalid_template'],
    ['no pods', { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' } }, 'unsupported_kind'],
    [
      'a kind of another group',
      { apiVersion: 'example/v1', kind: 'Deployment', spec: {} },
      'unsupported_kind',
    ],
    ['no template', { apiVersion: 'apps/v1', kind: 'Deployment', spec: {} }, 'no_pod_template'],
    ['a text', 'what', 'unsupported_kind'],
  ];
  for (const [what, object, reason] of declined) {
    it(`${what} is declined as ${reason} and left alone`, () => {
      const result = inject(object, asked);
      expect(result.outcomes.map((outcome) => outcome.reason)).to.deep.equal([reason]);
      expect(result.object).to.equal(object);
      expect(result.edits).to.deep.equal([]);
    });
  }

  it('where nobody else has asked, the pod itself must', () => {
    const wish = { labels: { 'outrigger.dev/inject': 'enabled' } };
    expect(inject(pod(), byPod).outcomes[0]?.reason).to.equal('not_opted_in');
    expect(inject(pod({}, wish), byPod).outcomes[0]?.reason).to.equal('injected');
  });

  it('a status annotation that was copied to another pod is not believed', () => {
    const { object } = inject(pod(), asked);
    const annotations = at(object, ['metadata', 'annotations']) ?? null;
    const copied = inject(pod({}, { annotations }), asked);
    expect(copied.outcomes[0]).to.include({ reason: 'invalid_annotation', detail: STATUS });
  });

  it('a marked workload is injected, and both are undone one after the other', () => {
    const marked = annotate(pod(), asked);
    expect(at(marked.object, ['metadata', 'labels'])).to.deep.equal({ 'outrigger.dev/inject': 'enabled' });
    expect(annotate(marked.object, asked).outcomes[0]?.reason).to.equal('already_annotated');
    const whole = inject(marked.object, byPod);
    expect(whole.outcomes[0]?.reason).to.equal('injected');
    expect(uninject(whole.object).object).to.deep.equal(marked.object);
    expect(uninject(marked.object).object).to.deep.equal(pod());
    expect(uninject(pod()).outcomes[0]?.reason).to.equal('not_injected');
  });

  it('what others did since stays when it is undone', () => {
    const { object } = inject(pod(), asked);
    const { newDocument } = jsonPatch.applyPatch(structuredClone(object) as object, [
      { op: 'add', path: '/spec/containers/0/env/0', value: { name: 'LATER', value: '1' } },
      { op: 'add', path: '/spec/containers/0', value: { name: 'later', image: 'x' } },
      { op: 'add', path: '/metadata/annotations/later', value: 'yes' },
    ]);
    const undone = uninject(newDocument as Json).object;
    expect(at(undone, ['spec', 'containers'])).to.deep.equal([
      { name: 'later', image: 'x' },
      { ...AGENT, env: [{ name: 'LATER', value: '1' }] },
    ]);
    expect(at(undone, ['metadata', 'annotations'])).to.deep.equal({ later: 'yes' });
    expect(at(undone, ['spec', 'volumes'])).to.equal(undefined);
  });
});

/** Pods as people write them, with all that may be missing, null or empty. */
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.oneof(fc.constant(undefined), fc.constant(null), value);
const texts = fc.dictionary(fc.stringMatching(/^[a-z~/.]{1,8}$/), fc.string({ maxLength: 8 }), {
  maxKeys: 3,
});
const env = fc.array(
  fc.record({ name: fc.constantFrom('A', 'B', 'MCP_URL'), value: fc.string({ maxLength: 5 }) }),
  {
    maxLength: 3,
  },
);
const container = fc.record({ name, image: fc.string({ maxLength: 8 }), env: maybe(env) });
const containers = (minLength: number) =>
  fc.uniqueArray(container, { minLength, maxLength: 3, selector: (each) => each.name });
const template = fc.record({
  metadata: maybe(fc.record({ labels: maybe(texts), annotations: maybe(texts) })),
  spec: fc.record({
    containers: containers(1),
    initContainers: maybe(containers(0)),
    volumes: maybe(fc.array(fc.record({ name }), { maxLength: 2 })),
  }),
});
const workload = fc
  .record({ template, kind: fc.constantFrom('Pod', 'Deployment', 'CronJob', 'List') })
  .map(({ template: whole, kind }): Json => {
    const of: Record<string, object> = {
      Pod: { apiVersion: 'v1', kind, ...whole },
      Deployment: { apiVersion: 'apps/v1', kind, spec: { template: whole } },
      CronJob: { apiVersion: 'batch/v1', kind, spec: { jobTemplate: { spec: { template: whole } } } },
      List: { apiVersion: 'v1', kind, items: [{ apiVersion: 'v1', kind: 'Pod', ...whole }] },
    };
    return JSON.parse(JSON.stringify(of[kind])) as Json;
  });

describe('injection, for whatever is written', () => {
  it('what is undone is what it was; twice is once; a patch of it is the same', () => {
    fc.assert(
      fc.property(workload, (object) => {
        const before = structuredClone(object);
        const result = inject(object, asked);
        expect(object).to.deep.equal(before);
        expect(result.outcomes[0]?.reason).to.equal('injected');
        expect(uninject(result.object).object).to.deep.equal(object);
        expect(inject(result.object, asked).object).to.equal(result.object);
        const patch = JSON.parse(JSON.stringify(toJsonPatch(result.edits))) as jsonPatch.Operation[];
        const patched = jsonPatch.applyPatch(structuredClone(object) as object, patch, true);
        expect(patched.newDocument).to.deep.equal(result.object);
        const marked = annotate(object, asked);
        expect(uninject(marked.object).object).to.deep.equal(object);
      }),
      { numRuns: 300 },
    );
  });

  it('and so it is with its text', () => {
    fc.assert(
      fc.property(workload, (object) => {
        const text = JSON.stringify(object, null, 2);
        const yaml = `# one\n${text}\n---\n# two\n${text}\n`;
        const injected = changeManifest(yaml, (each) => inject(each, asked));
        expect(injected.outcomes.map(({ reason, document }) => `${document} ${reason}`)).to.deep.equal([
          '1 injected',
          '2 injected',
        ]);
        const undone = changeManifest(injected.text, uninject).text;
        const read = parseAllDocuments(undone, { version: '1.1' }).map((document) => document.toJS() as Json);
        expect(read).to.deep.equal([object, object]);
      }),
      { numRuns: 30 },
    );
  });
});

describe('manifests as text', () => {
  const change = (text: string) => changeManifest(text, (object) => inject(object, asked));
  const refusal = (text: string): ManifestError => {
    try {
      change(text);
    } catch (error) {
      if (error instanceof ManifestError) return error;
      throw error;
    }
    throw new Error('it was taken');
  };

  it('what is no manifest is refused, with its document and line', () => {
    expect(refusal('a: 1\n---\n\n- b\n')).to.include({ document: 2, line: 4, message: 'expected an object' });
    expect(refusal('a: 1\n---\na: [1\n')).to.include({ document: 2 });
    expect(refusal('a: 1\na: 2\n').message).to.equal('not valid YAML (duplicate key)');
    expect(refusal('[1]')).to.include({ document: 1 });
    expect(refusal('a: *nowhere\n').message).to.match(/not valid YAML|aliases/);
  });

  it('nothing, and comments alone, stay what they are', () => {
    for (const text of ['', '\n', '# nothing\n', '---\n---\n', '---\n# a\n...\n'])
      expect(change(text).text).to.equal(text);
  });

  it('what looks like another type keeps its letters, and line ends theirs', () => {
    const text =
      'apiVersion: v1\r\nkind: Pod\r\nmetadata: { name: "0x10", labels: { a: "yes", b: 0o17 } }\r\nspec:\r\n  hostNetwork: no\r\n  x: [ 1.10, 0644, 1e3, 2001-01-01, ~, off ]\r\n  containers:\r\n    - name: a\r\n      image: i\r\n';
    const { text: injected } = change(text);
    for (const word of ['"0x10"', '"yes"', '0o17', 'hostNetwork: no', '1.10, 0644, 1e3, 2001-01-01, ~, off'])
      expect(injected).to.contain(word);
    expect(injected.replaceAll('\r\n', '')).not.to.contain('\n');
    expect(changeManifest(injected, uninject).text).to.equal(text);
  });
});
