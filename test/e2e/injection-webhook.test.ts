import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent, type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import jsonPatch from 'fast-json-patch';
import { inject } from '../../control-plane/injector/inject.ts';
import type { Json } from '../../control-plane/injector/json.ts';
import { SETTINGS } from '../injector/settings.ts';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { AUTHORITY, KEY, VALID } from '../support/certificates.ts';
import { kubernetesFaults } from '../support/kubernetes.ts';
import { OTHER_KEY, REPLICA_RENEWED } from '../support/mesh-certificates.ts';
import { freePorts } from '../support/ports.ts';
import { TestProcess } from '../support/process.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Review {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly patchType?: string;
    readonly warnings?: readonly string[];
    readonly auditAnnotations: { readonly injection: string };
  };
}

/** As a ReplicaSet makes it: without a name, and without lists that it does not need. */
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { generateName: 'agent-7d9f-', labels: { app: 'agent' } },
  spec: { containers: [{ name: 'agent', image: 'example/agent:1.0.0' }] },
};

/** The webhook as it is started in a cluster, and an API server's way of asking it. */
class WebhookProcess extends TestProcess implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly ops: string;
  readonly agent = new Agent({ keepAlive: true, maxSockets: 1, ca: AUTHORITY, servername: 'localhost' });

  constructor(folder: string, ports: { readonly webhook: number; readonly ops: number }) {
    const ops = `http://127.0.0.1:${ports.ops}`;
    const args = [OUTRIGGER, 'webhook', '--config', join(folder, 'webhook.json')];
    super({ name: 'webhook', args, readyUrl: `${ops}/readyz` });
    this.folder = folder;
    this.port = ports.webhook;
    this.ops = ops;
  }

  static async start(): Promise<WebhookProcess> {
    await ensureBuilt();
    const folder = await mkdtemp(join(tmpdir(), 'outrigger-webhook-'));
    const [webhook = 0, ops = 0] = await freePorts(2);
    const process = new WebhookProcess(folder, { webhook, ops });
    await process.write('tls.crt', VALID);
    await process.write('tls.key', KEY);
    await process.configure({ image: SETTINGS.image });
    await process.start();
    return process;
  }

  async configure(sidecar: object): Promise<void> {
    const listen = { webhook: `127.0.0.1:${this.port}`, ops: this.ops.slice('http://'.length) };
    const tls = { cert: 'tls.crt', key: 'tls.key' };
    const serverId = SETTINGS.tls.serverId;
    const config = { listen, tls, sidecar: { tls: { serverId }, ...sidecar }, log: { format: 'json' } };
    await this.write('webhook.json', JSON.stringify(config));
  }

  async write(name: string, text: string): Promise<void> {
    await writeFile(join(this.folder, `.${name}`), text);
    await rename(join(this.folder, `.${name}`), join(this.folder, name));
  }

  ask(path: string, body: string, more: RequestOptions = {}): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    const options = {
      host: '127.0.0.1',
      port: this.port,
      path,
      method: 'POST',
      agent: this.agent,
      headers,
      ...more,
    };
    return new Promise((resolve, reject) => {
      const asked = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  async review(
    object: object,
    { path = '/inject/namespace', namespace = 'red' } = {},
  ): Promise<Review['response']> {
    const review = {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'u-1',
        operation: 'CREATE',
        namespace,
        object,
        resource: { version: 'v1', resource: 'pods' },
      },
    };
    const { status, body } = await this.ask(path, JSON.stringify(review));
    expect(status).to.equal(200);
    return (JSON.parse(body) as Review).response;
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.ops}/metrics`)).text();
  }

  async said(text: string): Promise<void> {
    const end = performance.now() + 8_000;
    while (!this.log().some((line) => line.includes(text))) {
      if (performance.now() > end) throw new Error(`it did not say ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** The common name of the certificate that new connections see. */
  certificate(): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ port: this.port, host: 'localhost', ca: AUTHORITY }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on('error', reject);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.destroy();
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function patched(object: object, { patch, patchType }: Review['response']): object {
  expect(patchType).to.equal('JSONPatch');
  const operations = JSON.parse(Buffer.from(patch ?? '', 'base64').toString()) as jsonPatch.Operation[];
  return jsonPatch.applyPatch(structuredClone(object), operations, true).newDocument;
}

