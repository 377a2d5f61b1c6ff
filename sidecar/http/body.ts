import type { IncomingMessage } from 'node:http';
import type { Buffers } from './buffers.ts';

export interface BodyOptions {
  /** The longest body that is taken, in bytes. */
  readonly limit: number;
  readonly buffers: Buffers;
  readonly whole: (body: Buffer) => void;
  readonly tooLarge: () => void;
}

/**
 * Reads a body into memory. Exactly one of `whole` and `tooLarge` is called, or
 * neither when the client leaves first. A body over the limit is refused as soon
 * as the limit is crossed, and by its declared length before anything is read.
 */
export function readBody(request: IncomingMessage, declared: string | undefined, options: BodyOptions): void {
  const { buffers, limit } = options;
  if (declared !== undefined && Number(declared) > limit) {
    discard(request);
    options.tooLarge();
    return;
  }
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let length = 0;
  let counted = 0;
  const settle = () => {
    buffers.held -= counted;
    counted = 0;
  };
  const take = (chunk: Buffer) => {
    length += chunk.length;
    if (length > limit) {
      request.off('data', take);
      request.off('end', done);
      settle();
      discard(request);
      options.tooLarge();
      return;
    }
    if (first === undefined) {
      first = chunk;
      if (declared === String(chunk.length)) return;
      // Only what has to wait for more is worth counting, and only it can be left behind.
      request.once('close', settle);
    } else {
      more ??= [];
      more.push(chunk);
    }
    counted += chunk.length;
    buffers.held += chunk.length;
  };
  const done = () => {
    settle();
    const head = first ?? Buffer.alloc(0);
    options.whole(more === undefined ? head : Buffer.concat([head, ...more], length));
  };
  request.on('data', take);
  request.on('end', done);
}

/** What a refused client may still send before its connection is cut, in bytes. */
const PATIENCE = 8 * 1024 * 1024;

/**
 * Lets a refused body run out unread. Many clients send all of it before they read
 * an answer, and closing earlier would reset the connection under that answer.
 */
export function discard(request: IncomingMessage): void {
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > PATIENCE) request.destroy();
  });
}
