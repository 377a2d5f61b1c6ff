import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { sidecarTracing } from '../../control-plane/cli/sidecar-tracing.ts';
import { loadSettings as loadControlPlane } from '../../control-plane/config.ts';
import { loadInjectionSettings } from '../../control-plane/injector/config.ts';
import { sidecarContainer } from '../../control-plane/injector/sidecar-container.ts';
import { ConfigError } from '../../shared/config/parse.ts';
import { ReadFiles } from '../../shared/config/watched-files.ts';
import { redact } from '../../shared/redact.ts';
import { loadSettings as loadSidecar } from '../../sidecar/config.ts';

const KEY = 'a-key-of-the-collector';
const MESH = { mcpServers: { a: { url: 'http://127.0.0.1:1/' } }, identity: { anonymous: true } };

describe('where traces go', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-tracing-'));
    writeFileSync(join(folder, 'key'), `${KEY}\n`);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** The same section, of both programs. */
  const PROGRAMS = {
    sidecar(tracing: unknown) {
      writeFileSync(join(folder, 'sidecar.json'), JSON.stringify({ tracing }));
      return loadSidecar({ argv: ['--config', 'sidecar.json'], env: { KEY }, cwd: folder }).tracing;
    },
    'control plane'(tracing: unknown) {
      writeFileSync(join(folder, 'mesh.json'), JSON.stringify({ ...MESH, tracing }));
      return loadControlPlane({ file: 'mesh.json', env: { KEY }, cwd: folder }).tracing;
    },
  };

  function problems(load: (tracing: unknown) => unknown, tracing: unknown): string {
    try {
      load(tracing);
    } catch (thrown) {
      if (thrown instanceof ConfigError) return thrown.message;
      throw thrown;
    }
    return '';
  }

  for (const [program, load] of Object.entries(PROGRAMS)) {
    describe(`from a ${program}`, () => {
      it('is nowhere unless it is said', () => {
        expect(load(undefined)).to.equal(undefined);
      });

      it('is a collector, with its secrets from files and the environment', () => {
        const headers = { Authorization: { file: 'key' }, 'X-Key': { env: 'KEY' } };
        expect(load({ otlp: { url: 'https://otlp.example/v1/traces', headers }, ratio: 0.1 })).to.deep.equal({
          url: 'https://otlp.example/v1/traces',
          headers: { authorization: KEY, 'x-key': KEY },
          encoding: 'protobuf',
          timeoutMs: 10_000,
          ratio: 0.1,
          queue: 2_048,
          intervalMs: 5_000,
          attributes: {},
        });
        expect(redact(`it said ${KEY}`)).to.not.contain(KEY);
      });

      it('is no place that secrets would go to in the open, and nothing that is none', () => {
        const headers = { authorization: { env: 'KEY' } };
        for (const [tracing, expected] of [
          [{ otlp: { url: 'http://otlp.example/v1/traces', headers } }, 'secrets go over https'],
          [{ otlp: { url: 'otlp.example:4318' } }, 'expected an http or https URL'],
          [{ otlp: { url: 'https://me:secret@otlp.example/' } }, 'expected an http or https URL'],
          [{ otlp: { url: 'http://127.0.0.1:4318/', headers: { authorization: 'Bearer x' } } }, 'headers'],
          [{ otlp: { url: 'http://127.0.0.1:4318/', headers: { a: { env: 'NONE' } } } }, 'NONE is not set'],
          [{ otlp: { url: 'http://127.0.0.1:4318/' }, ratio: 2 }, 'expected a number from 0 to 1'],
          [{ otlp: { url: 'http://127.0.0.1:4318/' }, sampling: 1 }, 'unknown key'],
          [{}, 'is required'],
        ] as const) {
          expect(problems(load, tracing), JSON.stringify(tracing)).to.contain(expected);
        }
        expect(problems(load, { otlp: { url: 'http://127.0.0.1:4318/', headers } })).to.equal('');
      });
    });
  }

  it('is told to the sidecar of a mesh on one machine, which reads the same of it', () => {
    const headers = { authorization: { env: 'KEY' } };
    const otlp = { url: 'http://127.0.0.1:4318/v1/traces', headers, timeout: '1s' };
    const replicas = PROGRAMS['control plane']({ otlp, ratio: 0.5, interval: '1s', attributes: { a: 'b' } });
    const env = sidecarTracing(replicas);
    expect(loadSidecar({ argv: [], env, cwd: folder }).tracing).to.deep.equal(replicas);
    expect(sidecarTracing(undefined)).to.deep.equal({});
  });

  it('is told to a sidecar that is injected', () => {
    const file = join(folder, 'inject.yaml');
    writeFileSync(file, 'sidecar: { tracing: { url: "http://otel.infra:4318/v1/traces", ratio: 0.1 } }\n');
    const settings = loadInjectionSettings({}, { file, env: {}, cwd: folder, files: new ReadFiles() });
    const [config] = (
      sidecarContainer(settings, 'default')['env'] as { name: string; value?: string }[]
    ).filter(({ name }) => name === 'OUTRIGGER_SIDECAR_CONFIG');
    const said = JSON.parse(config?.value ?? '') as { tracing?: unknown };
    expect(PROGRAMS.sidecar(said.tracing)).to.deep.include({
      url: 'http://otel.infra:4318/v1/traces',
      ratio: 0.1,
    });
  });
});
