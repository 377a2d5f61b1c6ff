import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LOOKUP = new URL('headless-lookup.mjs', import.meta.url).href;
/** Below it every name is this machine, so that plain text may cross. */
const NAME = 'replicas.localhost';

/** One name for all replicas, each at an address of its own, as behind a headless service of Kubernetes. */
export class HeadlessService {
  readonly name = NAME;
  /** To be in the environment of the sidecars. */
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, 'addresses');
    this.env = {
      NODE_OPTIONS: `--import=${LOOKUP}`,
      OUTRIGGER_TEST_NAME: NAME,
      OUTRIGGER_TEST_ADDRESSES: this.#file,
    };
  }

  /** What the name resolves to from now on. */
  has(hosts: readonly string[]): void {
    writeFileSync(`${this.#file}.new`, hosts.join('\n'));
    renameSync(`${this.#file}.new`, this.#file);
  }
}
