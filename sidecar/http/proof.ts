import { randomBytes } from 'node:crypto';
import { isLoopbackHost } from '../../shared/config/hosts.ts';
import { MeshError } from '../../shared/errors.ts';
import type { MeshFacts, Proof } from '../mesh/exchange.ts';

/**
 * Tokens that are bound to a key of the client, and the proofs that come with them
 * (DPoP, RFC 9449). Only their form is looked at: what they prove, and whether they
 * were used before, the replica decides.
 */

/** Whether an Authorization header holds one token under the scheme DPoP (RFC 9449 §7.1). */
export function isDpop(authorization: string): boolean {
  // Nearly all are of bearers, and pass here with one look.
  return (authorization.charCodeAt(0) | 0x20) === LETTER_D && DPOP.test(authorization);
}

/** Why such a token cannot be taken with this value of the DPoP header, in which two headers are joined; undefined where it can. */
export function refuseProof(proof: string | undefined, facts: MeshFacts): MeshError | undefined {
  if (facts.proofs === undefined)
    return new MeshError('unauthenticated', 'No access tokens that are bound to a key are taken here.');
  if (proof !== undefined && proof.length <= LONGEST_PROOF && JWT.test(proof)) return undefined;
  return new MeshError(
    'invalid_dpop_proof',
    'With a bound access token comes exactly one proof of possession, in the DPoP header.',
  );
}

/**
 * The proof as it crosses the mesh. A client may have called this sidecar by the Host
 * that it sent, or by the resource that the mesh is to its authorization server. TLS can
 * have ended before us only where the Host is not this machine.
 */
export function proofOf(jwt: string, { host, facts }: { host: string; facts: MeshFacts }): Proof {
  const urls = [`http://${host}/mcp`];
  if (!isLoopbackHost(host.replace(/:\d+$/, ''))) urls.push(`https://${host}/mcp`);
  if (facts.resource !== '') urls.push(facts.resource);
  return { jwt, urls, request: randomBytes(REQUEST_BYTES).toString('base64url') };
}

const LETTER_D = 0x64;
const DPOP = /^DPoP +[A-Za-z0-9._~+/-]+=*$/i;
const LONGEST_PROOF = 8 * 1024;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const REQUEST_BYTES = 16;
