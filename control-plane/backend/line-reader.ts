const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Cuts a stream of bytes into lines, whatever the chunks are. A line over the limit is skipped as a whole. */
export class LineReader {
  readonly #limit: number;
  readonly #onLine: (line: Buffer) => void;
  readonly #onTooLong: () => void;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #skipping = false;

  constructor(options: { limit: number; onLine: (line: Buffer) => void; onTooLong: () => void }) {
    this.#limit = options.limit;
    this.#onLine = options.onLine;
    this.#onTooLong = options.onTooLong;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, end));
      this.#release();
      from = end + 1;
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from));
  }

  #hold(part: Buffer): void {
    if (this.#skipping || part.length === 0) return;
    this.#heldBytes += part.length;
    if (this.#heldBytes <= this.#limit) {
      this.#held.push(part);
      return;
    }
    this.#skipping = true;
    this.#held = [];
    this.#onTooLong();
  }

  #release(): void {
    const [first, ...more] = this.#held;
    const skipped = this.#skipping;
    this.#held = [];
    this.#heldBytes = 0;
    this.#skipping = false;
    if (skipped || first === undefined) return;
    const line = more.length === 0 ? first : Buffer.concat([first, ...more]);
    this.#onLine(line.at(-1) === RETURN ? line.subarray(0, -1) : line);
  }
}
