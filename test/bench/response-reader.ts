/** One HTTP/1.1 response, whole. */
export interface HttpAnswer {
  readonly status: number;
  /** The status line and headers, as sent. */
  readonly head: string;
  readonly body: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Cuts what a keep-alive connection delivers into responses, whatever the chunks. It reads what a server
 * of RFC 9112 sends to a request that it keeps the connection for: Content-Length or chunked.
 */
export class ResponseReader {
  readonly #onAnswer: (answer: HttpAnswer) => void;
  #pending = NOTHING;

  constructor(onAnswer: (answer: HttpAnswer) => void) {
    this.#onAnswer = onAnswer;
  }

  /** Takes the next bytes; throws when they are no such response. */
  push(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const headEnd = this.#pending.indexOf(HEAD_END);
      if (headEnd === -1) return;
      const head = this.#pending.toString('latin1', 0, headEnd);
      const read = readBody(head, this.#pending, headEnd + HEAD_END.length);
      if (read === undefined) return;
      this.#pending = this.#pending.subarray(read.end);
      this.#onAnswer({ status: Number(head.slice(9, 12)), head, body: read.body });
    }
  }
}

/** The value of a header, by its name in lower case. */
export function headerOf(head: string, name: string): string | undefined {
  const start = head.toLowerCase().indexOf(`\r\n${name}:`);
  if (start === -1) return undefined;
  const from = start + name.length + 3;
  const end = head.indexOf('\r\n', from);
  return head.slice(from, end === -1 ? undefined : end).trim();
}

function readBody(head: string, bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const length = headerOf(head, 'content-length');
  if (length !== undefined) {
    const end = start + Number(length);
    return bytes.length < end ? undefined : { body: bytes.subarray(start, end), end };
  }
  if (headerOf(head, 'transfer-encoding')?.toLowerCase() === 'chunked') return readChunks(bytes, start);
  if (/^HTTP\/1\.1 (202|204)/.test(head)) return { body: NOTHING, end: start };
  throw new Error(`a response without a length: ${head}`);
}

function readChunks(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (bytes.length < end) return undefined;
    if (size === 0) return { body: parts.length === 1 ? (parts[0] ?? NOTHING) : Buffer.concat(parts), end };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = end;
  }
}
