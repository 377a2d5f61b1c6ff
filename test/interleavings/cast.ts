import type { Caller, CallerIdentity } from '../../control-plane/identity/caller.ts';
import { trusting, verifierFor } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';

/** Everybody who plays, each verified from a real token. */
export interface Cast {
  readonly owner: CallerIdentity;
  /** The owner again, with a refreshed token. */
  readonly refreshed: CallerIdentity;
  /** The owner again, with fewer scopes. */
  readonly narrow: CallerIdentity;
  /** The owner again, with a token that ends two seconds after the play begins. */
  readonly ending: CallerIdentity;
  /** Another principal of the same issuer. */
  readonly thief: CallerIdentity;
  /** Nobody. */
  readonly anonymous: Caller;
  /** When the play begins. */
  readonly start: number;
}

export type Role = Exclude<keyof Cast, 'start'>;

const ENDING_LEFT_MS = 2_000;

export async function makeCast(): Promise<Cast> {
  await using issuer = await startIssuer();
  const { verify, verifier } = verifierFor([trusting(issuer)], { anonymous: true });
  const now = Math.floor(Date.now() / 1000);
  const exp = now + 3_600;
  const ending = await verify(issuer.token({ sub: 'alice', scope: 'read write', exp: now + 60 }));
  return {
    owner: await verify(issuer.token({ sub: 'alice', scope: 'read write', exp })),
    refreshed: await verify(issuer.token({ sub: 'alice', scope: 'read write', exp: exp + 60 })),
    narrow: await verify(issuer.token({ sub: 'alice', scope: 'read', exp })),
    ending,
    thief: await verify(issuer.token({ sub: 'mallory', scope: 'read write', exp })),
    anonymous: verifier.anonymous('node-1'),
    start: ending.expiresAt - ENDING_LEFT_MS,
  };
}
