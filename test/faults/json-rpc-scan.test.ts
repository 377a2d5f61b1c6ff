import { expect } from 'chai';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { scanBatch, scanMessage } from '../../shared/json-rpc/scan.ts';
import { verifies } from '../requirements.ts';

/** What the scanner says to a message: the code and the id it would be answered under, or "accepted". */
function verdict(input: string | Buffer): string {
  try {
    const bytes = Buffer.from(input);
    for (const { start, end } of scanBatch(bytes) ?? []) scanMessage(bytes.subarray(start, end));
    scanMessage(bytes);
    return 'accepted';
  } catch (error) {
    if (error instanceof JsonRpcFault) return `${error.code} ${error.id?.toString() ?? 'null'}`;
    throw error;
  }
}

const call = (params: string) => `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":${params}}`;
const withId = (id: string) => `{"jsonrpc":"2.0","id":${id},"method":"ping"}`;
const ping = withId('1');

const LIMIT = 4 * 1024 * 1024;
const filled = (part: string) => part.repeat(Math.floor(LIMIT / part.length));

describe('bad JSON-RPC, as the scanner meets it', () => {
  const rows: [
    ids: Parameters<typeof verifies>,
    title: string,
    cases: (string | Buffer)[],
    verdict: string,
  ][] = [
    [
      ['J1', 'HTTP-5'],
      'what is not JSON',
      [
        '',
        ' ',
        '{}{}',
        'NaN',
        `\ufeff${ping}`,
        Buffer.from(ping, 'utf16le'),
        Buffer.from([0x22, 0xff, 0x22]),
        '{a:1}',
        "{'a':1}",
        '01',
        '+1',
        '1.',
        '.5',
        '[1,]',
        '{"a":1,}',
        '"\t"',
        '"\\x"',
        '"\\u12g4"',
        'nul',
        '\u00a01',
      ],
      '-32700 null',
    ],
    [
      ['J3'],
      'an array, where only single messages are read',
      ['[]', `[${filled(`${ping},`).slice(0, 101 * (ping.length + 1) - 1)}]`],
      '-32600 null',
    ],
    [
      ['J4', 'HTTP-5'],
      'JSON that is no JSON-RPC message, its id known',
      [
        '{"id":7,"method":"ping"}',
        '{"jsonrpc":"1.0","id":7,"method":"ping"}',
        '{"jsonrpc":2.0,"id":7,"method":"ping"}',
        '{"jsonrpc":"2.0","id":7,"method":5}',
        '{"jsonrpc":"2.0","id":7,"method":null}',
        '{"jsonrpc":"2.0","id":7,"method":"x","params":[]}',
        '{"jsonrpc":"2.0","id":7,"method":"x","params":"y"}',
        '{"jsonrpc":"2.0","id":7,"method":"x","params":null}',
        '{"jsonrpc":"2.0","id":7,"method":"x","result":{}}',
        '{"jsonrpc":"2.0","id":7,"result":{},"error":{}}',
        '{"jsonrpc":"2.0","id":7,"error":"x"}',
        '{"jsonrpc":"2.0","id":7}',
      ],
      '-32600 7',
    ],
    [
      ['J4'],
      'ids that are neither string nor integer',
      ['null', '1.5', '{}', '[]', 'true', '-0'].map(withId),
      '-32600 null',
    ],
    [
      ['J5'],
      'ids that JSON readers change, and long ones',
      [
        '9007199254740992',
        '9007199254740993',
        '-9007199254740993',
        '1e400',
        '1e2',
        `"${'x'.repeat(10_240)}"`,
      ].map(withId),
      '-32600 null',
    ],
    [
      ['J5', 'RPC-1'],
      'ids as good as any',
      ['""', '0', '-1', '9007199254740991', `"${'x'.repeat(256)}"`].map(withId),
      'accepted',
    ],
    [
      ['J6', 'RPC-17'],
      'keys of which readers differ on the winner',
      [
        '{"jsonrpc":"2.0","id":7,"method":"tools/list","method":"tools/call"}',
        call('{"name":"safe","name":"danger"}'),
        call('{"name":"safe","NAME":"danger"}'),
        call('{"name":"safe","\\u006eame":"danger"}'),
        call('{"name":"x","_meta":{"progressToken":1,"progressToken":2}}'),
      ],
      '-32600 7',
    ],
    [
      ['J9'],
      '65 levels and more',
      [call(`{"a":${'['.repeat(63)}${']'.repeat(63)}}`), '['.repeat(10_000), `{"a":${'['.repeat(2_000_000)}`],
      '-32600 null',
    ],
    [['J9'], '64 levels', [call(`{"a":${'['.repeat(62)}${']'.repeat(62)}}`)], 'accepted'],
    [
      ['J10', 'HTTP-26'],
      '4 MiB of small parts',
      [
        call(`{"a":[${filled('[],')}1]}`),
        `{${filled('"":1,')}"a":1}`,
        `{${Array.from({ length: 340_000 }, (_, i) => `"${i}":1`).join()}}`,
      ],
      '-32600 null',
    ],
  ];
  for (const [ids, title, cases, expected] of rows) {
    it(verifies(...ids)(title), () => {
      for (const input of cases) expect(verdict(input), input.toString().slice(0, 100)).to.equal(expected);
    });
  }

  it(verifies('J8', 'RPC-17')('__proto__ and constructor are names like any other'), () => {
    const message = call(
      '{"name":"x","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
    );
    expect(verdict(message)).to.equal('accepted');
    expect(scanMessage(Buffer.from(message))).to.not.have.property('polluted');
    expect(({} as { polluted?: number }).polluted).to.equal(undefined);
  });
});
