/**
 * Masks what must never be printed. Everything that leaves a process as text for
 * people (logs, fatal errors, configuration errors) goes through `redact`. It
 * works on the shape of a secret, so it holds for texts that others wrote: an
 * error of a library, a stack, a line of a child's stderr.
 *
 * By shape: JSON Web Tokens and any of their parts, whatever follows an
 * authorization scheme, runs as long as a session id (48 bytes, 64 characters of
 * base64url) in base64, base64url or hex, credentials in URLs, and the values of
 * fields that are known to hold secrets. By value: whatever `conceal` was told.
 */

const MASK = '[masked]';
/** Longer texts are cut before they are searched; what is shown is shorter still, so no half of a secret is at its end. */
const SEARCHED = 65_536;
const SHOWN = 8_192;
/** Shorter values are ordinary words. */
const SHORTEST_SECRET = 8;

const SCHEME = /\b(bearer|basic|dpop|negotiate|digest)((?:\s|%20|\+)+)[^\s"'`,;<>]+/gi;
const NAMED =
  /(["']?\b(?:proxy-authorization|authorization|access_token|refresh_token|id_token|subject_token|client_secret|client_assertion|assertion|password|passwd|mcp-session-id|x-api-key|api[-_]?key|set-cookie|cookie)\b["']?\s*[:=]\s*)(?:"[^"]*"|'[^']*'|[^\r\n&,;}"']+)/gi;
const USERINFO = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;
const QUERY = /([?&](?:token|code|key|secret|sig|signature)=)[^&\s#"']+/gi;
const TOKEN = /eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*/g;
const LONG_RUN = /[A-Za-z0-9_-]{64,}/g;
const ENCODED_RUN = /[A-Za-z0-9+/_%-]{40,}={0,2}/g;

const concealed = new Set<string>();

/**
 * Never prints this value from now on, nor its base64, base64url or URL-encoded form: for secrets
 * read from configuration. A secret that another one replaces is let go of by the function returned.
 */
export function conceal(secret: string): () => void {
  if (secret.length < SHORTEST_SECRET) return () => {};
  const bytes = Buffer.from(secret);
  const forms = [
    secret,
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    encodeURIComponent(secret),
  ];
  for (const form of forms) concealed.add(form);
  return () => {
    for (const form of forms) concealed.delete(form);
  };
}

/** The text without anything that is, or looks like, a secret; at most 8,192 characters. */
export function redact(text: string): string {
  let shown = text.length > SEARCHED ? text.slice(0, SEARCHED) : text;
  for (const secret of concealed) {
    if (shown.includes(secret)) shown = shown.replaceAll(secret, MASK);
  }
  shown = shown
    .replace(TOKEN, MASK)
    .replace(SCHEME, `$1$2${MASK}`)
    .replace(NAMED, `$1${MASK}`)
    .replace(USERINFO, `$1${MASK}@`)
    .replace(QUERY, `$1${MASK}`)
    .replace(LONG_RUN, MASK)
    .replace(ENCODED_RUN, (run) => (looksRandom(run) ? MASK : run));
  return shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown;
}

/** Tells base64 from a long path: encoded bytes are more than half capitals and digits. */
function looksRandom(run: string): boolean {
  const dense = run.replace(/[^A-Z0-9]/g, '').length / run.length;
  return dense > 0.3 && /[a-z]/.test(run) && /[A-Z]/.test(run);
}
