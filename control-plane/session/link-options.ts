import type { Clock } from '../../shared/clock.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import type { BackendHint, BackendSession } from '../backend/backend.ts';
import type { Credential, CredentialStrategy } from '../credentials/strategy.ts';
import type { BackendLink, LinkOptions, ReachableBackend } from './backend-link.ts';
import type { FairGate } from './fair-gate.ts';

/** What all links of one session have in common. */
export interface LinkOwner {
  readonly clock: Clock;
  readonly initializeParams: Uint8Array;
  initializeTimeoutMs(backend: string): number;
  prepare(name: string, backend: BackendSession, credential: Credential): Promise<void>;
  opened(link: BackendLink): void;
  message(link: BackendLink, message: Message): void;
  changed(): void;
}

/** Where a link begins: what its session had at the backend before. */
export interface LinkPast {
  readonly requestIdBase: number;
  readonly hint: BackendHint | undefined;
  readonly had: boolean;
  readonly stateLost: boolean;
}

/** A replica has thousands of links: each holds its backend and its session, not copies of what they say. */
export class SessionLinkOptions implements LinkOptions {
  readonly requestIdBase: number;
  readonly hint: BackendHint | undefined;
  readonly had: boolean;
  readonly stateLost: boolean;
  readonly #owner: LinkOwner;
  readonly #reachable: ReachableBackend;

  constructor(owner: LinkOwner, reachable: ReachableBackend, past: LinkPast) {
    this.#owner = owner;
    this.#reachable = reachable;
    this.requestIdBase = past.requestIdBase;
    this.hint = past.hint;
    this.had = past.had;
    this.stateLost = past.stateLost;
  }

  get backend() {
    return this.#reachable.backend;
  }

  get place(): string | undefined {
    return this.#reachable.place;
  }

  get strategy(): CredentialStrategy {
    return this.#reachable.strategy;
  }

  get handshakes(): FairGate | undefined {
    return this.#reachable.handshakes;
  }

  get clock(): Clock {
    return this.#owner.clock;
  }

  get initializeTimeoutMs(): number {
    return this.#owner.initializeTimeoutMs(this.backend.name);
  }

  get initializeParams(): Uint8Array {
    return this.#owner.initializeParams;
  }

  prepare(session: BackendSession, credential: Credential): Promise<void> {
    return this.#owner.prepare(this.backend.name, session, credential);
  }

  onOpened(link: BackendLink): void {
    this.#owner.opened(link);
  }

  onMessage(link: BackendLink, message: Message): void {
    this.#owner.message(link, message);
  }

  onChanged(): void {
    this.#owner.changed();
  }
}
