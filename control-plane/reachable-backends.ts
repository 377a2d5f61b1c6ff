import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../shared/clock.ts';
import { comeBackMs } from '../shared/come-back.ts';
import { type Backend, BackendFault } from './backend/backend.ts';
import type { BackendRegistry } from './backend/registry.ts';
import type { CredentialSettings } from './credential-settings.ts';
import type { CredentialStrategy } from './credentials/strategy.ts';
import type { ReachableBackend } from './session/backend-link.ts';
import { FairGate, type GateRules } from './session/fair-gate.ts';
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
  readonly #gates = new Map<string, { readonly rules: GateRules; readonly gate: FairGate }>();

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
      const handshakes = this.#handshakes(settings);
      const reachable =
        known?.backend === backend
          ? known
          : new Reachable(backend, { place, strategy, credential, handshakes });
      reachable.strategy = strategy;
      reachable.credential = credential;
      this.#known.set(name, reachable);
      this.all.set(name, reachable);
    }
    for (const name of this.#gates.keys()) if (!this.all.has(name)) this.#gates.delete(name);
    for (const [name, former] of before)
      if (this.#known.get(name) !== former) former.retire(() => this.#end(former));
  }

  /** The sessions that are being opened, and those that wait for their turn, by backend. */
  *handshakes(): Iterable<readonly [backend: string, of: Pick<FairGate, 'running' | 'waiting'>]> {
    for (const [name, { handshakes }] of this.all) if (handshakes !== undefined) yield [name, handshakes];
  }

  /** Of a name: whoever reaches it otherwise goes on waiting behind the same others. */
  #handshakes(settings: BackendSettings): FairGate {
    const { name, handshakes, timeouts } = settings;
    const rules = { ...handshakes, queue: MOST_WAITING, waitMs: timeouts.initializeMs };
    const known = this.#gates.get(name);
    if (known !== undefined) {
      Object.assign(known.rules, rules);
      return known.gate;
    }
    const gate = new FairGate({ rules, clock: systemClock, refuse: tooMany });
    this.#gates.set(name, { rules, gate });
    return gate;
  }

  #end({ backend }: Reachable): void {
    this.#options.registry.end(backend).catch((error: unknown) => this.#options.onFault(backend.name, error));
  }
}

/** One backend that sessions can reach now, or could before the configuration changed. */
class Reachable implements ReachableBackend {
  readonly backend: Backend;
  readonly place: string | undefined;
  readonly handshakes: FairGate;
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
      handshakes,
    }: {
      place: string | undefined;
      strategy: CredentialStrategy;
      credential: CredentialSettings;
      handshakes: FairGate;
    },
  ) {
    this.backend = backend;
    this.place = place;
    this.strategy = strategy;
    this.credential = credential;
    this.handshakes = handshakes;
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

/** Sessions that may wait for a handshake with one backend; each is one call, or one initialize, that is held. */
const MOST_WAITING = 10_000;

function tooMany(): BackendFault {
  return new BackendFault('busy', 'Too many sessions are opened at the backend.', {
    executed: 'no',
    retryAfterMs: comeBackMs(),
  });
}

/** What keeps its sessions over a change of how it is reached: the server at the other end of a URL. */
function placeOf(settings: BackendSettings): string | undefined {
  return settings.kind === 'stdio' ? undefined : `${settings.kind} ${settings.url}`;
}
