import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface RawAnswer {
  /** 0 when the connection ended without an answer. */
  readonly status: number;
  /** Everything that came, until the connection ended or fell silent. */
  readonly text: string;
  /** The other side ended the connection. */
  readonly closed: boolean;
}

export interface RawOptions {
  /** How long to wait for more after something came. */
  readonly quietMs?: number;
  /** How long to wait for anything. */
  readonly timeoutMs?: number;
  /** Half-close after writing. */
  readonly end?: boolean;
}

/** Writes bytes to a socket, as no HTTP client would, and reads what comes back. */
export async function rawHttp(
  port: number,
  bytes: string | Buffer,
  options: RawOptions = {},
): Promise<RawAnswer> {
  const { quietMs = 40, timeoutMs = 5_000 } = options;
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let text = '';
  let closed = false;
  let last = performance.now();
  const started = last;
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    last = performance.now();
  });
  socket.on('end', () => {
    closed = true;
  });
  socket.on('close', () => {
    closed = true;
  });
  await once(socket, 'connect');
  if (options.end === true) socket.end(bytes);
  else socket.write(bytes);
  while (!closed) {
    const now = performance.now();
    if (text !== '' && now - last > quietMs) break;
    if (now - started > timeoutMs) break;
    await delay(10);
  }
  socket.destroy();
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text, closed };
}

/** The head of a well-behaved POST, with lines of the test's own. */
export function postHead(port: number, lines: readonly string[]): string {
  return [
    'POST /mcp HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    'Content-Type: application/json',
    'Accept: application/json, text/event-stream',
    ...lines,
    '\r\n',
  ].join('\r\n');
}

/** A whole POST with a correct length. */
export function rawPost(port: number, body: string, lines: readonly string[] = []): string {
  return `${postHead(port, [...lines, `Content-Length: ${Buffer.byteLength(body)}`])}${body}`;
}
