/**
 * A URL of HTTP in its normal form, without query and fragment (RFC 9449 §4.3,
 * RFC 3986 §6.2.2 and §6.2.3): scheme and host in lower case, no default port, no dot
 * segments, an empty path as `/`, escapes in upper case and only where they are needed.
 * Undefined for anything else, and for one that holds a user's name.
 */
export function normalUrl(text: string): string | undefined {
  if (text.length > LONGEST_URL || !URL.canParse(text)) return undefined;
  const { protocol, host, pathname, username, password } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return undefined;
  if (username !== '' || password !== '') return undefined;
  return `${protocol}//${host}${pathname.replace(ESCAPE, normalEscape)}`;
}

const LONGEST_URL = 2_048;
const ESCAPE = /%[0-9a-f]{2}/gi;
/** RFC 3986 §2.3. */
const UNRESERVED = /[A-Za-z0-9._~-]/;

function normalEscape(escaped: string): string {
  const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
  return UNRESERVED.test(character) ? character : escaped.toUpperCase();
}
