import { expect } from 'chai';
import { MeshError, type Reason } from '../../shared/errors.ts';
import { verifies } from '../requirements.ts';
import {
  CLIENT_HEADERS,
  type Crossed,
  echo,
  eventually,
  PING,
  type RunningEdge,
  ScriptedMesh,
  startEdge,
} from '../support/edge.ts';

const NOTIFICATION = { jsonrpc: '2.0', method: 'notifications/initialized' };

describe('the sidecar speaks Streamable HTTP', () => {
  let edge: RunningEdge;

  before(async () => {
    edge = await startEdge({ limits: { keepAliveMs: 100 } });
  });
  after(() => edge[Symbol.asyncDispose]());
  beforeEach(() => {
    edge.mesh.script = echo;
    edge.mesh.crossed.length = 0;
    edge.mesh.facts = FACTS;
  });

  /** Answers the next exchanges as the test says. */
  const script = (answer: (crossed: Crossed) => void) => {
    edge.mesh.script = answer;
  };
  const fails = (reason: Reason, options = {}) =>
    script(({ sink }) => sink.fail(new MeshError(reason, 'A plain sentence.', options)));
  const listen = (headers: Record<string, string> = {}) =>
    fetch(edge.url, { headers: { accept: 'text/event-stream', ...headers } });

  it(verifies('HTTP-1', 'HTTP-15')('a request is answered as JSON, on both loopback families'), async () => {
    for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
      const url = `http://${host}:${edge.port}/mcp`;
      const body = JSON.stringify(PING);
      const response = await fetch(url, { method: 'POST', headers: CLIENT_HEADERS, body });
      expect(response.status).to.equal(200);
      expect(response.headers.get('content-type')).to.equal('application/json');
      expect(await response.json()).to.deep.equal({ jsonrpc: '2.0', id: 1, result: {} });
    }
  });

  it(verifies('HTTP-7')("the new session's id is a header of the answer to initialize alone"), async () => {
    script(({ sink }) => sink.json([Buffer.from('{"jsonrpc":"2.0","id":1,"result":{}}')], 'a-new-session'));
    const response = await edge.post({ ...PING, method: 'initialize' });
    expect(response.headers.get('mcp-session-id')).to.equal('a-new-session');
    edge.mesh.script = echo;
    expect((await edge.post(PING)).headers.get('mcp-session-id')).to.equal(null);
  });

  it('everything that belongs to the request crosses, verbatim', async () => {
    const body = '{"jsonrpc":"2.0", "id":"0", "method":"tools/call","params":{"name":"x","n":1.0}}';
    await edge.post(body, {
      authorization: 'Bearer abc.def-ghi',
      'mcp-session-id': 'session-a',
      'mcp-protocol-version': '2025-06-18',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      tracestate: 'vendor=1',
      'x-request-id': 'mine-1',
    });
    const { body: crossed, scanned, ...request } = edge.mesh.last.request;
    expect(crossed?.toString()).to.equal(body);
    expect(scanned).to.deep.include({ kind: 'request', method: 'tools/call' });
    expect(request).to.deep.equal({
      kind: 'message',
      authorization: 'Bearer abc.def-ghi',
      sessionId: 'session-a',
      protocolVersion: '2025-06-18',
      lastEventId: undefined,
      proof: undefined,
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      tracestate: 'vendor=1',
      requestId: 'mine-1',
      ids: ['"0"'],
    });
  });

  it(verifies('HTTP-14')('a notification and a response get 202 and no body'), async () => {
    for (const message of [NOTIFICATION, { jsonrpc: '2.0', id: 1, result: {} }]) {
      script(({ sink }) => sink.accepted());
      const response = await edge.post(message);
      expect(response.status).to.equal(202);
      expect(await response.text()).to.equal('');
    }
  });

  it('DELETE ends the session', async () => {
    const response = await fetch(edge.url, { method: 'DELETE', headers: { 'mcp-session-id': 'session-a' } });
    expect(response.status).to.equal(200);
    expect(edge.mesh.last.request).to.include({ kind: 'terminate', sessionId: 'session-a', body: undefined });
  });

  describe('event streams', () => {
    it(verifies('HTTP-20', 'HTTP-17')('the head leaves at once, events follow as they come'), async () => {
      script(({ sink }) => sink.stream());
      const response = await edge.post(PING);
      expect(response.status).to.equal(200);
      expect(response.headers.get('content-type')).to.equal('text/event-stream');
      expect(response.headers.get('cache-control')).to.equal('no-cache, no-transform');
      expect(response.headers.get('x-accel-buffering')).to.equal('no');
      expect(response.headers.get('content-encoding')).to.equal(null);
      const read = reader(response);
      const { sink } = edge.mesh.last;
      sink.event([], 's.1.0', 1500);
      expect(await read.until('\n\n')).to.equal('id: s.1.0\nretry: 1500\ndata: \n\n');
      sink.event([Buffer.from('{"a":'), Buffer.from('1}')], 's.1.1', undefined);
      expect(await read.until('\n\n')).to.equal('id: s.1.1\ndata: {"a":1}\n\n');
      sink.event([Buffer.from('{"b":2}')], undefined, undefined);
      sink.event([], undefined, 200);
      sink.end();
      expect(await read.rest()).to.equal('data: {"b":2}\n\nretry: 200\n\n');
    });

    it(verifies('HTTP-20')('a quiet stream hears a comment within the interval'), async () => {
      script(({ sink }) => sink.stream());
      const response = await listen();
      const read = reader(response);
      expect(await read.until('\n\n')).to.equal(':\n\n');
      expect(await read.until('\n\n')).to.equal(':\n\n');
      await read.cancel();
      await eventually(() => edge.edge.state.streams.size === 0);
      expect(edge.mesh.last.detached).to.equal(true);
    });

    it(verifies('HTTP-16')('GET listens, and resumes where it is asked to'), async () => {
      script(({ sink }) => {
        sink.stream();
        sink.end();
      });
      const response = await listen({ 'last-event-id': 's.1.7', 'mcp-session-id': 'session-a' });
      expect(response.status).to.equal(200);
      expect(edge.mesh.last.request).to.include({
        kind: 'listen',
        lastEventId: 's.1.7',
        sessionId: 'session-a',
      });
    });

    it(
      verifies('H29')("a last event id that is not the session's is for the mesh to refuse, as 400 or 404"),
      async () => {
        fails('session_not_found');
        expect((await listen({ 'last-event-id': 'x'.repeat(8_000) })).status).to.equal(404);
        fails('invalid_request');
        expect((await listen({ 'last-event-id': 'forged' })).status).to.equal(400);
      },
    );

    it('a failure after the head is an event, and the end', async () => {
      script(({ sink }) => {
        sink.stream();
        sink.fail(new MeshError('backend_timeout', 'The backend took too long.', { backend: 'files' }));
      });
      const named = { 'x-request-id': 'mine-2' };
      const text = await (await edge.post({ ...PING, id: 'x' }, named)).text();
      expect(JSON.parse(text.replace(/^data: /, ''))).to.deep.equal({
        jsonrpc: '2.0',
        id: 'x',
        error: {
          code: -32603,
          message: 'The backend took too long.',
          data: { reason: 'backend_timeout', retryable: false, backend: 'files', requestId: 'mine-2' },
        },
      });
    });
  });

  describe('what fails', () => {
    for (const [reason, status, code] of [
      ['session_id_missing', 400, -32000],
      ['session_not_found', 404, -32001],
      ['session_busy', 503, -32000],
      ['too_many_sessions', 429, -32000],
      ['store_unavailable', 503, -32000],
      ['internal', 500, -32603],
      ['outcome_unknown', 200, -32603],
      ['method_not_found', 200, -32601],
      ['invalid_params', 200, -32602],
    ] as const) {
      it(
        verifies('HTTP-9', 'RPC-14')(`${reason}: ${status} with ${code}, under the request's id`),
        async () => {
          fails(reason, { retryAfterMs: 2_500 });
          const response = await edge.post({ ...PING, id: 'seven' });
          expect(response.status).to.equal(status);
          const retried = status === 503 || status === 429;
          expect(response.headers.get('retry-after')).to.equal(retried ? '3' : null);
          const { error, id } = (await response.json()) as { id: unknown; error: Record<string, unknown> };
          expect(id).to.equal('seven');
          expect(error).to.deep.include({ code, message: 'A plain sentence.' });
          expect(error['data']).to.have.property('reason', reason);
        },
      );
    }

    it('what only a request could be told becomes 503 for a notification and a DELETE', async () => {
      fails('outcome_unknown');
      const deleted = await fetch(edge.url, { method: 'DELETE' });
      for (const response of [await edge.post(NOTIFICATION), deleted]) {
        expect(response.status).to.equal(503);
        expect(response.headers.get('retry-after')).to.equal('1');
        expect(await response.json())
          .to.deep.include({ id: null })
          .and.have.nested.property('error.data.reason', 'outcome_unknown');
      }
    });

    it('each request of an array hears of the failure', async () => {
      fails('outcome_unknown');
      const response = await edge.post([PING, NOTIFICATION, { ...PING, id: 'b' }]);
      expect(response.status).to.equal(200);
      const answers = (await response.json()) as { id: unknown }[];
      expect(answers.map(({ id }) => id)).to.deep.equal([1, 'b']);
    });

    it(
      verifies('HTTP-13')('an unsupported or malformed version is refused, an absent one is not'),
      async () => {
        for (const version of ['2026-07-28', '1999-01-01', 'latest', '']) {
          for (const method of ['POST', 'GET', 'DELETE']) {
            const response = await fetch(edge.url, {
              method,
              headers: { ...CLIENT_HEADERS, 'mcp-protocol-version': version },
              ...(method === 'POST' && { body: JSON.stringify(PING) }),
            });
            expect(response.status, `${method} ${version}`).to.equal(400);
            expect(await response.json()).to.have.nested.property(
              'error.data.reason',
              'unsupported_protocol_version',
            );
          }
        }
        expect(edge.mesh.crossed).to.have.length(0);
        for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
          expect((await edge.post(PING, { 'mcp-protocol-version': version })).status).to.equal(200);
        }
      },
    );

    it(verifies('S14')('a modern request is refused in a way that makes its client fall back'), async () => {
      const discover = { ...PING, method: 'server/discover', params: { _meta: {} } };
      const response = await edge.post(discover, {
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'server/discover',
      });
      expect(response.status).to.equal(400);
      expect(await response.json()).to.have.nested.property('error.code', -32000);
      const initialize = { ...PING, method: 'initialize' };
      expect((await edge.post(initialize, { 'mcp-protocol-version': '2026-07-28' })).status).to.equal(200);
    });
  });

  describe('credentials', () => {
    const METADATA = () => `http://127.0.0.1:${edge.port}/.well-known/oauth-protected-resource/mcp`;

    it(verifies('HTTP-23')('without a token: 401 that names our metadata, and no error'), async () => {
      edge.mesh.facts = { ...FACTS, anonymous: false };
      const response = await edge.post(PING);
      expect(response.status).to.equal(401);
      expect(response.headers.get('www-authenticate')).to.equal(
        `Bearer scope="mcp", resource_metadata="${METADATA()}"`,
      );
      expect(await response.json()).to.deep.include({ id: 1 });
      expect(edge.mesh.crossed).to.have.length(0);
    });

    it(verifies('HTTP-23')('a refused token: 401 with invalid_token'), async () => {
      fails('unauthenticated');
      const response = await edge.post(PING, { authorization: 'Bearer abc' });
      expect(response.status).to.equal(401);
      expect(response.headers.get('www-authenticate')).to.equal(
        `Bearer error="invalid_token", scope="mcp", resource_metadata="${METADATA()}"`,
      );
    });

    it(verifies('HTTP-23')('too little scope: 403 with every scope that the operation needs'), async () => {
      fails('insufficient_scope', { scope: 'files:read files:write' });
      const response = await edge.post(PING, { authorization: 'Bearer abc' });
      expect(response.status).to.equal(403);
      expect(response.headers.get('www-authenticate')).to.equal(
        `Bearer error="insufficient_scope", scope="files:read files:write", resource_metadata="${METADATA()}"`,
      );
    });

    it(
      verifies('I1')('anything but one bearer token is 401 at the edge, even where strangers are served'),
      async () => {
        for (const authorization of ['', 'Basic YTpi', 'Bearer', 'Bearer a, Bearer b', 'Bearer a b', 'abc']) {
          const response = await edge.post(PING, { authorization });
          expect(response.status, authorization).to.equal(401);
        }
        expect(edge.mesh.crossed).to.have.length(0);
        expect((await edge.post(PING, { authorization: 'bearer abc' })).status).to.equal(200);
      },
    );

    it(
      verifies('HTTP-24')(
        'the metadata document names the resource as the client does, or by its logical name',
      ),
      async () => {
        for (const path of ['', '/mcp']) {
          const url = `http://localhost:${edge.port}/.well-known/oauth-protected-resource${path}`;
          const response = await fetch(url);
          expect(response.status).to.equal(200);
          expect(await response.json()).to.deep.equal({
            resource: `http://localhost:${edge.port}/mcp`,
            authorization_servers: ['https://issuer.example'],
            scopes_supported: ['mcp'],
            bearer_methods_supported: ['header'],
          });
        }
        edge.mesh.facts = { ...FACTS, resource: 'https://mesh.example/mcp' };
        expect(await (await fetch(METADATA())).json()).to.have.property(
          'resource',
          'https://mesh.example/mcp',
        );
        expect((await fetch(METADATA(), { method: 'POST' })).headers.get('allow')).to.equal('GET');
      },
    );

    it(
      verifies('X9')('a token crosses whatever its times say: the sidecar decides nothing by them'),
      async () => {
        for (const times of [{ exp: 1 }, { nbf: 4_000_000_000 }]) {
          const payload = Buffer.from(JSON.stringify(times)).toString('base64url');
          const authorization = `Bearer e30.${payload}.c2ln`;
          expect((await edge.post(PING, { authorization })).status).to.equal(200);
          expect(edge.mesh.last.request.authorization).to.equal(authorization);
        }
      },
    );

    it(verifies('HTTP-24')('where nobody can sign in there is no metadata'), async () => {
      edge.mesh.facts = { ...FACTS, issuers: [] };
      expect((await fetch(METADATA())).status).to.equal(404);
    });

    it(verifies('X1', 'HTTP-23')('before the mesh was ever reached: 503, never 401'), async () => {
      edge.mesh.facts = undefined;
      for (const response of [await edge.post(PING), await listen(), await fetch(METADATA())]) {
        expect(response.status).to.equal(503);
        expect(response.headers.get('retry-after')).to.equal('1');
      }
      expect(edge.mesh.crossed).to.have.length(0);
    });

    it(verifies('X5')("a token of the sidecar's own is for requests that bring none"), async () => {
      await using held = await startEdge({ heldToken: { current: () => 'Bearer held' } });
      await held.post(PING);
      expect(held.mesh.last.request.authorization).to.equal('Bearer held');
      await held.post(PING, { authorization: 'Bearer own' });
      expect(held.mesh.last.request.authorization).to.equal('Bearer own');
      expect((await held.post(PING, { authorization: 'Basic YTpi' })).status).to.equal(401);
      expect(held.mesh.crossed).to.have.length(2);
    });

    it("a token of the sidecar's own that cannot be read never makes a request anonymous", async () => {
      await using held = await startEdge({ heldToken: { current: () => undefined } });
      expect((await held.post(PING)).status).to.equal(503);
      expect(held.mesh.crossed).to.have.length(0);
    });
  });

  describe('leaving', () => {
    it('open calls finish, listening streams end, new requests are sent away', async () => {
      const mesh = new ScriptedMesh(({ request, sink }) => {
        if (request.kind === 'listen') sink.stream();
      });
      await using leaving = await startEdge({ mesh });
      const stream = await fetch(leaving.url, { headers: { accept: 'text/event-stream' } });
      const listening = mesh.last;
      const call = leaving.post(PING);
      await eventually(() => mesh.crossed.length === 2);
      const drained = leaving.edge.drain(5_000);
      expect(await stream.text()).to.equal('');
      expect(listening.detached).to.equal(true);
      const late = await leaving.post(PING);
      expect(late.status).to.equal(503);
      expect(late.headers.get('connection')).to.equal('close');
      mesh.last.sink.json([Buffer.from('{}')], undefined);
      expect((await call).status).to.equal(200);
      await drained;
    });

    it('what is still open when the time is over is told that its outcome is unknown, and goes on', async () => {
      const mesh = new ScriptedMesh(() => {});
      await using leaving = await startEdge({ mesh });
      const call = leaving.post(PING);
      await eventually(() => mesh.crossed.length === 1);
      await leaving.edge.drain(20);
      expect(await (await call).json()).to.have.nested.property('error.data.reason', 'outcome_unknown');
      expect(mesh.last).to.include({ detached: true, cancelled: undefined });
    });
  });
});

const FACTS = {
  replica: 'r-0',
  resource: '',
  issuers: ['https://issuer.example'],
  scopes: ['mcp'],
  anonymous: true,
  maxMessageBytes: 4 * 1024 * 1024,
};

/** Reads a stream piece by piece, as far as the test asks. */
function reader(response: Response) {
  const source = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    async until(mark: string): Promise<string> {
      while (!text.includes(mark)) {
        const { value, done } = await source.read();
        if (done) throw new Error(`the stream ended after ${text}`);
        text += value;
      }
      const end = text.indexOf(mark) + mark.length;
      const found = text.slice(0, end);
      text = text.slice(end);
      return found;
    },
    async rest(): Promise<string> {
      for (;;) {
        const { value, done } = await source.read();
        if (done) return text;
        text += value;
      }
    },
    cancel: () => source.cancel(),
  };
}
