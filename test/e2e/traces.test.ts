import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Canaries } from '../support/canaries.ts';
import { type CollectedSpan, Collector } from '../support/collector.ts';
import { exchanging, startCredentialStage } from '../support/credential-stage.ts';
import { answered, BACKEND_CREDENTIAL, type Setting, startSetting, textOf, until } from '../support/story.ts';

/** A client that is part of a trace, and says so in headers. */
function tracing(setting: Setting, client: Awaited<ReturnType<Setting['open']>>['client'], state?: string) {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  const headers = {
    traceparent: `00-${traceId}-${spanId}-01`,
    ...(state === undefined ? {} : { tracestate: state }),
  };
  const traced = client.alias({
    shows: ({ token }) => ({ authorization: `Bearer ${token}`, ...headers }),
    token: setting.token(),
  });
  return { traceId, spanId, traced };
}

/** Spans from the outermost inwards, each the child of the one before. */
function chain(spans: readonly CollectedSpan[], ...names: string[]): readonly CollectedSpan[] {
  let parents: readonly string[] | undefined;
  return names.map((name) => {
    const found = spans.find(
      (span) => named(span) === name && (parents === undefined || parents.includes(span.parentSpanId)),
    );
    if (found === undefined) throw new Error(`no ${name} under what precedes it:\n${show(spans)}`);
    parents = [found.spanId];
    return found;
  });
}

function named({ service, kind, name }: CollectedSpan): string {
  return `${service.replace('outrigger-', '')} ${kind} ${name}`;
}

function show(spans: readonly CollectedSpan[]): string {
  return spans.map((span) => `${span.spanId} < ${span.parentSpanId}: ${named(span)}`).join('\n');
}

