import { ChurningSet } from '../../shared/churning.ts';

/**
 * The ids of the requests that cross the mesh now, by session. Who answers one by
 * itself looks here first: an id that is in use is the replica's to refuse (-32600).
 */
export class RunningIds {
  readonly #keys = new ChurningSet<string>();

  /** Returns what `end` takes back. */
  begin(sessionId: string | undefined, ids: readonly string[]): readonly string[] {
    if (sessionId === undefined) return NONE;
    // A second one of the same id is not its owner.
    const keys = ids.map((id) => keyOf(sessionId, id)).filter((key) => !this.#keys.has(key));
    for (const key of keys) this.#keys.add(key);
    return keys;
  }

  end(keys: readonly string[]): void {
    for (const key of keys) this.#keys.delete(key);
  }

  has(sessionId: string, id: string): boolean {
    return this.#keys.has(keyOf(sessionId, id));
  }
}

const NONE: readonly string[] = [];

function keyOf(sessionId: string, id: string): string {
  return `${sessionId} ${id}`;
}
