import { expect } from 'chai';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { describeMessage, faultOfAnswer, traceIn, withTrace } from '../../shared/telemetry/message-spans.ts';

const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=1' };
const MINE = `"traceparent":"${TRACE.traceparent}"`;

function call(params: string): Buffer {
  return Buffer.from(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":${params}}`);
}

function told(params: string, always: boolean, trace: Parameters<typeof withTrace>[1] = TRACE): string {
  const bytes = Buffer.concat([...withTrace([call(params)], trace, { always })]);
  return bytes.toString().slice(call('').length - 1, -1);
}

describe('what a message says of its trace', () => {
  it('takes the place of what the client said there, and of nothing else', () => {
    const params = '{"name":"a","_meta":{ "k":1.0, "traceparent":"00-x","tracestate":"b=2"},"arguments":{}}';
    expect(told(params, false)).to.equal(
      `{"name":"a","_meta":{ "k":1.0, ${MINE},"tracestate":"a=1"},"arguments":{}}`,
    );
    expect(told(params, false, { traceparent: TRACE.traceparent })).to.contain('"tracestate":""');
  });

  it('is every such key, also one that is written otherwise', () => {
    const twice = '{"_meta":{"traceparent":"one","trace\\u0070arent":"two"}}';
    expect(told(twice, false)).to.not.match(/one|two/);
  });

  it('is added where no header can say it', () => {
    for (const [params, expected] of [
      ['{"name":"a"}', `{"_meta":{${MINE},"tracestate":"a=1"},"name":"a"}`],
      ['{}', `{"_meta":{${MINE},"tracestate":"a=1"}}`],
      ['{"_meta":{}}', `{"_meta":{${MINE},"tracestate":"a=1"}}`],
      ['{"_meta":{"k":1}}', `{"_meta":{${MINE},"tracestate":"a=1","k":1}}`],
      ['{"_meta":{"tracestate":"b=2"}}', `{"_meta":{${MINE},"tracestate":"a=1"}}`],
    ] as const) {
      expect(told(params, true), params).to.equal(expected);
      expect(told(params, false), params).to.equal(params);
    }
  });

  it('leaves alone what is no object', () => {
    for (const params of ['{"_meta":3}', '{"_meta":null}']) expect(told(params, true)).to.equal(params);
  });

  it('is read where it is a text', () => {
    const read = (params: string) => traceIn(call(params), scanMessage(call(params)));
    expect(read(`{"_meta":{${MINE},"tracestate":"a=1"}}`)).to.deep.equal(TRACE);
    expect(read(`{"_meta":{${MINE},"tracestate":7}}`)).to.deep.include({ tracestate: undefined });
    for (const params of ['{}', '{"_meta":{"traceparent":7}}', '{"_meta":[]}'])
      expect(read(params), params).to.equal(undefined);
  });
});

describe('a span for a message', () => {
  it('is named for its method and its tool, and says nothing of its arguments', () => {
    const bytes = call('{"name":"weather","arguments":{"city":"a secret"}}');
    expect(describeMessage(bytes, scanMessage(bytes))).to.deep.equal({
      name: 'tools/call weather',
      attributes: {
        'mcp.method.name': 'tools/call',
        'jsonrpc.request.id': '7',
        'gen_ai.tool.name': 'weather',
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.prompt.name': undefined,
      },
    });
  });

  it('does not take on whatever a client calls a method', () => {
    const bytes = Buffer.from(`{"jsonrpc":"2.0","id":"q","method":"${'x '.repeat(100)}"}`);
    const { name, attributes } = describeMessage(bytes, scanMessage(bytes));
    expect(name).to.equal('_OTHER');
    expect(attributes['jsonrpc.request.id']).to.equal('q');
  });

  it('knows from an answer what went wrong', () => {
    const fault = (text: string) => faultOfAnswer([Buffer.from(text)]);
    expect(fault('{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m"}}')).to.equal('-32602');
    expect(fault('{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}')).to.equal('tool_error');
    expect(fault('{"jsonrpc":"2.0","id":1,"result":{"isError":false}}')).to.equal(undefined);
    expect(fault('{"jsonrpc":"2.0","method":"notifications/progress","params":{}}')).to.equal(undefined);
    for (const code of ['"a secret"', '{"a":1}', '1e400', '12345678901'])
      expect(fault(`{"jsonrpc":"2.0","id":1,"error":{"code":${code},"message":"m"}}`)).to.equal('_OTHER');
    expect(fault('[]')).to.equal(undefined);
    expect(fault('')).to.equal(undefined);
  });
});
