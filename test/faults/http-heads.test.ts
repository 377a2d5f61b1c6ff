import { expect } from 'chai';
import { createLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { PING, type RunningEdge, startEdge } from '../support/edge.ts';
import { postHead, rawHttp, rawPost } from '../support/raw-http.ts';

const BODY = JSON.stringify(PING);

describe('HTTP heads that a browser, a scanner or a smuggler would send', () => {
  let edge: RunningEdge;
  const lines: string[] = [];

  before(async () => {
    const log = createLogger({ format: 'json', destination: { write: (line) => lines.push(line) } });
    edge = await startEdge({ log });
  });
  after(() => edge[Symbol.asyncDispose]());
  beforeEach(() => {
    edge.mesh.crossed.length = 0;
  });

  /** The well-behaved POST with one thing replaced. */
  const altered = (from: string | RegExp, to: string, extra: readonly string[] = []) =>
    rawHttp(edge.port, rawPost(edge.port, BODY, extra).replace(from, to));
  const refused = (text: string) => {
    expect(edge.mesh.crossed, 'crossed the mesh').to.have.length(0);
    expect(text).not.to.match(/access-control/i);
  };

  it(verifies('HTTP-3', 'H1')('a foreign Host is refused, and told to the log'), async () => {
    const answer = await altered(/Host: .*/, 'Host: evil.com');
    expect(answer.status).to.equal(403);
    expect(answer.text).to.contain('"code":-32000').and.contain('"reason":"host_refused"');
    refused(answer.text);
    expect(lines.join('')).to.contain('"event":"host_refused"');
  });

  it(verifies('HTTP-3')('a malformed or missing Host is a bad request'), async () => {
    expect((await altered(/Host: .*/, 'Host: a b')).status).to.equal(400);
    expect((await altered(/Host: .*\r\n/, '')).status).to.equal(400);
  });

  it(verifies('HTTP-3')('our port under another name, or another port under ours, is foreign'), async () => {
    expect((await altered(/Host: .*/, `Host: evil.com:${edge.port}`)).status).to.equal(403);
    expect((await altered(/Host: .*/, 'Host: 127.0.0.1:1')).status).to.equal(403);
    expect((await altered(/Host: .*/, `Host: 127.0.0.1.evil.com:${edge.port}`)).status).to.equal(403);
    expect((await altered(/Host: .*/, `Host: LocalHost:${edge.port}`)).status).to.equal(200);
    expect((await altered(/Host: .*/, `Host: [::1]:${edge.port}`)).status).to.equal(200);
  });

  for (const origin of ['http://evil.com', 'null', 'http://127.0.0.1', 'https://127.0.0.1.evil.com']) {
    it(verifies('HTTP-2', 'H3')(`the origin ${origin} is refused on every method`), async () => {
      for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS', 'PUT']) {
        const answer = await altered('POST /', `${method} /`, [`Origin: ${origin}`]);
        expect(answer.status, method).to.equal(403);
        expect(answer.text).to.contain('"code":-32000').and.contain('"reason":"origin_refused"');
        refused(answer.text);
      }
    });
  }

  it(verifies('HTTP-2')('a foreign origin comes before any other fault of the request'), async () => {
    const answer = await altered('POST /mcp', 'POST /nowhere', [
      'Origin: http://evil.com',
      'Mcp-Session-Id: a',
      'Mcp-Session-Id: b',
    ]);
    expect(answer.status).to.equal(403);
  });

  it(verifies('HTTP-2', 'H4')('no origin, and our own origin, are served'), async () => {
    expect((await altered('', '')).status).to.equal(200);
    expect((await altered('', '', [`Origin: http://localhost:${edge.port}`])).status).to.equal(200);
  });

  it(verifies('HTTP-27', 'H5')('two Hosts or two Origins are a bad request'), async () => {
    const own = `127.0.0.1:${edge.port}`;
    for (const twice of [`Host: ${own}`, 'Host: evil.com']) {
      const answer = await altered('', '', [twice]);
      expect(answer.status).to.equal(400);
      refused(answer.text);
    }
    const origin = `Origin: http://${own}`;
    expect((await altered('', '', [origin, origin])).status).to.equal(400);
  });

  it(
    verifies('HTTP-27', 'H6')('an absolute-form target is a bad request, even for our own name'),
    async () => {
      for (const host of ['evil.com', `127.0.0.1:${edge.port}`]) {
        const answer = await altered('POST /mcp', `POST http://${host}/mcp`);
        expect(answer.status).to.equal(400);
        refused(answer.text);
      }
    },
  );

  it(verifies('HTTP-27')('HTTP/0.9, and HTTP/1.0 without a Host, are bad requests'), async () => {
    expect((await rawHttp(edge.port, 'GET /mcp\r\n\r\n')).status).to.equal(400);
    expect(
      (await rawHttp(edge.port, 'GET /mcp HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n')).status,
    ).to.equal(400);
  });

  for (const method of ['CONNECT', 'TRACE', 'PUT', 'PATCH', 'OPTIONS', 'HEAD']) {
    it(verifies('HTTP-21', 'H7')(`${method} is not allowed, and never a tunnel`), async () => {
      const target = method === 'CONNECT' ? 'evil.com:443' : '/mcp';
      const answer = await altered('POST /mcp', `${method} ${target}`);
      expect(answer.status).to.equal(405);
      expect(answer.text).to.match(/^allow: GET, POST, DELETE\r$/im);
      refused(answer.text);
    });
  }

  it(verifies('HTTP-3', 'H27')('a preflight from a foreign page gets nothing that helps it'), async () => {
    const preflight = ['Origin: http://evil.com', 'Access-Control-Request-Method: POST'];
    const answer = await altered('POST /mcp', 'OPTIONS /mcp', preflight);
    expect(answer.status).to.equal(403);
    refused(answer.text);
  });

  for (const [title, framing] of [
    ['Content-Length beside Transfer-Encoding', ['Content-Length: 4', 'Transfer-Encoding: chunked']],
    ['an unknown transfer coding', ['Transfer-Encoding: xchunked']],
    ['two lengths', ['Content-Length: 4', 'Content-Length: 4']],
    ['a signed length', ['Content-Length: +2']],
    ['a list of lengths', ['Content-Length: 2, 2']],
  ] as const) {
    it(verifies('H8')(`${title}: a bad request, and the connection ends`), async () => {
      const answer = await rawHttp(edge.port, `${postHead(edge.port, framing)}0\r\n\r\n`);
      expect(answer.status).to.equal(400);
      expect(answer.closed).to.equal(true);
      refused(answer.text);
    });
  }

  for (const [title, line] of [
    ['a folded header', 'X-Folded: one\r\n two'],
    ['a NUL', 'X-Nul: a\0b'],
    ['a bare CR', 'X-Cr: a\rb'],
    ['a bare LF', 'X-Lf: a\nb'],
    ['a space before the colon', 'X-Space : a'],
  ] as const) {
    it(verifies('H10')(`${title} in a header: a bad request`), async () => {
      const answer = await altered('', '', [line]);
      expect(answer.status).to.equal(400);
      refused(answer.text);
    });
  }

  it(verifies('H12')('headers that are too long or too many'), async () => {
    const long = await altered('', '', [`X-Long: ${'a'.repeat(17 * 1024)}`]);
    expect(long.status).to.equal(431);
    const many = await altered(
      '',
      '',
      Array.from({ length: 97 }, (_, index) => `X-${index}: a`),
    );
    expect(many.status).to.equal(431);
    refused(many.text);
    const allowed = await altered(
      '',
      '',
      Array.from({ length: 90 }, (_, index) => `X-${index}: a`),
    );
    expect(allowed.status).to.equal(200);
  });

  for (const line of [
    'Authorization: Bearer a',
    'Mcp-Session-Id: a',
    'MCP-Protocol-Version: 2025-06-18',
    'Content-Type: application/json',
    'Last-Event-ID: a',
  ]) {
    it(
      verifies('HTTP-27', 'H14')(`a second ${line.split(':')[0]} is a bad request, in any spelling`),
      async () => {
        const answer = await altered('', '', [line, line.toLowerCase()]);
        expect(answer.status).to.equal(400);
        expect(answer.text).to.contain('stands more than once');
        refused(answer.text);
      },
    );
  }

  it(
    verifies('H15')('headers that claim to come from a proxy do not cross, and none can remove another'),
    async () => {
      const answer = await altered('', '', [
        'Authorization: Bearer mine',
        'Mcp-Session-Id: session-a',
        'X-Mesh-Principal: admin',
        'X-Forwarded-User: admin',
        'X_Forwarded_User: admin',
        'Connection: Authorization, Mcp-Session-Id, close',
      ]);
      expect(answer.status).to.equal(200);
      const { request } = edge.mesh.last;
      expect(request.authorization).to.equal('Bearer mine');
      expect(request.sessionId).to.equal('session-a');
      expect(JSON.stringify({ ...request, body: request.body?.toString() })).not.to.contain('admin');
    },
  );

  it(verifies('HTTP-22', 'H16')('a token in the query is no token, and is not logged'), async () => {
    edge.mesh.facts = { ...edge.mesh.facts!, anonymous: false };
    const answer = await altered('POST /mcp', 'POST /mcp?access_token=canary-in-the-query');
    edge.mesh.facts = { ...edge.mesh.facts, anonymous: true };
    expect(answer.status).to.equal(401);
    refused(answer.text);
    expect(lines.join('') + answer.text).not.to.contain('canary');
  });

  for (const path of [
    '//mcp',
    '/mcp/../admin',
    '/a/../mcp',
    '/mcp/%2e%2e',
    '/mcp%2f',
    '/%6dcp',
    '/MCP',
    '/mcp/',
    '/',
    '/mcp;a',
    '*',
  ]) {
    it(verifies('HTTP-21', 'H26')(`the path ${path} leads nowhere`), async () => {
      const answer = await altered('POST /mcp', `POST ${path}`);
      expect(answer.status).to.equal(404);
      refused(answer.text);
    });
  }
});
