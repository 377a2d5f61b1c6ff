/**
 * Names of workloads (SPIFFE-ID, X509-SVID): `spiffe://trust.domain/path`, as the one
 * URI among the subject's alternative names of a certificate.
 */

const ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)*$/;
const PATTERN = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?:[A-Za-z0-9._-]+|\*))*$/;
/** X509-SVID: an id has at most this many bytes. */
const LONGEST = 2_048;

/** `.` and `..` are no segments of a path, and a trust domain alone names nobody's workload. */
export function isSpiffeId(text: string): boolean {
  return text.length <= LONGEST && ID.test(text) && !/\/\.{1,2}(?:\/|$)/.test(text.slice('spiffe://'.length));
}

/** An id in which `*` stands for one segment of the path, or, as the last one, for all that follow. */
export function isSpiffePattern(text: string): boolean {
  return text.length <= LONGEST && PATTERN.test(text);
}

export function matchesSpiffe(pattern: string, id: string): boolean {
  const wanted = pattern.split('/');
  const given = id.split('/');
  const open = wanted.at(-1) === '*';
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, at) => segment === '*' || segment === given[at]);
}

/**
 * The id in Node's text of a certificate's alternative names; undefined where there is
 * none, or more than one URI (X509-SVID §2 allows exactly one), or one that is no id.
 */
export function spiffeIdOf(alternativeNames: string | undefined): string | undefined {
  // A name with a comma in it is written in quotes by Node: it must not read as several.
  const plain = (alternativeNames ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const uris = plain.split(', ').filter((name) => name.startsWith('URI:'));
  const [uri] = uris;
  if (uris.length !== 1 || uri === undefined) return undefined;
  const id = uri.slice('URI:'.length);
  return isSpiffeId(id) ? id : undefined;
}
