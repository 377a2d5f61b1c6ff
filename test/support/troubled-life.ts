import { setTimeout as sleep } from 'node:timers/promises';
import type { Canaries, Place } from './canaries.ts';
import type { TestIssuer } from './issuer.ts';
import { Incoming, McpClient, type Reply } from './mcp-client.ts';
import { rawHttp, rawPost } from './raw-http.ts';
import type { RecordingBackend } from './recording-backend.ts';
import { answered } from './story.ts';

/** Where the life takes place, and what it can do to its surroundings. */
export interface Surroundings {
  /** MCP, at a sidecar. */
  readonly url: string;
  readonly issuer: TestIssuer;
  /** The backend whose tools have no prefix. */
  readonly backend: RecordingBackend;
  /** What the backend gets with each request and may say again. */
  readonly backendSecrets: readonly string[];
  /** Tokens and session ids are planted here as they come into being. */
  readonly canaries: Canaries;
  /** Takes the replica that serves the session away, and comes back when another one can. */
  loseOwner(): Promise<void>;
  /** While the sessions are there. */
  beforeTheEnd(): Promise<void>;
}

export interface Lived {
  /** Everything that clients were answered, but for the one header that must hold a session id. */
  readonly heard: Place[];
  /** Puts one more answer to them. */
  keep(what: string, reply: Reply): void;
}

/**
 * One signed-in caller's session with everything that can go wrong in it, a thief beside it, and an
 * anonymous bystander.
 */
export async function troubledLife(around: Surroundings): Promise<Lived> {
  const life = new Life(around);
  await life.begin();
  await life.well();
  await life.refusedAtTheEdge();
  await life.refusedForTheirTokens();
  await life.robbed();
  await life.failedByTheBackend();
  await life.movedToAnotherReplica();
  await around.beforeTheEnd();
  await life.end();
  return life;
}

const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });

export function plantSession(canaries: Canaries, id: string): void {
  const bytes = Buffer.from(id, 'base64url');
  canaries.add('a session id', id);
  canaries.add('the half of a session id that names it', bytes.subarray(0, 16));
  canaries.add('the half of a session id that unlocks it', bytes.subarray(16));
}

