import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import { metric, post, type Stage, startStage } from '../support/stage.ts';

/** Bad messages, sent as bytes through a sidecar and a replica; none of them reaches a backend. */
describe('A message that is none', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;

  before(async () => {
    stage = await startStage({
      backends: {
        alpha: { resourceTemplates: [{ uriTemplate: 'list:/{a}{b}{c}{d}{e}{f}/end', name: 'greedy' }] },
        beta: {},
      },
    });
    client = await stage.open();
    await client.request('tools/list');
    await client.request('resources/list');
    await client.request('resources/templates/list');
  });
  after(() => stage[Symbol.asyncDispose]());

  let traffic: number;
  const requests = () =>
    ['alpha', 'beta'].reduce((sum, name) => sum + stage.backend(name).record.requests.length, 0);
  beforeEach(() => {
    traffic = requests();
  });
  afterEach(async () => {
    expect(requests(), 'a backend heard of it').to.equal(traffic);
    const [replica] = stage.mesh.replicas;
    expect(replica?.alive).to.equal(true);
    expect((await client.request('ping')).status).to.equal(200);
  });

  const refused = (reply: Reply, code: number) => {
    expect(reply.status, reply.body).to.equal(400);
    expect(reply.answer?.error?.code, reply.body).to.equal(code);
  };

  const notJson: Readonly<Record<string, string>> = {
    'an empty body': '',
    'no JSON': 'hello',
    'two objects': '{}{}',
    NaN: '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
    'a byte order mark': '\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}',
    'an open string': '{"jsonrpc":"2.0","id":1,"method":"pi',
  };
  for (const [what, body] of Object.entries(notJson)) {
    it(verifies('J1')(`${what} is a parse error`), async () => refused(await post(client, body), -32700));
  }

  const notRpc: Readonly<Record<string, string>> = {
    'no version': '{"id":1,"method":"ping"}',
    'another version': '{"jsonrpc":"1.0","id":1,"method":"ping"}',
    'a method that is no string': '{"jsonrpc":"2.0","id":1,"method":7}',
    'params in an array': '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
    'params in a string': '{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}',
    'the id null': '{"jsonrpc":"2.0","id":null,"method":"ping"}',
    'a fraction as id': '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    'an object as id': '{"jsonrpc":"2.0","id":{},"method":"ping"}',
    'result and error': '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}',
    'a bare string': '"ping"',
  };
  for (const [what, body] of Object.entries(notRpc)) {
    it(verifies('J4')(`${what} is an invalid request`), async () =>
      refused(await post(client, body), -32600),
    );
  }

  for (const id of ['9007199254740993', '1e400', `"${'x'.repeat(10_240)}"`]) {
    it(verifies('J5')(`an id like ${id.slice(0, 18)} is refused`), async () => {
      refused(await post(client, `{"jsonrpc":"2.0","id":${id},"method":"ping"}`), -32600);
    });
  }

  const twice: Readonly<Record<string, string>> = {
    method: '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
    name: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha__echo","name":"beta__echo"}}',
    'Name beside name':
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha__echo","Name":"beta__echo"}}',
    'an escaped name':
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha__echo","n\\u0061me":"x"}}',
    _meta: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{},"_meta":{}}}',
  };
  for (const [what, body] of Object.entries(twice)) {
    it(verifies('J6', 'RPC-17')(`two readings of ${what} are refused`), async () =>
      refused(await post(client, body), -32600),
    );
  }

  for (const depth of [65, 10_000, 2_000_000]) {
    it(verifies('J9')(`${depth} levels are refused before they are read`), async () => {
      const params = `${'{"a":'.repeat(depth - 2)}1${'}'.repeat(depth - 2)}`;
      const body = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":${params}}}`;
      const reply = await post(client, body.length > 4_194_304 ? body.slice(0, 4_194_304) : body);
      expect(reply.status).to.equal(400);
    });
  }

  const heavy: Readonly<Record<string, string>> = {
    'empty arrays': `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[${'[],'.repeat(1_390_000)}[]]}}`,
    keys: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{${Array.from({ length: 300_000 }, (_, i) => `"${i}":1`).join()}}}`,
  };
  for (const [what, body] of Object.entries(heavy)) {
    it(verifies('J10')(`a body full of ${what} is refused by their number`), async () =>
      refused(await post(client, body), -32600),
    );
  }

  it(verifies('J3', 'HTTP-6')('arrays are not part of the newer versions'), async () => {
    for (const body of ['[]', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]']) {
      refused(await post(client, body), -32600);
    }
  });

  it(
    verifies('J13', 'HTTP-12')('a second initialize on a session is refused; the session goes on'),
    async () => {
      const params = {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'x', version: '1' },
      };
      refused(await client.request('initialize', params), -32600);
    },
  );

  it(verifies('J14', 'RPC-3')('a response to nothing is accepted, dropped and counted'), async () => {
    const dropped = async () => metric(stage.mesh.replicas[0] ?? never(), 'outrigger_late_frames_total');
    const before = await dropped();
    for (const id of [1, 'never issued', '']) {
      const reply = await client.send({ jsonrpc: '2.0', id, result: {} }).reply();
      expect([reply.status, reply.body]).to.deep.equal([202, '']);
    }
    expect(await dropped()).to.equal(before + 3);
  });

  const names = [
    'alpha/echo',
    '../echo',
    'alpha__../echo',
    'alpha__ech\u043e',
    'beta__alpha__echo',
    'x'.repeat(10_240),
    '',
    '__proto__',
    'constructor',
  ];
  for (const name of names) {
    it(verifies('J18', 'AGG-7')(`the tool "${name.slice(0, 20)}" is unknown`), async () => {
      const reply = await client.call(name);
      expect(reply.status).to.equal(200);
      expect(reply.answer?.error?.code).to.equal(-32602);
      expect(reply.answer?.error?.message).to.equal('Unknown tool.');
    });
  }

  const uris = [
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data/',
    `list:/${',a'.repeat(4_000)}`,
    'outrigger://nobody/memo://one',
    'outrigger://beta',
  ];
  for (const uri of uris) {
    it(verifies('J19')(`the resource ${uri.slice(0, 30)} is nobody's and is not fetched`), async () => {
      const reply = await client.request('resources/read', { uri });
      expect(reply.status).to.equal(200);
      expect(reasonOf(reply)).to.equal('invalid_params');
    });
  }
});

