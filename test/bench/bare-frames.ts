// What crosses between the two programs of the bare hops: frames of an exchange's id, a kind and a length,
// and their bytes. All that one turn of the event loop makes leaves as one message.

/** Kinds from the replica: the status and headers of an answer, a part of its body, and that it is whole. From the sidecar a kind is a method of METHODS. */
export const HEAD = 0;
export const PART = 1;
export const END = 2;

export const METHODS = ['POST', 'DELETE'] as const;

/** No message of the stream is much larger than this; smaller ones cost answers of 64 KiB a tenth of their rate. */
const MESSAGE_BYTES = 262_144;
const PREFIX_BYTES = 8;
const LENGTH_BITS = 28;
const LENGTH_MASK = 2 ** LENGTH_BITS - 1;

const NOTHING: Buffer = Buffer.alloc(0);

/** The frames of this turn, written when it ends. */
export class Turn {
  readonly #write: (message: Buffer) => void;
  readonly #flush = () => this.#send();
  #prefixes: number[] = [];
  #bodies: Buffer[] = [];
  #bytes = 0;

  constructor(write: (message: Buffer) => void) {
    this.#write = write;
  }

  /** Adds a frame; its bytes must not change until they are sent. */
  add(id: number, kind: number, body: Buffer = NOTHING): void {
    if (this.#bodies.length === 0) setImmediate(this.#flush);
    this.#prefixes.push(id, kind * 2 ** LENGTH_BITS + body.length);
    this.#bodies.push(body);
    this.#bytes += PREFIX_BYTES + body.length;
    if (this.#bytes >= MESSAGE_BYTES) this.#send();
  }

  #send(): void {
    if (this.#bodies.length === 0) return;
    const message = Buffer.allocUnsafe(this.#bytes);
    let at = 0;
    this.#bodies.forEach((body, index) => {
      at = message.writeUInt32LE(this.#prefixes[2 * index] as number, at);
      at = message.writeUInt32LE(this.#prefixes[2 * index + 1] as number, at);
      at += body.copy(message, at);
    });
    this.#prefixes = [];
    this.#bodies = [];
    this.#bytes = 0;
    this.#write(message);
  }
}

/** Hands over each frame of a message. */
export function readFrames(message: Buffer, on: (id: number, kind: number, body: Buffer) => void): void {
  for (let at = 0; at < message.length; ) {
    const id = message.readUInt32LE(at);
    const word = message.readUInt32LE(at + 4);
    const start = at + PREFIX_BYTES;
    at = start + (word & LENGTH_MASK);
    on(id, word >>> LENGTH_BITS, message.subarray(start, at));
  }
}

/** The one stream between them, as gRPC names it, with messages that are bytes. */
export const STREAM = {
  path: '/outrigger.bench.Bare/Connect',
  requestStream: true,
  responseStream: true,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
} as const;

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