class Life implements Lived {
  readonly heard: Place[] = [];
  readonly keep: Lived['keep'] = (what, { status, headers, body }) => {
    this.#keepText(what, `${status} ${JSON.stringify(headers)}\n${body}`);
  };
  readonly #around: Surroundings;
  readonly #alice: McpClient;
  readonly #mallory: McpClient;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#alice = new McpClient({ url: around.url, token: this.#token('alice') });
    this.#mallory = new McpClient({ url: around.url, token: this.#token('mallory') });
  }

  async begin(): Promise<void> {
    for (const client of [this.#alice, this.#mallory]) {
      const { headers, ...reply } = await client.initialize();
      const { 'mcp-session-id': id, ...others } = headers;
      if (typeof id !== 'string') throw new Error(`initialize: ${reply.status} ${reply.body}`);
      this.keep('initialize', { ...reply, headers: others });
      plantSession(this.#around.canaries, id);
    }
    await this.#alice.call('count');
    for (const { id } of this.#around.backend.record.sessions)
      this.#around.canaries.add('a backend session', id);
  }

  async well(): Promise<void> {
    const alice = this.#alice;
    const stream = await alice.listen();
    for (const method of ['tools/list', 'resources/list', 'prompts/list', 'ping'])
      this.keep(method, await alice.request(method));
    this.keep('a call', await alice.call('echo', { n: 1 }));
    this.keep('progress', await alice.beginCall('progress', {}, { progressToken: 'p' }).reply());
    this.keep('a read', await alice.request('resources/read', { uri: 'memo://one' }));
    const long = alice.beginCall('slow', { ms: 500 });
    await long.event(({ id }) => id !== undefined);
    long.drop();
    this.keep('a resumed call', await (await alice.listen(long.lastEventId)).reply());
    const theft = this.#as('mallory', alice.sessionId).listen(long.lastEventId);
    this.keep('a resume by a thief', await (await theft).reply());
    stream.drop();
    this.keep('a GET', await stream.reply());
  }

  async refusedAtTheEdge(): Promise<void> {
    const { url } = this.#around;
    const headers = { ...this.#alice.headers(), 'content-type': 'application/json' };
    const { token = '', sessionId = '' } = this.#alice;
    const post = (what: string, to: string, more: Record<string, string>, body = PING) =>
      this.#exchange(what, new Incoming(to, { headers: { ...headers, ...more }, body }));
    await post('a foreign host', url, { host: 'evil.example' });
    await post('a foreign origin', url, { origin: `http://${sessionId.slice(0, 20)}.example` });
    await post('a token in the query', `${url}?access_token=${token}&session=${sessionId}`, { host: 'a b' });
    await post('another path', `${url}/${token}/${sessionId}`, {});
    await post('another content type', url, { 'content-type': `text/${token}` });
    await post('another version', url, { 'mcp-protocol-version': token });
    await post('not JSON', url, {}, `{"token":"${token}","session":${sessionId}`);
    await post('not JSON-RPC', url, {}, JSON.stringify({ token, sessionId }));
    await post('a session nobody knows', url, { 'mcp-session-id': flipped(sessionId) });
    await post('half a session', url, { 'mcp-session-id': sessionId.slice(0, 40) });
    await post('an event nobody knows', url, { 'last-event-id': sessionId });
    await post('many headers', url, { 'x-long': token.repeat(80) });
    const port = Number(new URL(url).port);
    const own = [`Authorization: Bearer ${token}`, `Mcp-Session-Id: ${sessionId}`];
    for (const lines of [
      [...own, ...own],
      [...own, `X-Bad: ${token}\u0000`],
    ])
      this.#keepText('raw HTTP', (await rawHttp(port, rawPost(port, PING, lines))).text);
    this.#keepText('TRACE', (await rawHttp(port, `TRACE /${token} HTTP/1.1\r\n${own[0]}\r\n\r\n`)).text);
  }

  async refusedForTheirTokens(): Promise<void> {
    const { issuer } = this.#around;
    const [head = '', payload = ''] = issuer.token().split('.');
    const tokens = [
      ['an expired token', this.#token('alice', { exp: Math.floor(Date.now() / 1000) - 600 })],
      ['a token for somebody else', this.#token('alice', { aud: 'https://other.example' })],
      ['a forged token', `${head}.${payload}.${Buffer.alloc(64, 7).toString('base64url')}`],
      ['a token of an unknown key', this.#token('alice', { header: { kid: 'unheard-of' } })],
      ['no token at all', 'this-is-nothing-but-a-long-secret-password'],
    ] as const;
    for (const [what, token] of tokens) {
      this.#around.canaries.add(what, token);
      const client = this.#as('alice', this.#alice.sessionId, token);
      this.keep(what, await client.request('tools/list'));
      this.keep(`${what}, DELETE`, await client.end());
    }
    for (const authorization of [`Basic ${tokens[4][1]}`, `Bearer ${tokens[4][1]} ${tokens[4][1]}`]) {
      const headers = { ...this.#alice.headers(), authorization, 'content-type': 'application/json' };
      await this.#exchange('another scheme', new Incoming(this.#around.url, { headers, body: PING }));
    }
    issuer.outage('garbage');
    const unknown = this.#token('alice', { header: { kid: 'later' } });
    this.keep('no keys', await this.#as('alice', undefined, unknown).request('tools/list'));
    issuer.outage('none');
  }

  async robbed(): Promise<void> {
    const thief = this.#as('mallory', this.#alice.sessionId);
    this.keep('a call by a thief', await thief.call('echo'));
    this.keep('a GET by a thief', await (await thief.listen()).reply());
    this.keep('a DELETE by a thief', await thief.end());
    const nobody = new McpClient({ url: this.#around.url });
    nobody.sessionId = this.#alice.sessionId;
    this.keep('a call by nobody', await nobody.call('echo'));
  }

  async failedByTheBackend(): Promise<void> {
    const { backend, backendSecrets } = this.#around;
    const { token = '', sessionId = '' } = this.#alice;
    const said = [...backendSecrets, ...backend.record.sessions.map(({ id }) => id), token, sessionId].join(
      ' ',
    );
    const json = { 'content-type': 'application/json' };
    const challenge = { 'www-authenticate': `Bearer realm="${said}"` };
    const reactions = [
      { status: 500, headers: json, body: said },
      { status: 200, headers: json, body: said },
      { status: 200, headers: json, body: `{"jsonrpc":"2.0","id":"${said}","result":{}}` },
      { status: 200, headers: { 'content-type': 'text/html' }, body: said },
      { status: 401, headers: challenge, body: said },
      { status: 403, headers: challenge, body: said },
      { status: 302, headers: { location: `http://127.0.0.1:9/?${encodeURIComponent(said)}` } },
      { status: 429, headers: { 'retry-after': said } },
      { status: 200, headers: { 'content-type': 'text/event-stream' }, body: `data: ${said}\n\n` },
      { reset: true },
      { hang: true },
    ] as const;
    for (const [at, reaction] of reactions.entries()) {
      backend.next('tools/call', reaction);
      this.keep(`failure ${at} of the backend`, await this.#alice.call('echo'));
    }
    for (const tool of ['fail', 'error', sessionId, token]) this.keep(tool, await this.#alice.call(tool));
    this.keep('an unknown method', await this.#alice.request(`x/${token}`));
    this.keep('another URI', await this.#alice.request('resources/read', { uri: `memo:${sessionId}` }));
    this.keep('a cursor', await this.#alice.request('tools/list', { cursor: token }));
    await backend.stop();
    this.keep('a backend that is down', await this.#alice.call('echo'));
    await backend.restart();
    this.keep('a backend that forgot', await this.#alice.call('echo'));
    for (const { id } of backend.record.sessions) this.#around.canaries.add('a backend session', id);
  }

  async movedToAnotherReplica(): Promise<void> {
    const alice = this.#alice;
    const calls = [alice.beginCall('slow', { ms: 3_000 }), alice.beginCall('hang')];
    await sleep(100);
    await this.#around.loseOwner();
    for (const call of calls) this.keep('a call in flight', await call.reply());
    alice.token = this.#token('alice');
    this.keep('a restored session', await answered(() => alice.call('count')));
    this.keep('lists of a restored session', await alice.request('tools/list'));
    await this.robbed();
  }

  async end(): Promise<void> {
    this.keep('DELETE', await this.#alice.end());
    this.keep('DELETE again', await this.#alice.end());
    this.keep('a call after the end', await this.#alice.call('echo'));
    this.keep('DELETE', await this.#mallory.end());
  }

  #token(sub: string, options: Parameters<TestIssuer['token']>[0] = {}): string {
    const token = this.#around.issuer.token({ sub, ...options });
    this.#around.canaries.addToken(`a token of ${sub}`, token);
    return token;
  }

  /** Somebody who uses a session as if it was theirs. */
  #as(sub: string, sessionId: string | undefined, token = this.#token(sub)): McpClient {
    const client = new McpClient({ url: this.#around.url, token });
    client.sessionId = sessionId;
    return client;
  }

  async #exchange(what: string, incoming: Incoming): Promise<void> {
    this.keep(what, await incoming.reply());
  }

  #keepText(what: string, content: string): void {
    this.heard.push({ name: `the answer to ${what.slice(0, 30)}`, content });
  }
}

function flipped(id: string): string {
  return `${id.startsWith('A') ? 'B' : 'A'}${id.slice(1)}`;
}
