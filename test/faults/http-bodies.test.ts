import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { PING, type RunningEdge, startEdge } from '../support/edge.ts';
import { postHead, rawHttp, rawPost } from '../support/raw-http.ts';

const BODY = JSON.stringify(PING);
const LIMIT = 4 * 1024 * 1024;

describe('HTTP bodies that are too long, false or not what they seem', () => {
  let edge: RunningEdge;

  before(async () => {
    edge = await startEdge();
  });
  after(() => edge[Symbol.asyncDispose]());
  beforeEach(() => {
    edge.mesh.crossed.length = 0;
  });

  const chunked = (chunks: string) => postHead(edge.port, ['Transfer-Encoding: chunked']) + chunks;

  it(
    verifies('HTTP-5', 'H17')('one byte over the limit by its length is refused before it is read'),
    async () => {
      const answer = await rawHttp(edge.port, postHead(edge.port, [`Content-Length: ${LIMIT + 1}`]));
      expect(answer.status).to.equal(413);
      expect(answer.text).to.contain('"reason":"message_too_large"');
    },
  );

  it(
    verifies('HTTP-5', 'H17')('a body that crosses the limit in chunks is refused when it does'),
    async () => {
      const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
      const answer = await rawHttp(edge.port, chunked(`${chunk.repeat(64)}1\r\n{\r\n`));
      expect(answer.status).to.equal(413);
      expect(edge.mesh.crossed).to.have.length(0);
    },
  );

  it(
    verifies(
      'HTTP-5',
      'H17',
    )('a body of exactly the limit is served, and a client that sends more still reads why not'),
    async () => {
      const padded = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"p":"${'a'.repeat(LIMIT - 58)}"}}`;
      expect(Buffer.byteLength(padded)).to.equal(LIMIT);
      expect((await edge.post(padded)).status).to.equal(200);
      expect((await edge.post(`${padded} `)).status).to.equal(413);
      expect(edge.edge.state.buffers.held).to.equal(0);
    },
  );

  it(verifies('H17')('a body that is never asked for is not sent'), async () => {
    const expecting = (length: number) =>
      postHead(edge.port, [`Content-Length: ${length}`, 'Expect: 100-continue']);
    expect((await rawHttp(edge.port, expecting(LIMIT + 1))).status).to.equal(413);
    expect((await rawHttp(edge.port, expecting(10))).status).to.equal(100);
  });

  it(verifies('H17')('a length that is too short or too long is a bad request'), async () => {
    const short = await rawHttp(
      edge.port,
      rawPost(edge.port, BODY).replace(/Content-Length: \d+/, 'Content-Length: 5'),
    );
    expect(short.status).to.equal(400);
    const long = await rawHttp(
      edge.port,
      rawPost(edge.port, BODY).replace(/Content-Length: \d+/, 'Content-Length: 99'),
      { end: true },
    );
    expect(long.status).to.equal(400);
    expect(edge.mesh.crossed).to.have.length(0);
  });

  it(verifies('H9')('a bad chunk size is a bad request, an endless chunk extension too large'), async () => {
    expect((await rawHttp(edge.port, chunked('zz\r\n{}\r\n0\r\n\r\n'))).status).to.equal(400);
    const extension = 'a'.repeat(20 * 1024);
    expect((await rawHttp(edge.port, chunked(`2;${extension}\r\n{}\r\n0\r\n\r\n`))).status).to.equal(413);
    expect(edge.mesh.crossed).to.have.length(0);
  });

  it(verifies('H9')('trailers are ignored and do not cross'), async () => {
    const size = Buffer.byteLength(BODY).toString(16);
    const trailers = 'Authorization: Bearer late\r\nMcp-Session-Id: late\r\n';
    const answer = await rawHttp(edge.port, chunked(`${size}\r\n${BODY}\r\n0\r\n${trailers}\r\n`));
    expect(answer.status).to.equal(200);
    expect(edge.mesh.last.request.authorization).to.equal(undefined);
    expect(edge.mesh.last.request.sessionId).to.equal(undefined);
  });

  it(verifies('HTTP-4', 'H18')('a compressed body is not opened'), async () => {
    const bomb = gzipSync(Buffer.alloc(1024 * 1024, 0x20));
    for (const encoding of ['gzip', 'br', 'identity, gzip']) {
      const response = await fetch(edge.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: '*/*', 'content-encoding': encoding },
        body: bomb,
      });
      expect(response.status, encoding).to.equal(415);
      expect(await response.json()).to.have.nested.property('error.data.reason', 'unsupported_media_type');
    }
  });

  for (const type of [
    'text/plain',
    'application/json-patch+json',
    'application/json;charset=utf-16',
    'application/json; charset=utf-8; boundary=x',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=application/json',
    '',
  ]) {
    it(verifies('HTTP-4', 'H19')(`the content type "${type}" is refused`), async () => {
      expect((await edge.post(PING, { 'content-type': type })).status).to.equal(415);
      expect(edge.mesh.crossed).to.have.length(0);
    });
  }

  for (const type of [
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ]) {
    it(verifies('HTTP-4')(`the content type ${type} is served`), async () => {
      expect((await edge.post(PING, { 'content-type': type })).status).to.equal(200);
    });
  }

  for (const accept of [
    'application/json',
    'text/event-stream',
    'text/html',
    'application/json, text/event-stream;q=0',
  ]) {
    it(verifies('HTTP-4', 'H20')(`a POST that accepts "${accept}" only gets 406`), async () => {
      expect((await edge.post(PING, { accept })).status).to.equal(406);
    });
  }

  it(
    verifies(
      'HTTP-4',
      'H20',
    )('a GET must accept event streams; whatever covers both types will do for a POST'),
    async () => {
      expect((await fetch(edge.url, { headers: { accept: 'application/json' } })).status).to.equal(406);
      for (const accept of ['*/*', 'text/event-stream, application/json', 'application/*, text/*;q=0.1']) {
        expect((await edge.post(PING, { accept })).status).to.equal(200);
      }
    },
  );

  for (const [title, body] of [
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['two documents', '{}{}'],
    ['a byte order mark', `\ufeff${BODY}`],
    ['half a document', BODY.slice(0, -1)],
  ] as const) {
    it(verifies('HTTP-5')(`${title}: 400 and -32700`), async () => {
      const response = await edge.post(body);
      expect(response.status).to.equal(400);
      expect(await response.json())
        .to.deep.include({ jsonrpc: '2.0', id: null })
        .and.have.nested.property('error.code', -32700);
      expect(edge.mesh.crossed).to.have.length(0);
    });
  }

  it(verifies('HTTP-5')('invalid UTF-8: 400 and -32700'), async () => {
    const body = Buffer.concat([
      Buffer.from(BODY.slice(0, -1)),
      Buffer.from([0x2c, 0x22, 0xff, 0x22]),
      Buffer.from(':1}'),
    ]);
    const response = await fetch(edge.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: '*/*' },
      body,
    });
    expect(response.status).to.equal(400);
    expect(await response.text()).to.contain('-32700');
  });

  it(
    verifies('HTTP-5')('JSON that is no JSON-RPC: 400 and -32600, under the id where it has one'),
    async () => {
      const response = await edge.post({ jsonrpc: '1.0', id: 'seven', method: 'ping' });
      expect(response.status).to.equal(400);
      expect(await response.json())
        .to.deep.include({ id: 'seven' })
        .and.have.nested.property('error.code', -32600);
    },
  );

  it(
    verifies('HTTP-6')('arrays cross where the version may have them, whole, and are judged there'),
    async () => {
      const batch = [PING, { jsonrpc: '2.0', method: 'notifications/x' }, { ...PING, id: 'b' }];
      edge.mesh.script = ({ sink }) => sink.json([Buffer.from('[]')], undefined);
      for (const headers of [{}, { 'mcp-protocol-version': '2025-03-26' }] as Record<string, string>[]) {
        expect(await (await edge.post(batch, headers)).json()).to.deep.equal([]);
        expect(edge.mesh.last.request.body?.toString()).to.equal(JSON.stringify(batch));
        expect(edge.mesh.last.request.scanned).to.equal(undefined);
      }
    },
  );

  for (const version of ['2024-11-05', '2025-06-18', '2025-11-25']) {
    it(verifies('HTTP-6')(`there are no arrays in ${version}`), async () => {
      const response = await edge.post([PING], { 'mcp-protocol-version': version });
      expect(response.status).to.equal(400);
      expect(await response.json()).to.have.nested.property('error.code', -32600);
      expect(edge.mesh.crossed).to.have.length(0);
    });
  }

  it(
    verifies('HTTP-6')('an empty array, one of 101, and one with a bad message are refused whole'),
    async () => {
      for (const batch of [[], Array(101).fill(PING), [PING, { jsonrpc: '2.0', id: 2 }]]) {
        const response = await edge.post(batch);
        expect(response.status).to.equal(400);
        expect(await response.json()).to.have.nested.property('error.code', -32600);
      }
      expect(edge.mesh.crossed).to.have.length(0);
    },
  );
});
