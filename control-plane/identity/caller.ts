/**
 * Who is asking. A caller is a complete, verified identity or it is anonymous,
 * which is a kind of its own without a subject. There is nothing in between:
 * both types can only be made in this folder (`Verified` has no other
 * constructor), and no credential field of an identity is optional.
 */

import type { Proof } from './dpop.ts';

declare const verified: unique symbol;
/** A brand that only `control-plane/identity` applies. */
export interface Verified {
  readonly [verified]: true;
}

/** What a session stays bound to. It identifies; it does not authenticate. */
export interface IdentityBinding {
  readonly issuer: string;
  readonly subject: string;
  /** The configured tenant claim; empty where none is configured. */
  readonly tenant: string;
}

/** One party that acts for another, outermost first (RFC 8693 §4.1). */
export interface Actor {
  readonly issuer: string;
  readonly subject: string;
}

/** The verified principal of one request, complete. */
export interface CallerIdentity extends Verified {
  readonly kind: 'identified';
  readonly binding: IdentityBinding;
  /** Sorted. */
  readonly scopes: readonly string[];
  readonly audience: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  readonly actorChain: readonly Actor[];
  /** `exp`, in milliseconds since the epoch, on this process's clock. */
  readonly expiresAt: number;
  /** The bearer itself, for credential strategies that exchange it. Never logged, never stored. */
  readonly token: string;
  /** The thumbprint (RFC 7638) of the key whose holder alone may use the token: each request needs `prove`. Undefined for a bearer token. */
  readonly boundTo: string | undefined;
  /** Canonical bytes of the binding, for keyed hashes. */
  readonly bindingKey: string;
  /** Digest of everything about the caller that can change what is visible: binding, audience, scopes, actors, and every claim but `exp iat nbf jti auth_time nonce sid`. */
  readonly contextDigest: string;
}

/** A request without a token where configuration allows it. */
export interface AnonymousCaller extends Verified {
  readonly kind: 'anonymous';
  /** The sidecar's node name: anonymous callers are counted per sidecar. */
  readonly node: string;
  readonly bindingKey: string;
  readonly contextDigest: string;
}

export type Caller = CallerIdentity | AnonymousCaller;

export interface IdentityVerifier {
  /**
   * Verifies a whole Authorization header value (RFC 6750 §2.1, RFC 9449 §7.1). What it says
   * of a bound token (`boundTo`) holds for requests that `prove` lets pass, and for no other.
   * Rejects with `unauthenticated`, with `invalid_dpop_proof` for a bound token that is shown
   * as a bearer's, with `insufficient_scope` when the issuer's required scopes are not
   * all there, or with `unavailable` when no usable key can be had.
   */
  verify(authorization: string): Promise<CallerIdentity>;
  /** Whether the sender of one request holds the key of its token. Rejects as `ProofChecker.check` does. */
  prove(identity: CallerIdentity, proof: Proof | undefined): Promise<void>;
  /** The caller of a request without a token. Throws `unauthenticated` where anonymous is not allowed. */
  anonymous(node: string): AnonymousCaller;
  /** Whether a verdict may still be used: its token has not expired (5 s of tolerance) and it is not older than the verdict cache allows. */
  current(identity: CallerIdentity): boolean;
}