describe('A message with a strange shape', function () {
  this.timeout(30_000);
  let stage: Stage;

  before(async () => {
    stage = await startStage({ backends: { alpha: {}, beta: {} } });
  });
  after(() => stage[Symbol.asyncDispose]());

  it(verifies('J8', 'RPC-17')('__proto__ and constructor are carried inert'), async () => {
    const client = await stage.open();
    const args = '{"__proto__":{"x":1},"constructor":{"prototype":{"x":2}}}';
    const reply = await post(
      client,
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha__echo","arguments":${args},"__proto__":{"name":"y"}}}`,
    );
    expect(textOf(reply)).to.be.a('string');
    const seen = await stage.backend('alpha').seen({ rpc: 'tools/call' });
    expect(seen.body).to.contain(`"arguments":${args},"__proto__":{"name":"y"}`);
  });

  it(
    verifies('J18')('a name that no list could show goes nowhere, even before any list was read'),
    async () => {
      const client = await stage.open();
      const before = stage.backend('alpha').view.requests({ rpc: 'tools/call' }).length;
      for (const name of ['alpha__../echo', 'alpha__ech\u043e', 'alpha__a b', `alpha__${'x'.repeat(200)}`]) {
        expect((await client.call(name)).answer?.error?.code).to.equal(-32602);
      }
      expect(stage.backend('alpha').view.requests({ rpc: 'tools/call' })).to.have.lengthOf(before);
    },
  );

  it(verifies('J5')('the empty id is an id'), async () => {
    const client = await stage.open();
    const reply = await post(client, '{"jsonrpc":"2.0","id":"","method":"ping"}');
    expect(reply.body).to.equal('{"jsonrpc":"2.0","id":"","result":{}}');
  });

  it(verifies('J13', 'HTTP-12')('a request before initialized is served'), async () => {
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'x', version: '1' },
    };
    const client = await stage.open();
    const opened = await client.alias().send({ jsonrpc: '2.0', id: 0, method: 'initialize', params }).reply();
    expect(opened.status).to.equal(400);
    const body = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params });
    const headers = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
    const fresh = await fetch(stage.mesh.url, { method: 'POST', headers, body });
    const early = client.alias({ sessionId: fresh.headers.get('mcp-session-id') ?? '' });
    expect(textOf(await early.call('alpha__echo', { early: true }))).to.equal('{"early":true}');
  });

  describe('in an array, with the version that has them', () => {
    const message = (id: unknown, method: string, params?: unknown) => ({
      jsonrpc: '2.0',
      id,
      method,
      params,
    });
    let client: McpClient;

    before(async () => {
      client = await stage.open({ protocolVersion: '2025-03-26' });
    });

    it(verifies('HTTP-6', 'J3')('each request is answered once, on one stream'), async () => {
      const incoming = client.send([
        message(1, 'ping'),
        { jsonrpc: '2.0', method: 'notifications/initialized' },
        message('two', 'tools/call', { name: 'alpha__echo', arguments: { n: 2 } }),
        message(3, 'vendor/unknown'),
      ]);
      await incoming.ended;
      expect(incoming.status).to.equal(200);
      expect(incoming.messages.map(({ id }) => id)).to.have.members([1, 'two', 3]);
      expect(incoming.messages.find(({ id }) => id === 3)?.error?.code).to.equal(-32601);
    });

    it(verifies('HTTP-6', 'HTTP-14')('of notifications alone it is accepted'), async () => {
      const reply = await client.send([{ jsonrpc: '2.0', method: 'notifications/initialized' }]).reply();
      expect([reply.status, reply.body]).to.deep.equal([202, '']);
    });

    it(
      verifies('J3', 'HTTP-6')('none, over a hundred, or one that is invalid refuse the whole'),
      async () => {
        const before = stage.backend('alpha').record.requests.length;
        const echo = message(1, 'tools/call', { name: 'alpha__echo' });
        const many = Array.from({ length: 101 }, (_, i) => message(i, 'ping'));
        for (const body of [[], many, [echo, { jsonrpc: '1.0' }], [echo, [echo]], [echo, echo]]) {
          const reply = await client.send(body).reply();
          expect(reply.status).to.equal(400);
          expect(reply.answer?.error?.code).to.equal(-32600);
        }
        expect(stage.backend('alpha').record.requests.length).to.equal(before);
      },
    );

    it(verifies('HTTP-6')('initialize is never part of one'), async () => {
      const params = {
        protocolVersion: '2025-03-26',
        capabilities: {},
        clientInfo: { name: 'x', version: '1' },
      };
      const reply = await client.send([message(1, 'initialize', params)]).reply();
      expect(reply.status).to.equal(400);
    });
  });
});

function never(): never {
  throw new Error('there is no replica');
}
