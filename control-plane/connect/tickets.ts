import { randomUUID } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import type { LoginVault, Sealer } from '../credentials/login-vault.ts';

/** What a link to log in is for. */
export interface Ticket {
  readonly id: string;
  /** Whom it was made for, and nobody else. */
  readonly bindingKey: string;
  /** For which login, by the key of its provider. */
  readonly provider: string;
  readonly backend: string;
  /** The session in which it was missed, as admins name it; empty where a person asked by themselves. */
  readonly session: string;
  /** What is to be granted, where that is more than at first. */
  readonly scopes?: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface TicketOptions {
  readonly sealer: Sealer;
  readonly vault: Pick<LoginVault, 'once'>;
  readonly clock: Clock;
}

/** A person has so long to open a link. */
const LIFE_MS = 10 * 60_000;
const NAME = 'ticket';

/** Links to log in: sealed, so that they say nothing and nobody makes one, and good once, on whatever replica. */
export class Tickets {
  readonly #options: TicketOptions;

  constructor(options: TicketOptions) {
    this.#options = options;
  }

  issue(what: Omit<Ticket, 'id' | 'expiresAt'>): string {
    const { sealer, clock } = this.#options;
    const ticket: Ticket = { ...what, id: randomUUID(), expiresAt: clock.now() + LIFE_MS };
    return sealer.seal(NAME, JSON.stringify(ticket));
  }

  /** Undefined for what is no ticket of ours, or is over. */
  open(text: string): Ticket | undefined {
    const plain = this.#options.sealer.open(NAME, text);
    const ticket = plain === undefined ? undefined : (JSON.parse(plain) as Ticket);
    return ticket !== undefined && this.#options.clock.now() < ticket.expiresAt ? ticket : undefined;
  }

  /** True once. Rejects as the store does. */
  spend({ id }: Ticket): Promise<boolean> {
    return this.#options.vault.once(`ticket ${id}`, LIFE_MS + CLOCKS_MS);
  }
}

/** How far the clocks of replicas and store may be apart. */
const CLOCKS_MS = 60_000;
