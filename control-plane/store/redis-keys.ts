import type { RecordKey } from './session-store.ts';

/** The keys in Redis, as SCHEMA.md documents them. The hash tag keeps what one session needs in one Cluster slot. */
export class RedisKeys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  record({ principal, name }: RecordKey): string {
    return `${this.recordPrefix(principal)}${name}`;
  }

  recordPrefix(principal: string): string {
    return `${this.#prefix}:{${principal}}:s:`;
  }

  /** The streams of a session; a stream's own key is this, a colon and its name. */
  streams({ principal, name }: RecordKey): string {
    return `${this.#prefix}:{${principal}}:x:${name}`;
  }

  quarantine({ principal, name }: RecordKey): string {
    return `${this.#prefix}:{${principal}}:q:${name}`;
  }

  index(principal: string): string {
    return `${this.#prefix}:{${principal}}:i`;
  }

  barrier(principal: string): string {
    return `${this.#prefix}:{${principal}}:b`;
  }

  get all(): string {
    return `${this.#prefix}:all`;
  }

  witness(id: string): string {
    return `${this.#prefix}:w:${id}`;
  }

  table(id: string): string {
    return `${this.#prefix}:t:${id}`;
  }

  vault(id: string): string {
    return `${this.#prefix}:v:${id}`;
  }

  get generation(): string {
    return `${this.#prefix}:generation`;
  }

  /** A pub/sub channel, not a key. */
  get invalidations(): string {
    return `${this.#prefix}:invalidations`;
  }
}
