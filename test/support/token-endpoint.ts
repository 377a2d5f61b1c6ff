import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** What a client sent to the token endpoint. */
export interface TokenRequest {
  readonly authorization: string | undefined;
  readonly form: Readonly<Record<string, string>>;
}

/** The token endpoint of an authorization server (RFC 6749 §3.2): it keeps what it is asked and grants what the test says. */
export class TokenEndpoint {
  readonly requests: TokenRequest[] = [];
  /** The members of the answer; what is thrown is an error with its code, or an invalid_client, and that description. */
  grant: (request: TokenRequest) => Readonly<Record<string, unknown>> = () => ({});
  /** It answers 503 then. */
  down = false;
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  static async start(): Promise<TokenEndpoint> {
    const endpoint = new TokenEndpoint();
    endpoint.#server.listen(0, '127.0.0.1');
    await once(endpoint.#server, 'listening');
    return endpoint;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    const asked = { authorization: request.headers.authorization, form };
    this.requests.push(asked);
    if (this.down) return void response.writeHead(503).end();
    response.setHeader('content-type', 'application/json');
    try {
      response.end(JSON.stringify({ token_type: 'Bearer', expires_in: 300, ...this.grant(asked) }));
    } catch (error) {
      const error_description = error instanceof Error ? error.message : String(error);
      const { code = 'invalid_client' } = Object(error) as { code?: string };
      response.writeHead(400).end(JSON.stringify({ error: code, error_description }));
    }
  }
}
