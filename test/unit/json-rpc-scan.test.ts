import { expect } from 'chai';
import fc from 'fast-check';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Scanned, type Span, slice } from '../../shared/json-rpc/message.ts';
import { decodeString, type ScanOptions, scanBatch, scanMessage } from '../../shared/json-rpc/scan.ts';
import { verifies } from '../requirements.ts';

const request = (params: string, method = 'tools/call') =>
  `{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}}`;

function scan(text: string, options?: ScanOptions): Scanned {
  return scanMessage(Buffer.from(text), options);
}

function refusal(text: string | Buffer, options?: ScanOptions): { code: number; id: string | undefined } {
  try {
    scanMessage(Buffer.from(text), options);
  } catch (error) {
    if (error instanceof JsonRpcFault) return { code: error.code, id: error.id?.toString() };
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

function text(bytes: string, span: Span | undefined): string | undefined {
  return span === undefined ? undefined : slice(Buffer.from(bytes), span).toString();
}

describe('the message scanner', () => {
  it('tells requests, notifications and responses apart', () => {
    expect(scan('{"jsonrpc":"2.0","id":1,"method":"ping"}')).to.include({ kind: 'request', method: 'ping' });
    expect(scan(' {"method":"x","jsonrpc":"2.0"}\n')).to.include({ kind: 'notification', method: 'x' });
    expect(scan('{"jsonrpc":"2.0","id":"a","result":{}}')).to.include({
      kind: 'response',
      method: undefined,
    });
    expect(scan('{"jsonrpc":"2.0","id":1,"error":{"code":1}}')).to.include({ kind: 'response' });
    expect(scan('{"jsonrpc":"2.0","id":1,"method":"tools\\/call"}').method).to.equal('tools/call');
  });

  it(verifies('RPC-12')('gives the bytes of every field it was asked for, as they came'), () => {
    const params =
      '{ "name" : "a\\u0062", "uri":"x:y","ref":{"type":"ref/prompt","name":"n"},"_meta":{"k":1.0,"progressToken":1e2},' +
      '"requestId":"r","cursor":"","level":"info","task":{"ttl":1.0},"taskId":"t","progressToken":9,"arguments":{"name":1,"uri":2,"_meta":{"progressToken":0}}}';
    const message = request(params);
    const scanned = scan(message);
    expect(text(message, scanned.params)).to.equal(params);
    expect(text(message, scanned.id)).to.equal('1');
    expect(text(message, scanned.name)).to.equal('"a\\u0062"');
    expect(text(message, scanned.uri)).to.equal('"x:y"');
    expect(text(message, scanned.ref)).to.equal('{"type":"ref/prompt","name":"n"}');
    expect(text(message, scanned.meta)).to.equal('{"k":1.0,"progressToken":1e2}');
    expect(text(message, scanned.progressToken)).to.equal('1e2');
    expect(text(message, scanned.requestId)).to.equal('"r"');
    expect(text(message, scanned.cursor)).to.equal('""');
    expect(text(message, scanned.level)).to.equal('"info"');
    expect(text(message, scanned.task)).to.equal('{"ttl":1.0}');
    expect(text(message, scanned.taskId)).to.equal('"t"');
    expect(decodeString(Buffer.from(message), scanned.name as Span)).to.equal('ab');
  });

  it('finds the token of a progress notification directly in its params', () => {
    const message =
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}';
    expect(text(message, scan(message).progressToken)).to.equal('"t"');
  });

  it('says of a name that is no string that the parameter is invalid', () => {
    const message = request('{"name":5}');
    expect(() => decodeString(Buffer.from(message), scan(message).name as Span)).to.throw('must be a string');
  });

  it(verifies('RPC-1')('gives ids back with type and spelling'), () => {
    for (const id of ['0', '-1', '""', '"0"', '"\\u0061"', '9007199254740991', '-9007199254740991']) {
      const message = `{"jsonrpc":"2.0","id":${id},"method":"ping"}`;
      expect(text(message, scan(message).id)).to.equal(id);
    }
    for (const id of ['1.5', '1e400', '9007199254740993', `"${'x'.repeat(1000)}"`]) {
      const message = `{"jsonrpc":"2.0","id":${id},"method":"ping"}`;
      expect(text(message, scan(message, { ids: 'any' }).id)).to.equal(id);
    }
  });

  it('takes an error without an id from a backend, and only that', () => {
    for (const message of ['{"jsonrpc":"2.0","id":null,"error":{}}', '{"jsonrpc":"2.0","error":{}}']) {
      expect(scan(message, { ids: 'any' })).to.include({ kind: 'response', id: undefined });
      expect(refusal(message).code).to.equal(-32600);
    }
    expect(refusal('{"jsonrpc":"2.0","result":{}}', { ids: 'any' }).code).to.equal(-32600);
    expect(refusal('{"jsonrpc":"2.0","id":null,"method":"x"}', { ids: 'any' }).code).to.equal(-32600);
  });

  it(verifies('RPC-17')('refuses a field twice or in another case, at its own place only'), () => {
    const refused = [
      '{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"x"}',
      '{"jsonrpc":"2.0","id":1,"id":1,"method":"x"}',
      '{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}',
      '{"jsonrpc":"2.0","id":1,"method":"x","PARAMS":{}}',
      '{"jsonrpc":"2.0","id":1,"method":"x","re\\u0073ult":{}}',
      '{"jsonrpc":"2.0","id":1,"method":"x","params":{},"param\u017f":{}}',
      request('{"name":"safe","name":"danger"}'),
      request('{"name":"safe","na\\u006de":"danger"}'),
      request('{"name":"safe","Name":"danger"}'),
      request('{"Name":"danger"}'),
      request('{"uri":"a","uRi":"b"}'),
      request('{"_meta":{},"_META":{}}'),
      request('{"_meta":{"progressToken":1,"progresstoken":2}}'),
      request('{"_meta":{"progressTo\u212aen":2}}'),
      request('{"cursor":"","cursor":""}'),
      request('{"requestid":1}'),
      request('{"taskId":"mine","taskId":"yours"}'),
      request('{"taskId":"mine","taskid":"yours"}'),
      request('{"task":{},"Task":{}}'),
    ];
    for (const message of refused) expect(refusal(message).code, message).to.equal(-32600);
    expect(refusal(request('{"name":"safe","name":"danger"}')).id).to.equal('1');
    expect(refusal('{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}').id).to.equal(undefined);

    const accepted = [
      '{"jsonrpc":"2.0","id":1,"method":"x","vendor":1,"vendor":2,"name":1,"Name":2}',
      request('{"arguments":{"name":1,"Name":2,"name":3},"id":1,"ID":2}'),
      request('{"names":1,"nam":2,"name ":3,"\\u006e":4,"meta":5,"_metb":6}'),
      request('{"na\\u006de":"once"}'),
    ];
    for (const message of accepted) expect(scan(message).kind, message).to.equal('request');
    const escaped = request('{"na\\u006de":"once"}');
    expect(text(escaped, scan(escaped).name)).to.equal('"once"');
  });

  it('names the fault of what is not JSON before any other', () => {
    expect(refusal('{"jsonrpc":"2.0","id":1,"id":1,"method":"x"').code).to.equal(-32700);
    expect(refusal('[1,2').code).to.equal(-32700);
    expect(refusal('"a"').code).to.equal(-32600);
  });

  it('reads an array of messages into its parts', () => {
    const bytes = Buffer.from(' [ {"a":1} ,2 ] ');
    expect(scanBatch(bytes)?.map((span) => slice(bytes, span).toString())).to.deep.equal(['{"a":1}', '2']);
    expect(scanBatch(Buffer.from('{"jsonrpc":"2.0"}'))).to.equal(undefined);
    for (const bad of ['[1,]', '[1', '[1]]', '[\ud800]']) {
      expect(() => scanBatch(Buffer.from(bad)))
        .to.throw(JsonRpcFault)
        .with.property('code', -32700);
    }
  });

  it('holds the same things valid as JSON.parse does', () => {
    const spaced = fc.tuple(fc.json({ noUnicodeString: false }), fc.constantFrom('', ' ', '\n\t', '\r'));
    fc.assert(
      fc.property(spaced, ([json, space]) => {
        const message = Buffer.from(
          `${space}{"jsonrpc":"2.0","id":1,"result":{"a":${space}${json}${space}}}${space}`,
        );
        const scanned = scanMessage(message);
        const result = JSON.parse(slice(message, scanned.result as Span).toString());
        expect(result).to.deep.equal(JSON.parse(message.toString()).result);
      }),
    );
  });

  it('holds the same things invalid as JSON.parse does', () => {
    const junk = fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '-',
      '.',
      'e',
      '\u0001',
      '\n',
      't',
      'é',
    );
    const mutation = fc.record({ at: fc.nat(), remove: fc.nat(2), insert: fc.oneof(fc.constant(''), junk) });
    const long = fc.string({ minLength: 40, maxLength: 200 }).map((s) => JSON.stringify(s));
    fc.assert(
      fc.property(fc.oneof(fc.json(), long), fc.array(mutation, { maxLength: 3 }), (json, mutations) => {
        let changed = json;
        for (const { at, remove, insert } of mutations) {
          const p = at % (changed.length + 1);
          changed = changed.slice(0, p) + insert + changed.slice(p + remove);
        }
        expect(isJson(changed), changed).to.equal(parses(changed));
      }),
      { numRuns: 2000 },
    );
  });

  it('judges a string the same wherever it lies in memory', () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        fc.nat(120),
        fc.constantFrom('"', '\\', '\n', '\u001f', ' ', 'é'),
        (offset, at, odd) => {
          const json = `"${'x'.repeat(at)}${odd}${'y'.repeat(120 - at)}"`;
          const pool = Buffer.from('"'.repeat(offset) + json);
          const bytes = pool.subarray(offset);
          expect(isJson(bytes)).to.equal(parses(json));
        },
      ),
    );
  });
});

/** The scanner's verdict on any JSON value: one that is no message is -32600, what is not JSON is -32700. */
function isJson(value: string | Buffer): boolean {
  return refusal(value.length === 0 ? '' : value).code === -32600;
}

function parses(json: string): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}
