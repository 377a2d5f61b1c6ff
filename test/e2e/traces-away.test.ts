import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { OUTRIGGER } from '../support/build.ts';
import { Collector } from '../support/collector.ts';
import { McpClient } from '../support/mcp-client.ts';
import { startMesh } from '../support/mesh.ts';
import { freePort } from '../support/ports.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { metric, until } from '../support/story.ts';

describe('traces that nobody takes', () => {
  it(verifies('OBS-1')('cost spans and no call, and keep no program from its end'), async () => {
    const port = await freePort();
    const tracing = { otlp: { url: `http://127.0.0.1:${port}/v1/traces` }, interval: '20ms', queue: 4 };
    await using backend = await RecordingBackend.start({});
    await using mesh = await startMesh({
      anonymous: true,
      config: { mcpServers: { rec: { url: backend.url } }, tracing },
      sidecarConfig: { tracing },
    });
    const client = await McpClient.open({ url: mesh.url });
    for (let at = 0; at < 10; at += 1) expect((await client.call('echo')).status).to.equal(200);
    const [replica] = mesh.replicas;
    if (replica === undefined) throw new Error('no replica');
    await until('spans are lost', async () => {
      const lost = await metric(mesh.sidecar, 'outrigger_sidecar_spans_lost_total');
      return lost > 0 && (await metric(replica, 'outrigger_spans_total')) > 0;
    });
    for (const program of [mesh.sidecar, replica]) {
      await program.kill('SIGTERM');
      expect(await program.exited).to.deep.equal({ code: 0, signal: null });
      const said = program.log().filter((line) => line.includes('"event":"traces_not_written"'));
      expect(said).to.have.lengthOf(1);
      expect(said[0]).to.contain('"detail":"ECONNREFUSED"');
      expect(program.log().join('\n')).to.not.contain('something still holds the process');
    }
  });

  it('are sent before the program ends', async () => {
    await using collector = await Collector.start();
    const tracing = { ...collector.tracing, interval: '60s' };
    await using backend = await RecordingBackend.start({});
    await using mesh = await startMesh({
      anonymous: true,
      config: { mcpServers: { rec: { url: backend.url } }, tracing },
      sidecarConfig: { tracing },
    });
    const client = await McpClient.open({ url: mesh.url });
    await client.call('echo');
    expect(collector.spans).to.deep.equal([]);
    await mesh.sidecar.kill('SIGTERM');
    await mesh.replicas[0]?.kill('SIGTERM');
    const calls = collector.spans.filter(({ name }) => name === 'tools/call echo');
    expect(calls.map(({ kind }) => kind).sort()).to.deep.equal(['client', 'server', 'server']);
  });
});

describe('traces that nobody asked for', () => {
  it(verifies('OBS-1')('leave what the client says of its own as it is'), async () => {
    await using backend = await RecordingBackend.start({});
    await using mesh = await startMesh({
      anonymous: true,
      config: { mcpServers: { rec: { url: backend.url } } },
    });
    const client = await McpClient.open({ url: mesh.url });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const shows = () => ({ traceparent, tracestate: 'a=1' });
    await client.alias({ shows, token: 'unused' }).call('echo');
    const calls = () => backend.view.requests({ rpc: 'tools/call' });
    expect(calls().at(-1)?.headers).to.include({ traceparent, tracestate: 'a=1' });
    const meta = { traceparent, k: 1 };
    await client.request('tools/call', { name: 'echo', arguments: {}, _meta: meta });
    expect(calls().at(-1)?.message?.params?.['_meta']).to.deep.equal(meta);
    expect(calls().at(-1)?.headers).to.not.have.property('traceparent');
  });

  it('load nothing of what would write them: that is a file of its own', async () => {
    const dist = join(OUTRIGGER, '..');
    const of = (name: string) => readFile(join(dist, name), 'utf8');
    const SDK = 'TraceIdRatioBased{';
    expect(await of('tracing.js')).to.contain(SDK);
    for (const name of ['sidecar.js', 'control-plane.js']) {
      expect(await of(name), name).to.not.contain(SDK);
      expect(await of(name), name).to.contain('import("./tracing.js")');
    }
  });
});
