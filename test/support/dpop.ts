import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import type { ClientOptions } from './mcp-client.ts';

/** How a proof differs from a good one. */
export interface ProofChanges {
  /** Over the default claims; `undefined` leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Over the default header; `undefined` leaves a member out. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Makes another signature over the signing input. */
  readonly signature?: (input: string) => Buffer;
}

/** The request that a proof is for, and the token that comes with it. */
export interface Proven {
  readonly method: string;
  readonly url: string;
  readonly token: string;
}

/** A key of a client, whose holder alone may use the tokens that are bound to it (RFC 9449). */
export class ProofKey {
  readonly privateJwk: Readonly<Record<string, unknown>>;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  /** RFC 7638: what `cnf.jkt` holds. */
  readonly thumbprint: string;
  /** Every proof that was made. */
  readonly made: string[] = [];
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  constructor() {
    this.privateJwk = this.#pair.privateKey.export({ format: 'jwk' }) as Record<string, unknown>;
    this.publicJwk = this.#pair.publicKey.export({ format: 'jwk' }) as Record<string, unknown>;
    const { crv, kty, x, y } = this.publicJwk;
    this.thumbprint = digest(JSON.stringify({ crv, kty, x, y }));
  }

  /** The claim of a token that is bound to this key. */
  get cnf(): { readonly cnf: { readonly jkt: string } } {
    return { cnf: { jkt: this.thumbprint } };
  }

  proof({ method, url, token }: Proven, changes: ProofChanges = {}): string {
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: this.publicJwk, ...changes.header };
    const iat = Math.floor(Date.now() / 1_000);
    const claims = { jti: randomUUID(), htm: method, htu: url, iat, ath: digest(token), ...changes.claims };
    const input = `${encode(header)}.${encode(claims)}`;
    const signature = changes.signature?.(input) ?? this.#sign(input);
    const proof = `${input}.${signature.toString('base64url')}`;
    this.made.push(proof);
    return proof;
  }

  /** The headers that show a token with a proof. */
  headers(proven: Proven, changes: ProofChanges = {}): Record<string, string> {
    return { authorization: `DPoP ${proven.token}`, dpop: this.proof(proven, changes) };
  }

  /** Lets a client show its tokens with a fresh proof for each request. */
  get shows(): NonNullable<ClientOptions['shows']> {
    return (proven) => this.headers(proven);
  }

  #sign(input: string): Buffer {
    return sign('sha256', Buffer.from(input), { key: this.#pair.privateKey, dsaEncoding: 'ieee-p1363' });
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
