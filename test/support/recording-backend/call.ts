import type { ServerResponse } from 'node:http';
import type { JsonRpc } from './record.ts';
import type { Stream } from './streams.ts';

/** One JSON-RPC request being answered: as JSON, or on a stream once something precedes the answer. */
export class Call {
  readonly message: JsonRpc;
  readonly sessionId: string | undefined;
  readonly authorization: string | undefined;
  cancelled = false;
  readonly #response: ServerResponse;
  readonly #openStream: () => Stream;
  #stream: Stream | undefined;

  constructor(options: {
    message: JsonRpc;
    sessionId: string | undefined;
    authorization: string | undefined;
    response: ServerResponse;
    openStream: () => Stream;
  }) {
    this.message = options.message;
    this.sessionId = options.sessionId;
    this.authorization = options.authorization;
    this.#response = options.response;
    this.#openStream = options.openStream;
  }

  /** The call's stream, opened when first asked for. */
  get stream(): Stream {
    if (this.#stream === undefined) {
      this.#stream = this.#openStream();
      this.#stream.attach(this.#response);
    }
    return this.#stream;
  }

  /** Sends something before the answer. */
  say(message: JsonRpc): void {
    this.stream.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
  }

  result(result: unknown): void {
    this.resultText(JSON.stringify(result));
  }

  /** A result given as raw JSON. */
  resultText(result: string): void {
    this.#answer(`{"jsonrpc":"2.0","id":${JSON.stringify(this.message.id)},"result":${result}}`);
  }

  error(code: number, message: string, data?: unknown): void {
    this.#answer(JSON.stringify({ jsonrpc: '2.0', id: this.message.id, error: { code, message, data } }));
  }

  /** Resets the connection instead of an answer. */
  reset(): void {
    this.#response.socket?.resetAndDestroy();
  }

  #answer(text: string): void {
    if (this.cancelled) return;
    if (this.#stream !== undefined) {
      this.#stream.send(text);
      this.#stream.finish();
      return;
    }
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    this.#response.end(text);
  }
}