describe('traces', () => {
  let collector: Collector;
  let setting: Setting;

  before(async () => {
    collector = await Collector.start();
    const { tracing: section } = collector;
    setting = await startSetting({
      store: 'embedded',
      stdio: true,
      config: { tracing: section },
      sidecarConfig: { tracing: { ...section, otlp: { ...section.otlp, encoding: 'json' } } },
    });
  });
  after(async () => {
    await setting?.[Symbol.asyncDispose]();
    await collector?.[Symbol.asyncDispose]();
  });

  async function collected(traceId: string, ...names: string[]): Promise<readonly CollectedSpan[]> {
    const here = () => names.every((name) => collector.of(traceId).some((span) => named(span) === name));
    await until(`spans ${names.join(', ')}`, here).catch((error: Error) => {
      throw new Error(`${error.message}; there are\n${show(collector.of(traceId))}`);
    });
    return collector.of(traceId);
  }

  it(
    verifies('OBS-1')('one trace goes from the client through sidecar and replica to the backend'),
    async () => {
      const { client } = await setting.open();
      const { traceId, spanId, traced } = tracing(setting, client, 'vendor=1');
      await traced.call('echo', { n: 1 });

      const names = ['sidecar server tools/call echo', 'control-plane server tools/call echo'];
      const spans = await collected(traceId, ...names, 'control-plane client tools/call echo');
      const [edge, exchange, call] = chain(spans, ...names, 'control-plane client tools/call echo');
      expect(edge?.parentSpanId).to.equal(spanId);
      const seen = setting.backend.view.requests({ rpc: 'tools/call' }).at(-1);
      expect(seen?.headers['traceparent']).to.equal(`00-${traceId}-${call?.spanId}-01`);
      expect(seen?.headers['tracestate']).to.equal('vendor=1');
      expect(edge?.attributes).to.include({
        'mcp.method.name': 'tools/call',
        'gen_ai.tool.name': 'echo',
        'gen_ai.operation.name': 'execute_tool',
      });
      expect(call?.attributes).to.include({
        'outrigger.backend': 'rec',
        'network.transport': 'tcp',
        'mcp.protocol.version': '2025-11-25',
      });
      expect(exchange?.attributes['mcp.protocol.version']).to.equal('2025-11-25');
      expect(exchange?.attributes['outrigger.session']).to.match(/^[a-z2-7]{26}$/);
      expect(exchange?.attributes['outrigger.request']).to.equal(edge?.attributes['outrigger.request']);
    },
  );

  it(verifies('OBS-1')('a message that names its trace itself has it through both hops'), async () => {
    const { client } = await setting.open();
    const traceId = randomBytes(16).toString('hex');
    const spanId = randomBytes(8).toString('hex');
    const meta = { 'vendor/key': 1, traceparent: `00-${traceId}-${spanId}-01`, baggage: 'a=b' };
    await client.request('tools/call', { name: 'echo', arguments: {}, _meta: meta });

    const names = ['sidecar server tools/call echo', 'control-plane server tools/call echo'];
    const spans = await collected(traceId, ...names, 'control-plane client tools/call echo');
    const [edge, , call] = chain(spans, ...names, 'control-plane client tools/call echo');
    expect(edge?.parentSpanId).to.equal(spanId);
    const { params } = setting.backend.view.requests({ rpc: 'tools/call' }).at(-1)?.message ?? {};
    expect(params?.['_meta']).to.deep.equal({ ...meta, traceparent: `00-${traceId}-${call?.spanId}-01` });
  });

  it(verifies('OBS-1')('a child that takes no headers is told in the message'), async () => {
    const { client } = await setting.open();
    const { traceId, traced } = tracing(setting, client);
    const reply = await traced.call('meta');

    const [call] = (await collected(traceId, 'control-plane client tools/call meta')).filter(
      ({ kind }) => kind === 'client',
    );
    expect(JSON.parse(textOf(reply))).to.deep.equal({ traceparent: `00-${traceId}-${call?.spanId}-01` });
    expect(call?.attributes).to.include({ 'outrigger.backend': 'kid', 'network.transport': 'pipe' });
  });

  it(verifies('OBS-1')('a session is opened in the trace of whoever asks'), async () => {
    const { client } = await setting.open();
    const { traced, traceId } = tracing(setting, client);
    traced.sessionId = undefined;
    await traced.initialize();

    const names = ['sidecar server initialize', 'control-plane server initialize'];
    const spans = await collected(traceId, ...names, 'control-plane client initialize');
    chain(spans, ...names, 'control-plane client initialize');
    const seen = setting.backend.view.requests({ rpc: 'initialize' }).at(-1);
    expect(seen?.headers['traceparent']).to.match(new RegExp(`^00-${traceId}-`));
  });

  it(verifies('OBS-1')('what fails says so, by its code or its reason'), async () => {
    const { client } = await setting.open();
    const { traceId, traced } = tracing(setting, client);
    await traced.call('no-such-tool');
    await traced.call('fail');

    const spans = await collected(
      traceId,
      'sidecar server tools/call fail',
      'sidecar server tools/call no-such-tool',
    );
    const [unknown] = chain(spans, 'sidecar server tools/call no-such-tool');
    expect(unknown).to.include({ failed: true });
    expect(unknown?.attributes['error.type']).to.equal('-32602');
    const [edge] = chain(spans, 'sidecar server tools/call fail');
    expect(edge?.attributes['error.type']).to.equal('tool_error');
  });

  it('who listens has its answer when the stream stands; who leaves is a span too', async () => {
    const { client } = await setting.open();
    const { traceId, traced } = tracing(setting, client);
    const stream = await traced.listen();
    const listens = ['sidecar server GET /mcp', 'control-plane server GET /mcp'];
    chain(await collected(traceId, ...listens), ...listens);
    stream.drop();
    await traced.end();
    const leaves = ['sidecar server DELETE /mcp', 'control-plane server DELETE /mcp'];
    chain(await collected(traceId, ...leaves), ...leaves);
  });

  it('a trace that cannot be read, or none, begins another', async () => {
    const { client } = await setting.open();
    const before = collector.spans.length;
    const broken = client.alias({
      shows: ({ token }) => ({ authorization: `Bearer ${token}`, traceparent: '00-zz-1-01' }),
    });
    await broken.call('count');
    const fresh = () => collector.spans.slice(before).filter(({ name }) => name === 'tools/call count');
    await until('three spans', () => fresh().length === 3);
    expect(new Set(fresh().map(({ traceId }) => traceId)).size).to.equal(1);
    const seen = setting.backend.view.requests({ rpc: 'tools/call' }).at(-1);
    expect(seen?.headers['traceparent']).to.contain(fresh()[0]?.traceId);
  });

  it('a trace that its client does not write is not written here', async () => {
    const { client } = await setting.open();
    const traceId = randomBytes(16).toString('hex');
    const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-00`;
    const quiet = client.alias({ shows: ({ token }) => ({ authorization: `Bearer ${token}`, traceparent }) });
    await quiet.call('echo');
    expect(setting.backend.view.requests({ rpc: 'tools/call' }).at(-1)?.headers['traceparent']).to.equal(
      traceparent,
    );
    const { traced, traceId: next } = tracing(setting, client);
    await traced.call('echo');
    await collected(next, 'sidecar server tools/call echo');
    expect(collector.of(traceId)).to.deep.equal([]);
  });

  it(verifies('OBS-1')('no span holds a token, a session id, an argument or a result'), async () => {
    const { client, backendSession } = await setting.open();
    const secret = `argument-${randomBytes(24).toString('hex')}`;
    const { traced, traceId } = tracing(setting, client);
    await traced.call('echo', { secret });
    await collected(traceId, 'control-plane client tools/call echo', 'sidecar server tools/call echo');
    const canaries = new Canaries();
    canaries.addToken("the caller's token", traced.token ?? '');
    canaries.add('the session id', client.sessionId ?? '');
    canaries.add("the backend's session id", backendSession);
    canaries.add("the backend's credential", BACKEND_CREDENTIAL.slice('Bearer '.length));
    canaries.add('an argument', secret);
    const places = collector.requests.map(({ body }, at) => ({ name: `export ${at}`, content: body }));
    expect(places).to.not.be.empty;
    expect(canaries.in(places)).to.deep.equal([]);
  });

  it(verifies('OBS-1')('a call that finds its session on another replica shows what that took'), async () => {
    await setting.whole();
    const { client, owner, other } = await setting.open();
    await setting.lose(owner);
    const { traceId, traced } = tracing(setting, client);
    await answered(() => traced.call('echo', { after: true }));

    const spans = await collected(
      traceId,
      'sidecar server tools/call echo',
      'control-plane internal restore session',
      'control-plane client tools/call echo',
    );
    const [, exchange] = chain(
      spans,
      'sidecar server tools/call echo',
      'control-plane server tools/call echo',
      'control-plane internal restore session',
    );
    expect(exchange?.instance).to.equal(other.name);
    chain(spans, 'control-plane server tools/call echo', 'control-plane client tools/call echo');
    await setting.whole();
  });
});

describe('the trace of a caller for whom a credential is obtained', () => {
  it(verifies('OBS-1')('says how long its provider took, and nothing of what it gave'), async () => {
    await using collector = await Collector.start();
    await using stage = await startCredentialStage({
      credential: exchanging,
      config: { tracing: collector.tracing },
    });
    const client = await stage.open('alice');
    await client.call('rec__echo');
    const obtained = () => collector.spans.find(({ name }) => name === 'obtain credential');
    await until('a credential was obtained', () => obtained() !== undefined);
    const span = obtained();
    expect(span?.attributes).to.deep.equal({
      'outrigger.backend': 'rec',
      'outrigger.credential.strategy': 'token_exchange',
    });
    const above = () => collector.spans.find(({ spanId }) => spanId === span?.parentSpanId);
    await until('whom it was for', () => above() !== undefined);
    expect(named(above() ?? fail())).to.equal('control-plane server initialize');
    const canaries = new Canaries();
    canaries.addToken("the caller's token", client.token ?? '');
    for (const token of stage.rec.view.authorizations) canaries.add('what the backend got', token ?? '');
    const places = collector.requests.map(({ body }, at) => ({ name: `export ${at}`, content: body }));
    expect(canaries.in(places)).to.deep.equal([]);
  });
});

function fail(): never {
  throw new Error('there is none');
}
