/**
 * The headers of a request, read in one pass. Only what is named here is looked
 * at, and only what is named here can ever cross the mesh: hop-by-hop headers,
 * `X-Forwarded-*` and whatever else a client sends end at the edge.
 *
 * `rawHeaders` and not `headers`, because Node joins or drops duplicates, and a
 * duplicate of a header that decides something is an attack (RFC 9110 §5.3).
 */
export class RequestHead {
  host: string | undefined = undefined;
  origin: string | undefined = undefined;
  authorization: string | undefined = undefined;
  /** The DPoP header; two of them are one value that is no proof. */
  proof: string | undefined = undefined;
  sessionId: string | undefined = undefined;
  protocolVersion: string | undefined = undefined;
  lastEventId: string | undefined = undefined;
  contentType: string | undefined = undefined;
  contentLength: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  accept: string | undefined = undefined;
  traceparent: string | undefined = undefined;
  tracestate: string | undefined = undefined;
  /** The client's own name for its request; two of them are none. */
  requestId: string | undefined = undefined;
  /** The first header of those that may stand only once that stands twice. */
  duplicate: string | undefined = undefined;
}

export function readRequestHead(rawHeaders: readonly string[]): RequestHead {
  const head = new RequestHead();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const field = FIELDS.get(name) ?? FIELDS.get(name.toLowerCase());
    if (field === undefined) continue;
    const value = rawHeaders[at + 1] ?? '';
    const earlier = head[field];
    if (earlier === undefined) head[field] = value;
    else if (SINGLE.has(field)) head[field] = '';
    else if (LISTS.has(field)) head[field] = `${earlier}, ${value}`;
    else head.duplicate ??= name.toLowerCase();
  }
  if (head.traceparent === '') head.traceparent = undefined;
  return head;
}

type Field = Exclude<keyof RequestHead, 'duplicate'>;

/** Fields whose values are lists: several lines of them mean one line with commas. So do two proofs, which are none (RFC 9449 §4.3). */
const LISTS: ReadonlySet<Field> = new Set<Field>(['accept', 'contentEncoding', 'tracestate', 'proof']);

/** Fields that say nothing where they stand twice (W3C Trace Context §3.2). */
const SINGLE: ReadonlySet<Field> = new Set<Field>(['traceparent', 'requestId']);

/** By lower-case name, and by the spelling that most clients use, which spares a copy. */
const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>(
  (
    [
      ['Host', 'host'],
      ['Origin', 'origin'],
      ['Authorization', 'authorization'],
      ['DPoP', 'proof'],
      ['Mcp-Session-Id', 'sessionId'],
      ['MCP-Protocol-Version', 'protocolVersion'],
      ['Last-Event-ID', 'lastEventId'],
      ['Content-Type', 'contentType'],
      ['Content-Length', 'contentLength'],
      ['Content-Encoding', 'contentEncoding'],
      ['Accept', 'accept'],
      ['Traceparent', 'traceparent'],
      ['Tracestate', 'tracestate'],
      ['X-Request-Id', 'requestId'],
    ] as const
  ).flatMap(([name, field]) => [
    [name, field],
    [name.toLowerCase(), field],
  ]),
);
