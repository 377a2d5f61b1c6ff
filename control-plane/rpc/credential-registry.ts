import { createHmac, randomBytes } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import type { ReplicaFrame } from '../../shared/rpc/mesh-protocol.ts';
import type { CallerIdentity, IdentityVerifier } from '../identity/caller.ts';
import type { Proof } from '../identity/dpop.ts';
import type { ServedExchange } from './served-exchange.ts';

/**
 * The bearers of one mesh stream. Each is verified once, and the verdict is looked
 * at again for every exchange. Exchanges wait for their own credential only. Tokens
 * live here, in memory, until the sidecar forgets them or the stream ends.
 */

export interface CredentialRegistryOptions {
  readonly node: string;
  readonly verifier: IdentityVerifier;
  readonly maxCredentials: number;
  /** Whether the sidecar knows what `invalid_dpop_proof` is. */
  readonly proofs: boolean;
  send(frame: ReplicaFrame): void;
  /** A credential that was good is not any more. */
  revoked(id: number): void;
  /** The exchange's caller is known. */
  admitted(exchange: ServedExchange): void;
}

interface Entry {
  readonly id: number;
  readonly authorization: string;
  /** `open`: to be verified with the next exchange. */
  state: 'open' | 'verifying' | 'accepted' | 'refused';
  identity: CallerIdentity | undefined;
  refusal: MeshError | undefined;
  waiting: ServedExchange[];
}

/** Groups the streams' principals without naming them; another process gives other digests. */
const DIGEST_KEY = randomBytes(32);
const DIGEST_BYTES = 16;

export class CredentialRegistry {
  readonly #options: CredentialRegistryOptions;
  readonly #entries = new Map<number, Entry>();
  #lastId = 0;

  constructor(options: CredentialRegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Registers a bearer and begins to verify it. False: the id does not grow, which is a violation. */
  add(id: number, authorization: string): boolean {
    if (id <= this.#lastId) return false;
    this.#lastId = id;
    // One more than agreed is not kept; what names it fails as `credential_unknown`
    // and the sidecar comes back when it has forgotten others.
    if (this.#entries.size >= this.#options.maxCredentials) return true;
    const entry: Entry = {
      id,
      authorization,
      state: 'open',
      identity: undefined,
      refusal: undefined,
      waiting: [],
    };
    this.#entries.set(id, entry);
    void this.#verify(entry);
    return true;
  }

  forget(id: number): void {
    this.#entries.delete(id);
  }

  /** Verifies it again where its verdict has aged. */
  recheck(id: number): void {
    const entry = this.#entries.get(id);
    if (entry?.state !== 'accepted' || entry.identity === undefined) return;
    if (!this.#options.verifier.current(entry.identity)) void this.#verify(entry);
  }

  /** The rules are others now: all of them are verified again. */
  recheckAll(): void {
    for (const id of this.#entries.keys()) this.recheck(id);
  }

  /** Finds the exchange's caller, now or after its credential's verdict; or fails the exchange. */
  admit(exchange: ServedExchange): void {
    const id = exchange.credentialId;
    if (id === 0) return this.#admitAnonymous(exchange);
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      return exchange.fail(
        new MeshError('credential_unknown', 'The credential is not known on this stream.'),
      );
    }
    if (entry.state === 'accepted' && entry.identity !== undefined) {
      if (this.#options.verifier.current(entry.identity)) return this.#accept(exchange, entry.identity);
      entry.state = 'open';
    }
    if (entry.state === 'refused' && entry.refusal !== undefined) return exchange.fail(entry.refusal);
    entry.waiting.push(exchange);
    if (entry.state === 'open') void this.#verify(entry);
  }

  /** The stream is over: verdicts still to come concern nobody. */
  close(): void {
    this.#entries.clear();
  }

  #admitAnonymous(exchange: ServedExchange): void {
    try {
      exchange.admit(this.#options.verifier.anonymous(this.#options.node));
    } catch (thrown) {
      return exchange.fail(MeshError.from(thrown));
    }
    this.#options.admitted(exchange);
  }

  #accept(exchange: ServedExchange, identity: CallerIdentity): void {
    if (identity.boundTo !== undefined) return void this.#prove(exchange, identity);
    exchange.admit(identity);
    this.#options.admitted(exchange);
  }

  /** A token that is bound to a key opens nothing without a proof of this very request. */
  async #prove(exchange: ServedExchange, identity: CallerIdentity): Promise<void> {
    try {
      await this.#options.verifier.prove(identity, proofOf(exchange));
    } catch (thrown) {
      return exchange.fail(MeshError.from(thrown));
    }
    exchange.admit(identity);
    this.#options.admitted(exchange);
  }

  async #verify(entry: Entry): Promise<void> {
    entry.state = 'verifying';
    let identity: CallerIdentity;
    try {
      identity = await this.#options.verifier.verify(entry.authorization);
    } catch (thrown) {
      return this.#refused(entry, this.#known(MeshError.from(thrown)));
    }
    this.#accepted(entry, identity);
  }

  #accepted(entry: Entry, identity: CallerIdentity): void {
    const first = entry.identity === undefined;
    entry.identity = identity;
    entry.state = 'accepted';
    if (first && this.#knows(entry)) {
      this.#options.send({ accepted: { id: entry.id, principal: principalDigest(identity) } });
    }
    for (const exchange of this.#takeWaiting(entry)) this.#accept(exchange, identity);
  }

  #refused(entry: Entry, error: MeshError): void {
    const { id } = entry;
    const final = error.reason === 'unauthenticated' || error.reason === 'invalid_dpop_proof';
    if (this.#knows(entry)) {
      if (entry.identity === undefined) {
        this.#options.send({ refused: { id, reason: error.reason, detail: error.message } });
      } else if (final) {
        this.#options.revoked(id);
        this.#options.send({ revoked: { id } });
      }
    }
    // Where we could not tell, the next exchange asks again.
    entry.state = final ? 'refused' : 'open';
    entry.refusal = error;
    for (const exchange of this.#takeWaiting(entry)) exchange.fail(error);
  }

  /** The error in words that the sidecar has. */
  #known(error: MeshError): MeshError {
    if (this.#options.proofs || error.reason !== 'invalid_dpop_proof') return error;
    return new MeshError('unauthenticated', error.message, { cause: error.cause });
  }

  #knows(entry: Entry): boolean {
    return this.#entries.get(entry.id) === entry;
  }

  #takeWaiting(entry: Entry): ServedExchange[] {
    const { waiting } = entry;
    entry.waiting = [];
    return waiting;
  }
}

const METHODS = { message: 'POST', listen: 'GET', terminate: 'DELETE' } as const;

function proofOf({ proof, kind }: ServedExchange): Proof | undefined {
  if (!proof) return undefined;
  const { jwt, urls, request } = proof;
  return { jwt: jwt ?? '', urls: urls ?? [], request: request ?? '', method: METHODS[kind] };
}

function principalDigest(identity: CallerIdentity): Uint8Array {
  return createHmac('sha256', DIGEST_KEY).update(identity.bindingKey).digest().subarray(0, DIGEST_BYTES);
}
