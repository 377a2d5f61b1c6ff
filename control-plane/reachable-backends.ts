import { isDeepStrictEqual } from 'node:util';
import type { Backend } from './backend/backend.ts';
import type { BackendRegistry } from './backend/registry.ts';
import type { CredentialSettings } from './credential-settings.ts';
import type { CredentialStrategy } from './credentials/strategy.ts';
import type { ReachableBackend } from './session/backend-link.ts';
import type { BackendSettings } from './settings.ts';

export interface ReachableOptions {
  readonly registry: BackendRegistry;
  readonly strategyFor: (backend: BackendSettings) => CredentialStrategy;
  readonly onFault: (backend: string, error: unknown) => void;
}

/**
 * The backends of the configuration with the strategies for their credentials, as
 * sessions use them. A backend that leaves the configuration, or is reached otherwise,
 * is ended when the last session has let go of it.
 */
export class ReachableBackends {
  /** By name; always the present ones. */
  readonly all = new Map<string, ReachableBackend>();
  readonly #options: ReachableOptions;
  readonly #known = new Map<string, Reachable>();

  constructor(backends: readonly BackendSettings[], options: ReachableOptions) {
    this.#options = options;
    this.#adopt(backends, new Map());
  }

  /** Gets ready for other settings; the change tells whose credential comes from elsewhere now. */
  prepare(backends: readonly BackendSettings[]): () => ReadonlySet<string> {
    const strategies = new Map<string, CredentialStrategy>();
    for (const settings of backends) {
      const { name, credential } = settings;
      const known = this.#known.get(name);
      if (known !== undefined && isDeepStrictEqual(known.credential, credential)) continue;
      strategies.set(name, this.#options.strategyFor(settings));
    }
    const change = this.#options.registry.prepare(backends);
    return () => {
      change();
      this.#adopt(backends, strategies);
      return new Set(strategies.keys());
    };
  }

  #adopt(backends: readonly BackendSettings[], strategies: ReadonlyMap<string, CredentialStrategy>): void {
    const { registry, strategyFor } = this.#options;
    const before = new Map(this.#known);
    this.#known.clear();
    this.all.clear();
    for (const settings of backends) {
      const { name, credential } = settings;
      const backend = registry.get(name);
      if (backend === undefined) continue;
      const known = before.get(name);
      const strategy = strategies.get(name) ?? known?.strategy ?? strategyFor(settings);
      const place = placeOf(settings);
      const reachable =
        known?.backend === backend ? known : new Reachable(backend, { place, strategy, credential });
      reachable.strategy = strategy;
      reachable.credential = credential;
      this.#known.set(name, reachable);
      this.all.set(name, reachable);
    }
    for (const [name, former] of before)
      if (this.#known.get(name) !== former) former.retire(() => this.#end(former));
  }

  #end({ backend }: Reachable): void {
    this.#options.registry.end(backend).catch((error: unknown) => this.#options.onFault(backend.name, error));
  }
}

/** One backend that sessions can reach now, or could before the configuration changed. */
class Reachable implements ReachableBackend {
  readonly backend: Backend;
  readonly place: string | undefined;
  /** As configured now. */
  strategy: CredentialStrategy;
  credential: CredentialSettings;
  #holders = 0;
  #unused: (() => void) | undefined;

  constructor(
    backend: Backend,
    {
      place,
      strategy,
      credential,
    }: { place: string | undefined; strategy: CredentialStrategy; credential: CredentialSettings },
  ) {
    this.backend = backend;
    this.place = place;
    this.strategy = strategy;
    this.credential = credential;
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#unused?.();
  }

  /** Nobody new uses it; `unused` is called when nobody does. */
  retire(unused: () => void): void {
    this.#unused = unused;
    if (this.#holders === 0) unused();
  }
}

/** What keeps its sessions over a change of how it is reached: the server at the other end of a URL. */
function placeOf(settings: BackendSettings): string | undefined {
  return settings.kind === 'stdio' ? undefined : `${settings.kind} ${settings.url}`;
}
