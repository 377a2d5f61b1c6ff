import { createServer, type Server } from 'node:net';
import { expect } from 'chai';
import { createLogger } from '../../shared/log.ts';
import { redact } from '../../shared/redact.ts';
import { OtlpTracer } from '../../shared/telemetry/otlp-tracer.ts';
import type { TracingSettings } from '../../shared/telemetry/tracing-config.ts';
import { Collector } from '../support/collector.ts';
import { until } from '../support/story.ts';

describe('spans on their way to a collector', () => {
  let collector: Collector;
  let lines: string[];

  beforeEach(async () => {
    collector = await Collector.start();
    lines = [];
  });
  afterEach(() => collector[Symbol.asyncDispose]());

  function tracer(settings: Partial<TracingSettings> = {}): OtlpTracer {
    return new OtlpTracer({
      settings: {
        url: collector.url,
        headers: { 'x-key': 'a-key' },
        encoding: 'protobuf',
        timeoutMs: 2_000,
        ratio: 1,
        queue: 100,
        intervalMs: 10,
        attributes: { 'deployment.environment.name': 'test' },
        ...settings,
      },
      service: 'a-service',
      version: '1',
      instance: 'one',
      log: createLogger({ format: 'json', destination: { write: (line) => void lines.push(line) } }),
      redact,
    });
  }

  function write(traces: OtlpTracer, count = 1): void {
    for (let at = 0; at < count; at += 1) traces.serve(`span ${at}`, undefined, { attributes: {} }).end();
  }

  for (const encoding of ['protobuf', 'json'] as const) {
    it(`are sent in ${encoding}, with what the collector wants to be shown`, async () => {
      const traces = tracer({ encoding });
      const span = traces.serve('one', undefined, { attributes: { 'mcp.method.name': 'ping' } });
      span.end('unavailable');
      await until('it is there', () => collector.spans.length === 1);
      const [written] = collector.spans;
      expect(written).to.deep.include({ name: 'one', kind: 'server', failed: true, service: 'a-service' });
      expect(written?.attributes).to.deep.equal({ 'mcp.method.name': 'ping', 'error.type': 'unavailable' });
      expect(written?.resource).to.include({ 'deployment.environment.name': 'test', 'service.version': '1' });
      expect(span.context.traceparent).to.equal(`00-${written?.traceId}-${written?.spanId}-01`);
      expect(collector.requests[0]?.headers['x-key']).to.equal('a-key');
      await traces.close(100);
      expect(traces.counters).to.include({ written: 1, lost: 0 });
    });
  }

  it('say nothing that looks like a secret, and nothing long', async () => {
    const traces = tracer();
    const token = `eyJ${'a'.repeat(40)}.eyJ${'b'.repeat(40)}.c`;
    const attributes = { 'gen_ai.tool.name': token, 'jsonrpc.request.id': 'i'.repeat(1_000) };
    traces.serve(`tools/call ${token}`, undefined, { attributes }).end();
    await traces.close(1_000);
    const [span] = collector.spans;
    expect(span?.name).to.equal('tools/call [masked]');
    expect(span?.attributes['gen_ai.tool.name']).to.equal('[masked]');
    expect(span?.attributes['jsonrpc.request.id']?.length).to.be.at.most(128);
  });

  it('are sent again where the collector was busy, and are lost where it refuses them', async () => {
    const traces = tracer();
    collector.status = 503;
    write(traces, 3);
    await until('it was asked', () => collector.requests.length === 1);
    collector.status = 200;
    await until('they are there', () => collector.spans.length === 3);
    collector.status = 400;
    write(traces, 2);
    await until('they are lost', () => traces.counters.lost === 2);
    await traces.close(100);
    expect(lines.join(''))
      .to.contain('"detail":"status 503"')
      .and.to.contain('the collector takes traces again');
  });

  it('wait in a queue that has an end, and nobody is told more than once', async () => {
    collector.status = 503;
    const traces = tracer({ queue: 10 });
    write(traces, 30);
    expect(traces.counters.lost).to.equal(20);
    await until('it was asked', () => collector.requests.length === 1);
    write(traces, 30);
    expect(lines.filter((line) => line.includes('traces do not reach the collector'))).to.have.lengthOf(1);
    await traces.close(100);
    expect(traces.counters).to.include({ written: 0, lost: 60 });
  });

  it('hold up the end of a program no longer than they may', async () => {
    const silent: Server = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as { port: number };
    const traces = tracer({ url: `http://127.0.0.1:${port}/`, timeoutMs: 60_000, intervalMs: 60_000 });
    write(traces, 5);
    await traces.close(100);
    expect(traces.counters).to.include({ written: 0, lost: 5 });
    silent.close();
  });

  it('are of as many traces as configuration asks for, and of those that others began', async () => {
    const traces = tracer({ ratio: 0 });
    write(traces, 5);
    const begun = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331';
    const unwritten = traces.serve('mine', undefined, { attributes: {} });
    expect(unwritten.context.traceparent).to.match(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    traces.serve('theirs', { traceparent: `${begun}-01` }, { attributes: {} }).end();
    const left = traces.serve('left', { traceparent: `${begun}-00`, tracestate: 'a=1' }, { attributes: {} });
    expect(left.context).to.deep.equal({ traceparent: `${begun}-00`, tracestate: 'a=1' });
    left.end();
    // Out of a message, where any text can stand, into a header of every backend.
    for (const tracestate of ['a=1\r\nx-evil: 1', `a=${'x'.repeat(4_096)}`, 'a=\u00fc']) {
      const span = traces.serve('left', { traceparent: `${begun}-00`, tracestate }, { attributes: {} });
      expect(span.context.tracestate).to.equal(undefined);
      span.end();
    }
    for (const traceparent of [
      `${begun}-00\n`,
      ` ${begun}-00`,
      `01-${begun.slice(3)}-00-${'x'.repeat(300)}`,
    ]) {
      const span = traces.serve('other', { traceparent }, { attributes: {} });
      expect(span.context.traceparent).to.match(/^00-(?!0af76519)[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      span.end();
    }
    unwritten.end();
    await traces.close(1_000);
    expect(collector.spans.map(({ name }) => name)).to.deep.equal(['theirs']);
  });

  it('belong to what runs, and end with it', async () => {
    const traces = tracer();
    expect(traces.ask('nobody asked', { attributes: {} })).to.equal(undefined);
    const whole = traces.serve('whole', undefined, { attributes: {} });
    let later = () => {};
    await new Promise<void>((resolve) => {
      traces.within(whole, () => {
        later = () => expect(traces.step('too late', { attributes: {} })).to.equal(undefined);
        setTimeout(() => {
          expect(traces.traces()).to.equal(true);
          traces.step('part', { attributes: {}, sinceMs: 50 })?.end();
          whole.end();
          later();
          resolve();
        }, 5);
      });
    });
    await traces.close(1_000);
    const [part, all] = collector.spans;
    expect(part).to.include({ name: 'part', kind: 'internal', parentSpanId: all?.spanId });
    expect((part?.endedAt ?? 0) - (part?.startedAt ?? 0)).to.be.at.least(49);
  });
});
