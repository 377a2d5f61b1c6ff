import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { CLIENT_HEADERS, PING } from '../support/edge.ts';
import { freePorts } from '../support/ports.ts';
import { TestProcess } from '../support/process.ts';

const MAIN = fileURLToPath(new URL('../../sidecar/main.ts', import.meta.url));

describe('the sidecar as a process, with no replica in reach', () => {
  let folder: string;
  const processes: TestProcess[] = [];

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-sidecar-'));
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((each) => each.kill()));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Starts a sidecar that looks for its replica where none is. */
  async function sidecar(
    options: {
      config?: object;
      flags?: readonly string[];
      env?: Record<string, string>;
      node?: readonly string[];
    } = {},
  ) {
    const [mcp = 0, ops = 0, nobody = 0] = await freePorts(3);
    const file = join(folder, `sidecar-${mcp}.json`);
    writeFileSync(
      file,
      JSON.stringify({ controlPlane: { addresses: [`127.0.0.1:${nobody}`] }, ...options.config }),
    );
    const flags = ['--listen', `127.0.0.1:${mcp}`, '--ops', `127.0.0.1:${ops}`, '--log-format', 'json'];
    const process = new TestProcess({
      name: 'sidecar',
      args: [
        ...(options.node ?? []),
        '--import',
        'tsx',
        MAIN,
        '--config',
        file,
        ...flags,
        ...(options.flags ?? []),
      ],
      readyUrl: `http://127.0.0.1:${ops}/startupz`,
      ...(options.env !== undefined && { env: options.env }),
    });
    processes.push(process);
    await process.start({ awaitReady: false });
    return { process, mcp, url: `http://127.0.0.1:${mcp}/mcp`, ops: `http://127.0.0.1:${ops}` };
  }

  /** How a sidecar that does not start ends, and what it says. */
  async function refusal(
    options: Parameters<typeof sidecar>[0],
  ): Promise<{ code: number | null; text: string }> {
    const { process } = await sidecar(options);
    const { code } = await process.exited;
    await delay(50);
    return { code, text: process.log().join('\n') };
  }

  it(verifies('X1')('it listens, is not ready, tells clients to come back, and leaves with 0'), async () => {
    const { process, url, ops } = await sidecar();
    await process.ready();
    expect((await fetch(`${ops}/livez`)).status).to.equal(200);
    expect((await fetch(`${ops}/readyz`)).status).to.equal(503);
    for (const headers of [{}, { authorization: 'Bearer abc' }] as Record<string, string>[]) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { ...CLIENT_HEADERS, ...headers },
        body: JSON.stringify(PING),
      });
      expect(response.status).to.equal(503);
      expect(Number(response.headers.get('retry-after'))).to.be.at.least(1);
    }
    const metrics = await (await fetch(`${ops}/metrics`)).text();
    expect(metrics).to.contain('outrigger_sidecar_home_stream_up 0');
    expect(metrics).to.match(/^outrigger_sidecar_refusals_total\{reason="unavailable"\} 1$/m);
    await process.kill('SIGTERM');
    expect(await process.exited).to.deep.equal({ code: 0, signal: null });
    expect(process.log().some((line) => line.includes(`"url":"${url}"`))).to.equal(true);
  });

  it(verifies('X4')('a port in use ends it with one clear line'), async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { code, text } = await refusal({ flags: ['--listen', `127.0.0.1:${port}`] });
    taken.close();
    expect(code).to.equal(1);
    expect(text).to.contain(`127.0.0.1:${port} is already in use`).and.not.contain('    at ');
  });

  it(
    verifies('X4', 'HTTP-1')('our port taken in the other loopback family is a port in use too'),
    async () => {
      const taken = createServer().listen({ port: 0, host: '::1', ipv6Only: true });
      await once(taken, 'listening');
      const { port } = taken.address() as { port: number };
      const { code } = await refusal({ flags: ['--listen', `127.0.0.1:${port}`] });
      taken.close();
      expect(code).to.equal(1);
    },
  );

  it(verifies('X4', 'HTTP-1')('another address than loopback is refused unless it is allowed'), async () => {
    const { code, text } = await refusal({ flags: ['--listen', '0.0.0.0:0'] });
    expect(code).to.equal(64);
    expect(text).to.contain('listen.mcp').and.contain('allowNonLoopback');
    const { process } = await sidecar({ flags: ['--listen', '0.0.0.0:0', '--allow-non-loopback'] });
    await process.ready();
  });

  it('a wrong configuration ends it with 64 and a suggestion', async () => {
    const { code, text } = await refusal({ config: { controlPlain: {} } });
    expect(code).to.equal(64);
    expect(text).to.contain('controlPlain').and.contain('did you mean controlPlane?');
  });

  it(
    verifies('X5')('a token of its own needs a Unix socket, or the word that loopback is shared'),
    async () => {
      const env = { SIDECAR_TOKEN: 'canary-token-value' };
      const config = { token: { env: 'SIDECAR_TOKEN' } };
      const { code, text } = await refusal({ config, env });
      expect(code).to.equal(64);
      expect(text).to.contain('allowSharedLoopback').and.not.contain('canary');
      const { process } = await sidecar({ config: { ...config, allowSharedLoopback: true }, env });
      await process.ready();
      expect(process.log().join('\n')).not.to.contain('canary');
    },
  );

  it(
    verifies('X5')("a Unix socket is its owner's alone, works, and replaces what a killed one left"),
    async () => {
      const path = join(folder, 'mcp.sock');
      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        const { process } = await sidecar({ flags: ['--listen', `unix:${path}`] });
        await process.ready();
        expect(statSync(path).mode & 0o777).to.equal(0o600);
        const status = await new Promise((resolve, reject) => {
          const sent = request(
            { socketPath: path, path: '/mcp', method: 'POST', headers: CLIENT_HEADERS },
            (response) => {
              response.resume();
              resolve(response.statusCode);
            },
          );
          sent.once('error', reject);
          sent.end(JSON.stringify(PING));
        });
        expect(status).to.equal(503);
        const second = await refusal({ flags: ['--listen', `unix:${path}`] });
        expect(second.code).to.equal(1);
        await process.kill(signal);
      }
      expect(() => statSync(path)).to.throw('ENOENT');
    },
  );
});
