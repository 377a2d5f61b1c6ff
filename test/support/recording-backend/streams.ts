import type { ServerResponse } from 'node:http';

/** One SSE stream: it outlives its connections, and remembers its events so that it can be resumed. */
export class Stream {
  readonly id: string;
  readonly sessionId: string | undefined;
  readonly #ids: boolean;
  readonly #events: { readonly id: string; readonly data: string }[] = [];
  #connection: ServerResponse | undefined;
  #finished = false;

  constructor(options: { id: string; sessionId: string | undefined; ids: boolean }) {
    this.id = options.id;
    this.sessionId = options.sessionId;
    this.#ids = options.ids;
  }

  get open(): boolean {
    return this.#connection !== undefined;
  }

  /** Takes a connection, replays what came after `lastEventId`, and primes it when it is new. */
  attach(connection: ServerResponse, lastEventId?: string): void {
    this.#connection?.end();
    this.#connection = connection;
    connection.once('close', () => {
      if (this.#connection === connection) this.#connection = undefined;
    });
    connection.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    connection.flushHeaders();
    const seen = this.#events.findIndex((event) => event.id === lastEventId);
    if (lastEventId === undefined) {
      if (this.#ids) this.send('');
    } else for (const event of this.#events.slice(seen + 1)) this.#write(event);
    if (this.#finished) this.#end();
  }

  /** One message, or a priming event when it is empty. */
  send(data: string): void {
    const event = { id: `${this.id}-${this.#events.length}`, data };
    this.#events.push(event);
    this.#write(event);
  }

  /** Raw bytes on the connection, well-formed or not. */
  raw(text: string): void {
    this.#connection?.write(text);
  }

  /** Closes the connection and asks for a resume; later events wait for it. */
  poll(retryMs: number): void {
    this.#connection?.write(`retry: ${retryMs}\n\n`);
    this.#end();
  }

  /** No more events. */
  finish(): void {
    this.#finished = true;
    this.#end();
  }

  /** Drops the connection without a word. */
  cut(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  #end(): void {
    this.#connection?.end();
    this.#connection = undefined;
  }

  #write(event: { readonly id: string; readonly data: string }): void {
    const id = this.#ids ? `id: ${event.id}\n` : '';
    this.#connection?.write(`${id}data: ${event.data}\n\n`);
  }
}
