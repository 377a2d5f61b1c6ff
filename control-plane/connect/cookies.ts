import { createHash, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../shared/clock.ts';
import type { AuthorizationSecrets } from '../credentials/authorization-code.ts';
import type { Sealer } from '../credentials/login-vault.ts';

/** A browser whose person has signed in at the mesh's own issuer. */
export interface SignedIn {
  readonly id: string;
  readonly bindingKey: string;
  /** Goes with every form that changes something. */
  readonly form: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** An authorization that was begun, to be recognised when the browser comes back. */
export type Journey = AuthorizationSecrets & {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
} & (
    | {
        readonly kind: 'sign-in';
        readonly issuer: string;
        /** Where to go on. */
        readonly next: string;
      }
    | {
        readonly kind: 'login';
        readonly backend: string;
        readonly provider: string;
        readonly session: string;
        /** What is to be granted, where that is more than at first. */
        readonly scopes?: readonly string[] | undefined;
        /** The browser session that began it. */
        readonly browser: string;
      }
  );

type Begun<Kind extends Journey['kind']> = Omit<Extract<Journey, { kind: Kind }>, 'expiresAt'>;

export interface CookieOptions {
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** Whether browsers reach the listener by https; `__Host-` cookies need it (RFC 6265bis, section 4.1.3.2). */
  readonly secure: boolean;
}

const SIGNED_IN_MS = 15 * 60_000;
const JOURNEY_MS = 10 * 60_000;

/**
 * What a browser carries between two pages, sealed: any replica reads it, and nothing
 * is kept for somebody who only looks. `Lax`, because it comes back from other sites.
 */
export class Cookies {
  readonly #options: CookieOptions;
  readonly #prefix: string;

  constructor(options: CookieOptions) {
    this.#options = options;
    this.#prefix = options.secure ? '__Host-outrigger' : 'outrigger';
  }

  signedIn(headers: IncomingHttpHeaders): SignedIn | undefined {
    return this.#read<SignedIn>(headers, this.#signedInName);
  }

  signIn(bindingKey: string): string {
    const id = randomUUID();
    const browser: SignedIn = { id, bindingKey, form: randomUUID(), expiresAt: this.#until(SIGNED_IN_MS) };
    return this.#write(this.#signedInName, browser, SIGNED_IN_MS);
  }

  signOut(): string {
    return this.#write(this.#signedInName, undefined, 0);
  }

  begin<Kind extends Journey['kind']>(journey: Begun<Kind>): string {
    const whole = { ...journey, expiresAt: this.#until(JOURNEY_MS) };
    return this.#write(this.#journeyName(journey.state), whole, JOURNEY_MS);
  }

  /** The journey with this state, if this browser has begun it. */
  journey<Kind extends Journey['kind']>(
    headers: IncomingHttpHeaders,
    kind: Kind,
    state: string,
  ): Extract<Journey, { kind: Kind }> | undefined {
    const found = this.#read<Journey>(headers, this.#journeyName(state));
    if (found?.kind !== kind || found.state !== state) return undefined;
    return found as Extract<Journey, { kind: Kind }>;
  }

  end({ state }: Pick<Journey, 'state'>): string {
    return this.#write(this.#journeyName(state), undefined, 0);
  }

  get #signedInName(): string {
    return `${this.#prefix}-connect`;
  }

  /** Several may be under way in one browser. */
  #journeyName(state: string): string {
    return `${this.#prefix}-${createHash('sha256').update(state).digest('hex').slice(0, 16)}`;
  }

  #until(ms: number): number {
    return this.#options.clock.now() + ms;
  }

  #write(name: string, value: object | undefined, lifeMs: number): string {
    const { sealer, secure } = this.#options;
    const text = value === undefined ? '' : sealer.seal(name, JSON.stringify(value));
    const attributes = [`Max-Age=${lifeMs / 1_000}`, 'Path=/', 'HttpOnly', 'SameSite=Lax'];
    return [`${name}=${text}`, ...attributes, ...(secure ? ['Secure'] : [])].join('; ');
  }

  #read<Value extends { readonly expiresAt: number }>(
    { cookie = '' }: IncomingHttpHeaders,
    name: string,
  ): Value | undefined {
    const found = cookie.split('; ').find((pair) => pair.startsWith(`${name}=`));
    const plain = found && this.#options.sealer.open(name, found.slice(name.length + 1));
    const value = plain ? (JSON.parse(plain) as Value) : undefined;
    return value !== undefined && this.#options.clock.now() < value.expiresAt ? value : undefined;
  }
}
