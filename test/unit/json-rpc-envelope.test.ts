import { expect } from 'chai';
import fc from 'fast-check';
import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  errorResponse,
  forward,
  meshErrorResponse,
  notification,
  relayError,
  request,
  response,
  resultWithMeta,
  splice,
} from '../../shared/json-rpc/envelope.ts';
import type { Message, Span } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { verifies } from '../requirements.ts';

const raw = (text: string) => Buffer.from(text);
const text = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString();

function message(json: string): Message {
  const bytes = raw(json);
  return { bytes, scanned: scanMessage(bytes) };
}

describe('envelopes', () => {
  it(verifies('RPC-12', 'RPC-17')('a forwarded request is a new envelope around verbatim params'), () => {
    const params = '{ "name":"x", "arguments":{"n":1.0,"big":12345678901234567890,"e":"\\u00e9" } }';
    const came = message(`{"vendor":1,"params":${params},"method":"tools/call","id":"a","jsonrpc":"2.0"}`);
    expect(text(forward(came, { id: raw('9') }))).to.equal(
      `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":${params}}`,
    );
  });

  it(verifies('RPC-4')('only the spans to be replaced change, in whatever order they are named'), () => {
    const came = message(
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__x","k":[1 ],"_meta":{"progressToken":"t"}}}',
    );
    const { name, progressToken } = came.scanned;
    const splices = [
      { span: progressToken as Span, bytes: raw('7') },
      { span: name as Span, bytes: raw('"x"') },
    ];
    expect(text(forward(came, { id: raw('2'), splices }))).to.equal(
      '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","k":[1 ],"_meta":{"progressToken":7}}}',
    );
  });

  it('a message without params or without an id stays without', () => {
    expect(text(forward(message('{"jsonrpc":"2.0","id":1,"method":"ping"}'), { id: raw('""') }))).to.equal(
      '{"jsonrpc":"2.0","id":"","method":"ping"}',
    );
    expect(text(forward(message('{"jsonrpc":"2.0","method":"a/\\u0062","params":{}}'), {}))).to.equal(
      '{"jsonrpc":"2.0","method":"a/b","params":{}}',
    );
    expect(text(notification('notifications/x'))).to.equal('{"jsonrpc":"2.0","method":"notifications/x"}');
    expect(text(request({ id: raw('1'), method: 'a"b', params: [raw('{'), raw('}')] }))).to.equal(
      '{"jsonrpc":"2.0","id":1,"method":"a\\"b","params":{}}',
    );
  });

  it(verifies('RPC-14')('results and errors are relayed as they are, our own errors say why'), () => {
    expect(text(response(raw('1'), raw('{"a":1.0}')))).to.equal(
      '{"jsonrpc":"2.0","id":1,"result":{"a":1.0}}',
    );
    expect(text(relayError(raw('"x"'), raw('{"code":5,"data":[ ]}')))).to.equal(
      '{"jsonrpc":"2.0","id":"x","error":{"code":5,"data":[ ]}}',
    );
    expect(text(errorResponse(null, { code: -32700, message: 'no' }))).to.equal(
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}',
    );
    const failure = new MeshError('backend_unavailable', 'It is away.', {
      backend: 'files',
      retryAfterMs: 7_000,
      cause: new Error('secret'),
    });
    expect(JSON.parse(text(meshErrorResponse(raw('3'), failure)))).to.deep.equal({
      jsonrpc: '2.0',
      id: 3,
      error: {
        code: -32603,
        message: 'It is away.',
        data: { reason: 'backend_unavailable', retryable: true, backend: 'files', retryAfterMs: 7_000 },
      },
    });
  });

  it('a key set in the _meta of a result leaves the rest as it was', () => {
    const rows = [
      ['{}', '{"_meta":{"k":1}}'],
      ['{ "a" : 1.0 }', '{"_meta":{"k":1}, "a" : 1.0 }'],
      ['{"_meta":{}}', '{"_meta":{"k":1}}'],
      ['{"_meta": { "o":2 },"a":1}', '{"_meta": {"k":1, "o":2 },"a":1}'],
      ['{"_meta":{"k":"forged","o":2}}', '{"_meta":{"k":1,"o":2}}'],
      ['{"_meta":null}', '{"_meta":{"k":1}}'],
      ['{"content":[{"_meta":{}}]}', '{"_meta":{"k":1},"content":[{"_meta":{}}]}'],
    ] as const;
    for (const [before, after] of rows)
      expect(text(resultWithMeta(raw(before), 'k', raw('1')))).to.equal(after);
  });

  it('splicing equals cutting and pasting', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme-ascii', minLength: 6 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        (s, cuts) => {
          const at = [...new Set(cuts.map((c) => c % s.length))].sort((a, b) => a - b);
          const spans: Span[] = [];
          for (let i = 0; i + 1 < at.length; i += 2) spans.push({ start: at[i]!, end: at[i + 1]! });
          let expected = s;
          for (const { start, end } of spans.toReversed())
            expected = `${expected.slice(0, start)}<>${expected.slice(end)}`;
          const splices = spans.toReversed().map((span) => ({ span, bytes: raw('<>') }));
          expect(text(splice(raw(s), { start: 0, end: s.length }, splices))).to.equal(expected);
        },
      ),
    );
  });

  it('texts are encoded as JSON', () => {
    expect(encodeString('a"\n\u2028').toString()).to.equal(JSON.stringify('a"\n\u2028'));
  });
});
