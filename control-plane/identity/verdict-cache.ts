/** Bounds on what verdicts may hold in memory; a token and its claims weigh about twice the token's length. */
const MOST_ENTRIES = 10_000;
const MOST_WEIGHT = 32 * 1024 * 1024;

interface Entry<Value> {
  readonly value: Value;
  readonly weight: number;
  /** On the caller's clock. */
  readonly until: number;
}

/** A least-recently-used map whose entries end at a time and which never outgrows its bounds. */
export class VerdictCache<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  #weight = 0;

  get(key: string, now: number): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (now >= entry.until) {
      this.#weight -= entry.weight;
      return undefined;
    }
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, entry: Entry<Value>): void {
    this.#drop(key);
    this.#entries.set(key, entry);
    this.#weight += entry.weight;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MOST_ENTRIES && this.#weight <= MOST_WEIGHT) break;
      this.#drop(oldest);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
  }
}
