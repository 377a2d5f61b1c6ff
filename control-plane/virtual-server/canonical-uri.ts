/** A URI whose escapes are nested deeper has no canonical form. */
const MOST_ROUNDS = 4;

/**
 * What a server may take a URI for: the scheme in lower case, no percent escapes,
 * no `.`, `..` and empty segments in its path (RFC 3986 §6.2.2). For comparing, not
 * for use. Undefined where there is no telling.
 */
export function canonicalUri(uri: string): string | undefined {
  let decoded = uri;
  for (let round = 0; ; round += 1) {
    const next = decoded.replace(/(?:%[0-9a-f]{2})+/gi, decodeRun);
    if (next === decoded) break;
    if (round === MOST_ROUNDS) return undefined;
    decoded = next;
  }
  const end = decoded.search(/[?#]/);
  const path = end < 0 ? decoded : decoded.slice(0, end);
  return withoutDots(path) + decoded.slice(path.length);
}

function decodeRun(run: string): string {
  return Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8');
}

function withoutDots(path: string): string {
  const parts = path.replaceAll('\\', '/').split('/');
  const [scheme = ''] = parts;
  // The scheme and, behind two slashes, the authority are not segments.
  const floor = scheme.endsWith(':') && parts[1] === '' ? 3 : 1;
  const kept = [scheme.replace(/^[a-z][a-z0-9+.-]*:/i, (found) => found.toLowerCase())];
  for (const [at, part] of parts.entries()) {
    if (at === 0) continue;
    if (part === '..') kept.splice(Math.max(floor, kept.length - 1));
    else if (at < floor || at === parts.length - 1 || (part !== '' && part !== '.')) kept.push(part);
  }
  return kept.join('/');
}
