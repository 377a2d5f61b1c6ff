/**
 * Maps and sets for what comes and goes by the thousand while few are there at a time, as calls do.
 *
 * When V8 fills up the table of a Map it makes the next one where the last one was. A Map that has outlived two
 * collections has its tables in the old generation for good, and each one it leaves behind, full of what was there
 * then, keeps all of that alive until the old generation is collected: all that a call is made of grows old with it.
 * So what holds the entries is replaced now and then, while it is young.
 */

/** How many entries come and go before the next one is made; more where more are there, so that copying stays cheap. */
const LIFE = 256;
const COPIES = 4;

/** As a Map; what is iterated must not be added to meanwhile. */
export class ChurningMap<Key, Value> implements Iterable<[Key, Value]> {
  #entries = new Map<Key, Value>();
  #gone = 0;

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  set(key: Key, value: Value): void {
    if (this.#gone >= LIFE && this.#gone >= COPIES * this.#entries.size) {
      this.#entries = new Map(this.#entries);
      this.#gone = 0;
    }
    this.#entries.set(key, value);
  }

  delete(key: Key): boolean {
    const was = this.#entries.delete(key);
    if (was) this.#gone += 1;
    return was;
  }

  clear(): void {
    this.#entries = new Map();
    this.#gone = 0;
  }

  keys(): MapIterator<Key> {
    return this.#entries.keys();
  }

  values(): MapIterator<Value> {
    return this.#entries.values();
  }

  [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.#entries.entries();
  }
}

/** As a Set; what is iterated must not be added to meanwhile. */
export class ChurningSet<Item> implements Iterable<Item> {
  readonly #items = new ChurningMap<Item, true>();

  get size(): number {
    return this.#items.size;
  }

  has(item: Item): boolean {
    return this.#items.has(item);
  }

  add(item: Item): void {
    this.#items.set(item, true);
  }

  delete(item: Item): boolean {
    return this.#items.delete(item);
  }

  clear(): void {
    this.#items.clear();
  }

  [Symbol.iterator](): MapIterator<Item> {
    return this.#items.keys();
  }
}
