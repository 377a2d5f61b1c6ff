import type { IdentitySettings } from '../settings.ts';
import type { AnonymousCaller, CallerIdentity, IdentityVerifier } from './caller.ts';
import type { Proof } from './dpop.ts';
import { IssuerKeyring } from './issuer-keys.ts';
import { createVerifier, type VerifierOptions } from './verifier.ts';

/**
 * A verifier whose rules may change. From then on no verdict of the old rules is
 * current: each token is judged anew with its next exchange. Keys of issuers that
 * stay are kept, so that one that cannot be reached just then is not missed.
 */
export class LiveVerifier implements IdentityVerifier {
  readonly #options: VerifierOptions;
  #verifier: IdentityVerifier;

  /** Throws for settings that could not be safe, as `createVerifier` does. */
  constructor(settings: IdentitySettings, options: VerifierOptions) {
    this.#options = { keyring: new IssuerKeyring(), ...options };
    this.#verifier = createVerifier(settings, this.#options);
  }

  /** Gets ready for other rules and returns what makes the change. Throws for settings that could not be safe. */
  prepare(settings: IdentitySettings): () => void {
    const verifier = createVerifier(settings, this.#options);
    return () => {
      this.#verifier = verifier;
    };
  }

  async verify(authorization: string): Promise<CallerIdentity> {
    const verifier = this.#verifier;
    const [verdict] = await Promise.allSettled([verifier.verify(authorization)]);
    // Judged by rules that have changed meanwhile, which counts for nothing.
    if (verifier !== this.#verifier) return this.verify(authorization);
    if (verdict.status === 'rejected') throw verdict.reason;
    return verdict.value;
  }

  prove(identity: CallerIdentity, proof: Proof | undefined): Promise<void> {
    return this.#verifier.prove(identity, proof);
  }

  anonymous(node: string): AnonymousCaller {
    return this.#verifier.anonymous(node);
  }

  current(identity: CallerIdentity): boolean {
    return this.#verifier.current(identity);
  }
}
