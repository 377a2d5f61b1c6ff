import type { Settings } from './settings.ts';

/**
 * Gets ready for other settings, without changing anything yet, and returns what
 * makes the change, which does not fail. Throws where it cannot be made: then
 * nothing changes anywhere.
 */
export type Prepare = (next: Settings, before: Settings) => () => void;

/** The settings as they are now. They change as a whole, in one turn of the event loop, or not at all. */
export class LiveSettings {
  readonly #followers: Prepare[] = [];
  #current: Settings;

  constructor(first: Settings) {
    this.#current = first;
  }

  get current(): Settings {
    return this.#current;
  }

  /** Followers are asked, and then change, in the order in which they came; `current` is the new one when the first changes. */
  onChange(prepare: Prepare): void {
    this.#followers.push(prepare);
  }

  /** Throws what a follower threw; nothing has changed then. */
  change(next: Settings): void {
    const before = this.#current;
    const changes = this.#followers.map((prepare) => prepare(next, before));
    this.#current = next;
    for (const change of changes) change();
  }

  /** A part of the settings that is always the current one, for whoever keeps what it is given. */
  part<Part extends object>(read: (settings: Settings) => Part): Part {
    let settings = this.#current;
    let part = read(settings);
    // Read with every call, changed now and then.
    const current = () => {
      if (settings !== this.#current) {
        settings = this.#current;
        part = read(settings);
      }
      return part;
    };
    const names = Object.keys(part) as (keyof Part)[];
    const properties = names.map((name) => [name, { enumerable: true, get: () => current()[name] }]);
    return Object.defineProperties({} as Part, Object.fromEntries(properties));
  }
}
