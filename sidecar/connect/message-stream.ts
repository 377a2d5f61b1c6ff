import { MeshError } from '../../shared/errors.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { scanBatch, scanMessage } from '../../shared/json-rpc/scan.ts';
import type { Logger } from '../../shared/log.ts';
import { SseParser } from '../../shared/sse/parser.ts';
import type { Reply } from './endpoint.ts';
import { MAX_MESSAGE_BYTES } from './framing.ts';
import type { Output } from './output.ts';

/** Until a stream names its own time. */
const RETRY_MS = 1_000;
/** A stream that asks for more is asked again all the same. */
const LONGEST_RETRY_MS = 30_000;

/**
 * The messages of one stream, across the connections on which it is resumed, or
 * the one message of a JSON answer. While the client does not read, neither does this.
 */
export class MessageStream {
  /** Where to resume; empty while the stream cannot be. */
  lastEventId = '';
  readonly #output: Output;
  readonly #log: Logger;
  readonly #onMessage: (message: Message) => void;
  #retryMs = RETRY_MS;

  constructor(
    { output, log }: { readonly output: Output; readonly log: Logger },
    onMessage: (message: Message) => void,
  ) {
    this.#output = output;
    this.#log = log;
    this.#onMessage = onMessage;
  }

  /** How long to wait before it is resumed, in milliseconds. */
  get retryMs(): number {
    return Math.min(this.#retryMs, LONGEST_RETRY_MS);
  }

  /** Resolves when the answer has ended, or broken off; what was whole is delivered in any case. Rejects with MeshError when it is too large to be read. */
  async read(reply: Reply): Promise<void> {
    try {
      if (reply.events) await this.#readEvents(reply);
      else await this.#readJson(reply);
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
    }
  }

  async #readEvents({ body }: Reply): Promise<void> {
    const parser = new SseParser({
      maxEventBytes: MAX_MESSAGE_BYTES,
      onEvent: ({ event, data }) => {
        if (event === 'message' && data.length > 0) this.#deliver(data);
      },
    });
    for await (const chunk of body) {
      parser.push(chunk as Buffer);
      if (parser.lastEventId !== '') this.lastEventId = parser.lastEventId;
      this.#retryMs = parser.retryMs ?? this.#retryMs;
      if (this.#output.full) await this.#output.drained();
    }
  }

  async #readJson(reply: Reply): Promise<void> {
    const body = await readBody(reply, MAX_MESSAGE_BYTES, this.#output);
    if (body.length > 0) this.#deliver(body);
  }

  /** Mostly one message; an array of them answers an array. */
  #deliver(bytes: Buffer): void {
    let messages: readonly Message[];
    try {
      const spans = bytes[0] === OPEN_BRACKET ? scanBatch(bytes) : undefined;
      const each = spans === undefined ? [bytes] : spans.map((span) => slice(bytes, span));
      messages = each.map((one) => ({ bytes: one, scanned: scanMessage(one, { ids: 'any' }) }));
    } catch (error) {
      this.#log.warn('a message of the sidecar cannot be read', { error, bytes: bytes.length });
      return;
    }
    for (const message of messages) this.#onMessage(message);
  }
}

const OPEN_BRACKET = 0x5b;

/** The whole body. Rejects when it is cut off, and with MeshError when it is longer than the limit. */
export async function readBody({ body }: Reply, limit: number, output?: Output): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > limit) throw new MeshError('backend_protocol_error', 'The answer is larger than the limit.');
    if (output?.full === true) await output.drained();
  }
  return Buffer.concat(chunks);
}
