import { connect, type Socket } from 'node:net';
import { type HttpAnswer, ResponseReader } from './response-reader.ts';

/** One keep-alive connection with one request at a time, on the bare socket: the load must not cost more than what it loads. */
export class HttpConnection {
  readonly #socket: Socket;
  #waiting: { resolve(answer: HttpAnswer): void; reject(error: Error): void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const reader = new ResponseReader((answer) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) socket.destroy(new Error('an answer that nobody asked for'));
      else waiting.resolve(answer);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  /** Connects to a host and port. */
  static open(url: URL): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** Sends the bytes of one request and returns its answer; rejects when the connection ends first. */
  send(request: string): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) reject(new Error('the connection was closed'));
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}
