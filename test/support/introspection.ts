import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** One question as it arrived. */
export interface Asked {
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

export interface IntrospectionEndpoint extends AsyncDisposable {
  /** As an issuer it has metadata that names its endpoint. */
  readonly issuer: string;
  readonly endpoint: string;
  readonly asked: readonly Asked[];
  /** What it says of a token from now on; without, `{"active":false}`. */
  say(token: string, answer: Readonly<Record<string, unknown>>): void;
  /** What it does with every question from now on. */
  become(state: State): void;
}

export type State =
  | 'well'
  | 'down'
  | 'slow'
  | 'error'
  | 'garbage'
  | 'huge'
  | 'rude'
  | 'inarticulate'
  | 'moved';

/** A real introspection endpoint (RFC 7662) on loopback, with the ways in which one fails. */
export async function startIntrospection(): Promise<IntrospectionEndpoint> {
  const answers = new Map<string, object>();
  const asked: Asked[] = [];
  let state: State = 'well';
  const server = createServer((request, response) => void answer(request, response));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const json = (status: number, body: string) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    if (request.url === '/.well-known/oauth-authorization-server') {
      json(200, JSON.stringify({ issuer, introspection_endpoint: `${issuer}/introspect` }));
      return;
    }
    if (request.url !== '/introspect') return void json(404, '{}');
    const form = new URLSearchParams(await text(request));
    asked.push({ authorization: request.headers.authorization, form });
    switch (state) {
      case 'well':
        return void json(200, JSON.stringify(answers.get(form.get('token') ?? '') ?? { active: false }));
      case 'down':
        return void request.socket.destroy();
      case 'slow':
        return;
      case 'error':
        return void json(500, '{}');
      case 'garbage':
        return void json(200, '<html>');
      case 'huge':
        return void json(200, JSON.stringify({ active: true, padding: 'x'.repeat(1_000_000) }));
      case 'rude':
        return void response.writeHead(401, { 'www-authenticate': 'Basic realm="as"' }).end();
      case 'inarticulate':
        return void json(200, JSON.stringify({ active: 'true' }));
      case 'moved':
        return void response.writeHead(307, { location: '/introspect' }).end();
    }
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    endpoint: `${issuer}/introspect`,
    asked,
    say: (token, answer) => answers.set(token, answer),
    become(next) {
      state = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
