/** What a client sends and takes, as far as MCP's Streamable HTTP transport asks. */

/**
 * `application/json`, with nothing or `charset=utf-8` behind it. Everything else
 * is refused, above all the types that a page can send without asking first.
 */
export function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  return contentType === 'application/json' || JSON_TYPE.test(contentType);
}

const JSON_TYPE = /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

/** No content coding, or the one that means none. */
export function isIdentity(contentEncoding: string | undefined): boolean {
  return contentEncoding === undefined || contentEncoding.toLowerCase() === 'identity';
}

/** Whether `Accept` lets us answer a POST: as JSON or as an event stream, whichever it becomes. */
export function acceptsJsonAndEvents(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  if (accept === 'application/json, text/event-stream') return true;
  return accepts(accept, 'application', 'json') && accepts(accept, 'text', 'event-stream');
}

/**
 * Whether the client names event streams before JSON. Both are acceptable to every
 * client; one that asks for the stream first gets its answer as one.
 */
export function prefersEvents(accept: string | undefined): boolean {
  if (accept === undefined || !accept.startsWith('text/event-stream')) return false;
  return acceptsEvents(accept);
}

/** Whether `Accept` lets us answer a GET. */
export function acceptsEvents(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  return accept === 'text/event-stream' || accepts(accept, 'text', 'event-stream');
}

/** The most specific range decides, and a weight of zero refuses (RFC 9110 §12.5.1). */
function accepts(accept: string, type: string, subtype: string): boolean {
  const wanted = [`${type}/${subtype}`, `${type}/*`, '*/*'];
  let best = wanted.length;
  let allowed = false;
  for (const part of accept.split(',')) {
    const [range = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const rank = wanted.indexOf(range);
    if (rank === -1 || rank >= best) continue;
    best = rank;
    allowed = !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
  }
  return allowed;
}
