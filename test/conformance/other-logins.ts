/**
 * What the suite has beyond the authorization of our revision, and what a mesh that keeps to that must fail. A
 * line that passes has to go: the test says so.
 */
const NO_RESOURCE =
  'without a protected resource metadata document nobody says who may give tokens for a backend';
const DPOP = 'tokens for backends are bearer tokens: proofs of possession (RFC 9449) are not made';

/** The reason why each scenario fails, by its name. */
export const OTHER_LOGINS: Readonly<Record<string, string>> = {
  'auth/2025-03-26-oauth-metadata-backcompat': NO_RESOURCE,
  'auth/2025-03-26-oauth-endpoint-fallback': NO_RESOURCE,
  'auth/dpop': DPOP,
  'auth/dpop-nonce': DPOP,
  'auth/wif-jwt-bearer': 'the workload would stand for itself, at an issuer that only the suite knows',
};
