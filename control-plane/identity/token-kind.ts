import type { IssuerSettings } from '../settings.ts';

/** A compact JWS or JWE whose header is a JSON object that names an algorithm (RFC 7515 §4.1.1). Anything else is opaque. */
export function isJwt(token: string): boolean {
  const [head = '', ...rest] = token.split('.', 6);
  if (rest.length !== 2 && rest.length !== 4) return false;
  try {
    const header: unknown = JSON.parse(Buffer.from(head, 'base64url').toString('utf8'));
    return typeof Reflect.get(Object(header), 'alg') === 'string';
  } catch {
    return false;
  }
}

/** The issuer whose opaque token it is: the one with the longest prefix that fits, else the one that takes tokens without. */
export function opaqueIssuer(token: string, issuers: readonly IssuerSettings[]): IssuerSettings | undefined {
  const fitting = issuers.filter(({ introspection }) => {
    return introspection !== undefined && token.startsWith(introspection.tokenPrefix);
  });
  const [longest] = fitting.toSorted((a, b) => prefixLength(b) - prefixLength(a));
  return longest;
}

function prefixLength({ introspection }: IssuerSettings): number {
  return introspection?.tokenPrefix.length ?? 0;
}