describe('the admission webhook', () => {
  it(verifies('X3')('its patch makes of a pod what outrigger inject makes of it'), async () => {
    await using webhook = await WebhookProcess.start();
    const escaped = { ...POD, metadata: { ...POD.metadata, annotations: { 'a.example/b~c': '1' } } };
    const nothing = { ...POD, metadata: null };
    for (const pod of [POD, escaped, nothing]) {
      const response = await webhook.review(pod);
      expect(response).to.include({ uid: 'u-1', allowed: true });
      const object = patched(pod, response);
      expect(object).to.deep.equal(inject(pod as Json, { settings: SETTINGS, demandOptIn: false }).object);
      expect(kubernetesFaults({ metadata: {}, ...object })).to.deep.equal([]);
      const again = await webhook.review(object);
      expect(again.patch).to.equal(undefined);
      expect(again.auditAnnotations).to.deep.equal({ injection: 'already_injected' });
    }
    expect(await webhook.metrics()).to.contain('outrigger_injector_reviews_total{reason="injected"} 3');
  });

  it('declines with a reason, a line, a count and where it surprises a warning, and never stops a pod', async () => {
    await using webhook = await WebhookProcess.start();
    const onHost = { ...POD, spec: { ...POD.spec, hostNetwork: true } };
    const cases = [
      ['host_network', onHost, {}, 1],
      ['not_opted_in', POD, { path: '/inject/pod' }, 0],
      ['never_here', POD, { namespace: 'kube-system' }, 0],
      ['unsupported_kind', { kind: 'ConfigMap', apiVersion: 'v1' }, {}, 0],
      ['invalid_template', { ...POD, spec: { containers: 'x' } }, {}, 1],
    ] as const;
    for (const [reason, object, how, warnings] of cases) {
      const response = await webhook.review(object, how);
      expect(response, reason).to.include({ allowed: true });
      expect(response.patch, reason).to.equal(undefined);
      expect(response.warnings ?? [], reason).to.have.length(warnings);
      await webhook.said(`"reason":"${reason}"`);
      expect(await webhook.metrics()).to.contain(`outrigger_injector_reviews_total{reason="${reason}"} 1`);
    }
    expect((await webhook.review(onHost)).warnings?.[0]).to.contain('network of its host');
    expect(webhook.log().filter((line) => line.includes('injection_declined'))).to.have.length(6);
  });

  it('what is no review, or too long, is refused, and the next one is answered', async () => {
    await using webhook = await WebhookProcess.start();
    const asked = async (path: string, body: string, more?: RequestOptions) =>
      (await webhook.ask(path, body, more).catch(() => ({ status: 0 }))).status;
    expect(await asked('/inject/pod', 'what')).to.equal(400);
    expect(
      await asked('/inject/pod', '{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}'),
    ).to.equal(400);
    expect(await asked('/inject/nowhere', '{}')).to.equal(404);
    expect(await asked('/inject/pod', '', { method: 'GET' })).to.equal(405);
    expect(await asked('/inject/pod', '{}', { headers: { 'content-type': 'text/plain' } })).to.equal(415);
    expect(
      await asked('/inject/pod', ' '.repeat(7 * 1024 * 1024), {
        agent: false,
        ca: AUTHORITY,
        servername: 'localhost',
      }),
    ).to.be.oneOf([413, 0]);
    expect((await webhook.review(POD)).auditAnnotations).to.deep.equal({ injection: 'injected' });
  });

  it('certificate and configuration are read again, and a connection that stands goes on', async () => {
    await using webhook = await WebhookProcess.start();
    await webhook.review(POD);
    expect(await webhook.certificate()).to.equal('valid');
    await webhook.write('tls.crt', REPLICA_RENEWED);
    await webhook.configure({ image: 'registry.example/another:2' });
    await webhook.said('config_applied');
    expect(await webhook.certificate()).to.equal('replica-renewed');
    expect(JSON.stringify(patched(POD, await webhook.review(POD)))).to.contain('registry.example/another:2');

    await webhook.write('tls.key', OTHER_KEY);
    await webhook.said('config_rejected');
    expect(await webhook.certificate()).to.equal('replica-renewed');
    expect((await webhook.review(POD)).allowed).to.equal(true);
  });

  it('ends at SIGTERM, and says what is wrong before it starts', async () => {
    await using webhook = await WebhookProcess.start();
    await webhook.kill('SIGTERM');
    expect(await webhook.exited).to.deep.equal({ code: 0, signal: null });
    await webhook.write('webhook.json', '{"sidecar":{"imag":"x"}}');
    await webhook.start({ awaitReady: false });
    expect(await webhook.exited).to.deep.equal({ code: 64, signal: null });
    expect(webhook.log().at(-1)).to.contain('sidecar.imag: unknown key; did you mean image?');
  });
});
