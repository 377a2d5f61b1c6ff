/**
 * A JSON-RPC message as the mesh handles it: the bytes that came, and where in
 * them the few things stand that routing needs. Nothing is parsed and written
 * again; a forwarded message is a new envelope around verbatim slices.
 */

/** A half-open range of offsets into the message's bytes. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * What one walk over a message found. A span covers the raw JSON value, so the
 * span of a string includes its quotes. The fields of params are only looked for
 * at their own place: directly below `params`, and `progressToken` below its
 * `_meta`, except that a progress notification has its token directly below.
 */
export interface Scanned {
  readonly kind: 'request' | 'notification' | 'response';
  /** Decoded; absent on a response. */
  readonly method: string | undefined;
  readonly id: Span | undefined;
  readonly params: Span | undefined;
  readonly result: Span | undefined;
  readonly error: Span | undefined;
  readonly name: Span | undefined;
  readonly uri: Span | undefined;
  readonly ref: Span | undefined;
  readonly meta: Span | undefined;
  readonly progressToken: Span | undefined;
  readonly requestId: Span | undefined;
  readonly cursor: Span | undefined;
  readonly level: Span | undefined;
  readonly task: Span | undefined;
  readonly taskId: Span | undefined;
}

export interface Message {
  readonly bytes: Buffer;
  readonly scanned: Scanned;
}

/** The verbatim bytes of a span. Shares memory with the message. */
export function slice(bytes: Buffer, span: Span): Buffer {
  return bytes.subarray(span.start, span.end);
}
