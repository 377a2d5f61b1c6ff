import { splice } from '../../shared/json-rpc/envelope.ts';
import type { Message, Span } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';

/** The message that the bytes are, or undefined when they are none. */
export function scan(bytes: Buffer): Message | undefined {
  try {
    return { bytes, scanned: scanMessage(bytes, { ids: 'any' }) };
  } catch {
    return undefined;
  }
}

/** The message with another number where its id, progress token or requestId is `from`; all else is carried to the byte. */
export function renumber(message: Message, from: number, to: number): Message {
  const { id, progressToken, requestId } = message.scanned;
  const bytes = Buffer.from(String(to));
  const splices = [id, progressToken, requestId].flatMap((span) =>
    span !== undefined && readNumber(message, span) === from ? [{ span, bytes }] : [],
  );
  const whole = { start: 0, end: message.bytes.length };
  return scan(Buffer.concat(splice(message.bytes, whole, splices))) ?? message;
}

/** The pieces as one, without a copy where there is only one. */
export function join(pieces: readonly Uint8Array[]): Buffer {
  const [only] = pieces;
  if (pieces.length !== 1 || only === undefined) return Buffer.concat(pieces);
  return Buffer.isBuffer(only) ? only : Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}

/** What tells a backend to stop working on a request. */
export function cancelled(requestId: number, reason: string | undefined): Buffer {
  const params = { requestId, reason };
  return Buffer.from(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }));
}

/** The number that a raw JSON value is; NaN where it is another kind of value. */
export function readNumber({ bytes }: Message, span: Span | undefined): number {
  return span === undefined ? Number.NaN : Number(bytes.toString('latin1', span.start, span.end));
}
