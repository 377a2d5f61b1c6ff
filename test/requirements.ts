/**
 * What the mesh owes to the protocol and to those who attack it, as data: one
 * entry is one behaviour that a test can check. A test cites what it proves,
 *
 *     it(verifies('HTTP-2', 'H3')('a foreign origin is refused'), async () => { … });
 *
 * and `test/gates/requirements.test.ts` fails for an entry that no test cites
 * and for a deferred one that some test does cite: then its mark must go.
 */

interface Entry {
  readonly text: string;
  /** Legacy is MCP 2024-11-05 to 2025-11-25, modern 2026-07-28; both when absent. */
  readonly era?: 'legacy' | 'modern';
  /** A MUST of the MCP specification. */
  readonly must?: true;
  /** Why no test can cite it yet. */
  readonly deferred?: string;
  /** How much of it the citing tests cover so far. */
  readonly partly?: string;
}

/** Behaviours of the protocol. */
export const PROTOCOL = {
  'HTTP-1': {
    must: true,
    text: 'One endpoint, `/mcp`, bound to 127.0.0.1 and ::1 only; another address is refused unless explicitly allowed.',
  },
  'HTTP-2': {
    must: true,
    text: 'A foreign or `null` Origin → 403 on every method, before anything else, even with a good Host. No Origin is fine.',
  },
  'HTTP-3': {
    text: 'A foreign Host → 403; malformed → 400. No CORS headers, no preflight answer that helps a page.',
  },
  'HTTP-4': {
    text: 'Content-Type other than application/json → 415; Accept lacking what the answer may need → 406; request compression → 415.',
  },
  'HTTP-5': {
    text: 'Body over the limit → 413 (by length, or when crossed). Not JSON, invalid UTF-8 → 400/-32700. JSON but not JSON-RPC → 400/-32600.',
  },
  'HTTP-6': {
    era: 'legacy',
    text: 'Arrays (batches) only where 2025-03-26 was negotiated. Modern: never.',
    partly: 'the legacy half: the modern era is not served yet',
  },
  'HTTP-7': {
    era: 'legacy',
    must: true,
    text: "initialize without a session → 200 and a fresh `Mcp-Session-Id`: random, visible ASCII, never a backend's.",
  },
  'HTTP-8': {
    era: 'legacy',
    must: true,
    text: "Version negotiation: the client's version if supported, else our newest; an unknown one is never echoed.",
  },
  'HTTP-9': {
    era: 'legacy',
    text: 'A request with no session id → 400; with an unknown, expired or foreign one → 404/-32001 "session not found".',
  },
  'HTTP-10': {
    era: 'legacy',
    text: 'A session is usable by its own principal alone; anyone else gets exactly what an unknown id gets, and the session lives on. No token: 401 (where anonymous is allowed: 401 when the id names a bound session, else 404).',
  },
  'HTTP-11': {
    era: 'legacy',
    text: 'DELETE by the owner → 2xx, then 404 on every replica within 1 s, and backends are told. DELETE twice, or by another → 404.',
  },
  'HTTP-12': {
    era: 'legacy',
    text: 'initialize on a live session → 400. A request before `notifications/initialized` is tolerated as the SDKs do; nothing crashes.',
  },
  'HTTP-13': {
    era: 'legacy',
    must: true,
    text: 'Unsupported or malformed `MCP-Protocol-Version` → 400; absent → the negotiated one; a supported one other than negotiated is served with the negotiated semantics and counted.',
  },
  'HTTP-14': { must: true, text: 'A notification or response → 202 with an empty body.' },
  'HTTP-15': {
    era: 'legacy',
    must: true,
    text: 'A request → JSON, or SSE when anything precedes the answer. Each message on exactly one stream, the related one.',
  },
  'HTTP-16': {
    era: 'legacy',
    text: 'GET → SSE. A second GET by the owner takes over and the older stream ends: a half-open connection must not lock a client out (peers that answer 409 suffer reconnect races). Never double delivery. An open GET keeps the session alive.',
  },
  'HTTP-17': {
    era: 'legacy',
    text: 'SSE: priming event (2025-11-25), `retry`, ids unique in the session that name their stream.',
  },
  'HTTP-18': {
    era: 'legacy',
    must: true,
    text: "Last-Event-ID replays that stream's later events only, to that session's principal only, on any replica, also after the replica that sent them died; beyond the buffer it says so instead of losing silently.",
  },
  'HTTP-19': {
    era: 'legacy',
    text: 'Losing the connection is not a cancel: the call goes on and its answer can be fetched by resuming (from the moment it became SSE, at the latest after 1 s). Modern: it is the cancel, and reaches the backend.',
    partly: 'the legacy half: the modern era is not served yet',
  },
  'HTTP-20': {
    text: '`X-Accel-Buffering: no`, no transform, headers flushed at once, a comment at least every 15 s; SSE is never compressed or held back.',
  },
  'HTTP-21': { text: 'Other methods → 405 with Allow. Other paths → 404, without normalisation.' },
  'HTTP-22': {
    text: 'The token comes from the Authorization header only; a token in the query is ignored and never logged.',
  },
  'HTTP-23': {
    must: true,
    text: '401 with `WWW-Authenticate` naming our own protected-resource metadata; 403 insufficient_scope with all the scopes that the operation needs.',
  },
  'HTTP-24': {
    must: true,
    text: "The metadata document (RFC 9728) is served; `resource` is the URL that the client uses; a backend's own metadata or challenge is never relayed.",
  },
  'HTTP-25': {
    must: true,
    text: 'Signature, issuer, audience, times verified for every verb: POST, GET, DELETE, resume, responses.',
  },
  'HTTP-26': {
    text: 'A slow header, slow body, idle connection or stalled reader is bounded in time and memory; a body within limits of any shape stalls the process 100 ms at most.',
  },
  'HTTP-27': {
    text: 'Duplicate Host, Authorization, Mcp-Session-Id, MCP-Protocol-Version, Content-Type or Last-Event-ID → 400; absolute-form targets, HTTP/0.9, HTTP/1.0 without Host → 400.',
  },
  'RPC-1': {
    text: 'Ids are remapped per hop and come back with value and type: 0, "", "0", negative, large, string.',
  },
  'RPC-2': {
    text: 'The same id in flight from two sessions never crosses; a duplicate in one session → -32600, and the first is still answered.',
  },
  'RPC-3': { text: 'Unknown, late or second responses are dropped and counted.' },
  'RPC-4': {
    text: 'Progress tokens are rewritten and restored; progress only on the originating stream, monotonic, none after the answer, none invented.',
  },
  'RPC-5': {
    text: '`notifications/cancelled` reaches the backend under its id; never for initialize, unknown or finished requests; no answer follows; both streams close. It works when the call runs on another replica than the one that receives the notification.',
  },
  'RPC-6': {
    text: 'A timeout cancels at the backend and answers with an error; progress may extend it up to a maximum; human-paced requests have their own limit.',
  },
  'RPC-7': {
    era: 'legacy',
    text: 'Server-to-client requests go to the session of the call that caused them, on its POST stream; the reply reaches the exact backend session, also after a takeover that resumed it; undeliverable → an error to the backend at once; after a lost replica the resumed backend gets an error for each unanswered one.',
  },
  'RPC-8': {
    era: 'legacy',
    text: "Backends are told the client's true capabilities cut to what we carry, never more.",
  },
  'RPC-9': { era: 'legacy', text: '`notifications/roots/list_changed` reaches the backends that saw roots.' },
  'RPC-10': { era: 'legacy', text: 'ping is answered locally on both sides.' },
  'RPC-11': {
    text: 'Unknown methods go to the one candidate backend or → -32601; unknown notifications never cause an error.',
  },
  'RPC-12': {
    text: 'Unknown fields in params, results, errors, tools, content, capabilities arrive untouched, to the byte: `1.0`, big integers, key order, escapes.',
  },
  'RPC-13': {
    text: '`_meta`: trace context and vendor keys are kept, reserved `io.modelcontextprotocol/*` keys belong to each hop.',
  },
  'RPC-14': {
    text: "Backend errors with their data are relayed; our own errors carry `data.reason`, `data.retryable`, and the backend's configured name where it matters.",
  },
  'RPC-15': { text: 'Order within a stream is kept; a slow client never makes anything grow without bound.' },
  'RPC-16': {
    text: 'SSE parsing survives splits at any byte, CRLF, multi-line data, BOM, comments, events without id.',
  },
  'RPC-17': {
    text: "A forwarded message is a new envelope around verbatim slices. Duplicates or case variants of an envelope key, or of `name uri ref _meta progressToken requestId cursor level task taskId` in params, are refused (-32600): what policy reads is what the backend reads. `__proto__` is inert. Sidecar and replica each scan; neither trusts the other's reading.",
  },
  'AGG-1': {
    text: 'The mesh claims tools, prompts, resources (listChanged, subscribe), completions and logging always and serves them itself, so that a late backend can still add to a legacy session; an item whose backend cannot do it gets an honest error; instructions come from configuration and the backends present; serverInfo is ours.',
  },
  'AGG-2': {
    text: 'Lists hold all pages of all backends; our cursors are opaque and authenticated; an empty-string cursor is valid; a bad one → -32602; nothing lost or doubled at page edges.',
  },
  'AGG-3': { text: 'Order is stable across calls, replicas and restores.' },
  'AGG-4': {
    text: 'Name conflicts: prefix (by the configured name, `name__tool`), priority, manual; a single backend or `prefix: none` leaves names alone; results match `[A-Za-z0-9_.-]{1,128}`.',
  },
  'AGG-5': {
    text: 'Resource URIs are routed by owner; conflicting ones are namespaced and mapped back in read, subscribe, templates, completion, links and embedded resources, updates. Templates match after exact URIs, in linear time.',
  },
  'AGG-6': {
    text: 'A slow or dead backend costs its own items only, within a deadline; which are missing, and why, is visible.',
  },
  'AGG-7': {
    text: 'Unknown, filtered or forbidden items are indistinguishable to the caller; admission is checked again at the call.',
  },
  'AGG-8': {
    text: 'Definitions are relayed verbatim; one invalid tool drops alone. Schemas are data: never compiled, never fetched.',
  },
  'AGG-9': {
    text: 'Filters, renames, description and annotation overrides per backend; a hidden tool cannot be called.',
  },
  'AGG-10': {
    text: 'list_changed reaches each session whose visible list changed, once per burst, on whatever replica its stream is, and after a restore too; removals and emptied lists included; prompts, resources and templates as well as tools.',
  },
  'AGG-11': {
    era: 'legacy',
    text: 'Subscriptions are ref-counted per backend, re-issued after a re-init, cleaned up at the end; updates reach subscribers alone.',
  },
  'AGG-12': {
    era: 'legacy',
    text: 'The log level is stored per session, sent to backends that log, replayed after a re-init.',
  },
  'AGG-13': { text: 'Completion is routed by its reference; at most 100 values.' },
  'AGG-14': {
    text: 'No cached answer crosses authorization contexts unless the backend said public.',
  },
  'AGG-15': {
    era: 'legacy',
    text: 'Tasks (2025-11-25): ids map to their backend and are bound to the principal.',
  },
  'AGG-16': {
    text: 'URL elicitation reaches the initiating client only, URL untouched; third-party tokens never travel to the client.',
  },
  'AGG-17': {
    text: 'Results (content, structuredContent, isError, links, icons) pass unchanged; nothing in them is fetched.',
  },
  'BACK-1': {
    era: 'legacy',
    must: true,
    text: 'initialize, initialized, then requests; version and session headers exactly as given; backends without session ids work.',
  },
  'BACK-2': {
    era: 'legacy',
    must: true,
    text: "404 for our backend session → one single-flight re-initialise with the live caller's credential, level and subscriptions replayed, the call finished if it provably had not run. Some real servers (server-everything among them) answer 400 for a session they lost: recognise it too, without mistaking an ordinary 400 for it.",
  },
  'BACK-3': {
    era: 'legacy',
    text: 'A GET refused (405, 404, 204) means no stream and no retry; a dropped one is resumed with back-off and jitter while someone listens, and lists are re-read after a gap.',
  },
  'BACK-4': {
    text: 'A POST stream that ends without its answer: resumed if it had an id, else failed at once.',
  },
  'BACK-5': {
    text: 'Redirects across origins are not followed; credentials never cross. A configured backend may be private or loopback, never link-local or a metadata address; URLs learned at run time pass a block list at connect time.',
  },
  'BACK-6': {
    text: '401 → one refresh or exchange, then a typed error to that caller alone; 403 → our own step-up challenge; 429 and Retry-After are relayed as an error.',
  },
  'BACK-7': { text: 'DELETE at the end, bounded, with a live identity when there is one.' },
  'BACK-8': {
    text: 'Garbage, a wrong content type, a wrong id, an endless event, an endless cursor, an oversized answer: a typed error for that call, the rest unaffected.',
  },
  'BACK-9': {
    text: 'stdio backends: one process a session, shared only by configuration; stderr to the log, restarted with back-off, bounded in number, reaped with the session, with the process, and after a killed replica.',
  },
  'BACK-10': {
    text: 'Legacy HTTP+SSE backends (2024-11-05) work.',
  },
  'RST-1': {
    text: 'Any replica serves any session; a miss restores, in the order that ARCHITECTURE.md gives, identity from the request at hand only.',
  },
  'RST-2': {
    text: "No backend request ever carries another principal's credential or another principal's session hint, in any interleaving of callers, restores, refreshes, deletes and failures.",
  },
  'RST-3': {
    text: 'A caller without the right to the session causes no write to any key of that session, no TTL change, no backend traffic.',
  },
  'RST-4': {
    text: 'One restore per session and authorization context, however many wait; a leader that leaves cancels nobody.',
  },
  'RST-5': {
    text: 'Restored = the same (state inside a backend that was initialised afresh excepted, and said): negotiated version, client capabilities and info, level, subscriptions, names, order; prompts and resources as well as tools; server-to-client requests and list_changed work as before.',
  },
  'RST-6': {
    text: 'The desired backends never shrink by failure; a recovered one rejoins with list_changed.',
  },
  'RST-7': { text: 'DELETE or expiry beats a running restore; a closed session never comes back.' },
  'RST-8': {
    text: "Idle and absolute expiry are enforced on the store's clock; a listening client counts as activity; a chatty backend does not.",
  },
  'RST-9': {
    text: 'Store unavailable, or refusing writes → 503 with Retry-After for new sessions and cold ones; warm sessions go on within the lease. Never 404, and no session id that does not work.',
  },
  'RST-10': {
    text: 'A refreshed token continues; changed scopes re-filter the lists and say so.',
  },
  'RST-11': {
    text: "In-flight exchanges of a lost replica (killed, frozen, cut off): the loss rule: answered `outcome_unknown` or sent again, never both, within 2 s of the loss; nothing runs twice but what configuration calls replay-safe and plain reads; a fenced owner's late answer is refused.",
  },
  'RST-12': {
    text: 'Drain: SIGTERM loses no request and no session; sessions move before the process goes.',
  },
  'RST-13': {
    text: 'Eviction by pressure never hits a session with work in flight, closes off the hot path, and is invisible to the client.',
  },
  'RST-14': { text: "A restarted sidecar keeps its clients' sessions usable." },
  'ERA-1': {
    era: 'modern',
    must: true,
    text: 'Every POST is checked: `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` against the body → 400/-32020; unsupported version → 400/-32022 with what is; missing `_meta` → 400/-32602; unknown method → 404/-32601.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-2': {
    era: 'modern',
    must: true,
    text: 'GET and DELETE → 405; session and Last-Event-ID headers are ignored; none are sent.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-3': {
    text: "Both eras on one URL, by the request's shape.",
    deferred: 'the modern era is not served yet',
  },
  'ERA-4': {
    era: 'modern',
    must: true,
    text: '`server/discover` truthful for the whole virtual server; `ttlMs` and `cacheScope` on lists, discover, reads (private where filtered by identity).',
    deferred: 'the modern era is not served yet',
  },
  'ERA-5': {
    era: 'modern',
    must: true,
    text: '`subscriptions/listen`: acknowledged first, only what was asked, tagged with the listen id, closed gracefully.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-6': {
    era: 'modern',
    text: 'Multi-round results: requestState opaque or sealed to the principal; retries routed by name.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-7': {
    era: 'modern',
    text: 'To modern backends: `_meta` and headers re-stamped, `Mcp-Name` after un-prefixing, `Mcp-Param-*` mirrored, tools with invalid header hints left out.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-8': {
    text: 'Legacy client, modern backend: initialize from discover; input requests fulfilled within the call, at most 8 rounds; GET stream fed by listen.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-9': {
    text: 'Modern client, legacy stateful backend: the backend session is kept per principal, restored like any other; what cannot be carried is an honest error.',
    deferred: 'the modern era is not served yet',
  },
  'ERA-10': {
    text: "A backend's era is probed once, cached, re-probed; authentication failures and 5xx are no evidence.",
    deferred: 'the modern era is not served yet',
  },
  'ERA-11': {
    era: 'modern',
    text: 'No session record at all; any replica answers alike.',
    deferred: 'the modern era is not served yet',
  },
  'ADM-1': {
    text: 'Admin: list, get, watch, explain and terminate sessions; backends with health and why; sidecars with their sync state; replicas with load, drain; what a principal sees; configuration, validate, reload. Page tokens, filters, field masks, rich errors, reflection, health.',
  },
  'ADM-2': {
    text: 'Admin calls need the admin role or certificate; answers never hold a token, a session id or a backend session id.',
  },
  'CAP-1': {
    text: 'The first push on a stream is a snapshot; after a reconnect only differences; each version is ACKed or NACKed; stale or reordered pushes are dropped; a slow sidecar gets conflated state.',
  },
  'CAP-2': {
    text: 'With the control plane away, granted lists are still answered within `max_staleness`, never across identities, sessions or ended grants; calls fail at once with 503; recovery within 5 s of its return, without a stampede.',
  },
  'OBS-1': {
    text: "Metrics, traces, audit and logs as ARCHITECTURE.md names them; no token, session id or secret in any of them, in the store, in errors or in a core dump's environment.",
  },
} as const satisfies Record<string, Entry>;

/** Bad input and faults: input → what must come back. */
export const FAULTS = {
  H1: { text: '`Host: evil.com` (DNS rebinding) → 403/-32000, no gRPC call, audit event' },
  H3: { text: '`Origin: http://evil.com`; `Origin: null` → 403/-32000' },
  H4: { text: 'No Origin (non-browser client) with good Host → accepted' },
  H5: { text: 'Two Host / two Origin headers → 400 (Node lets both through)' },
  H6: { text: 'Absolute-form `POST http://evil.com/mcp` → 400' },
  H7: { text: '`CONNECT`, `TRACE`, `PUT`, `PATCH` → 405 + Allow; never tunnels' },
  H8: { text: 'CL+TE, TE: xchunked, dup CL, `CL: +2`, `CL: 2, 2` → 400, connection closed' },
  H9: {
    text: 'bad chunk size, 20 KB chunk extension, trailers → 400 / 413 / trailers ignored, never forwarded',
  },
  H10: { text: 'obs-fold, NUL, bare CR/LF, space before colon → 400' },
  H12: { text: 'header block >16 KiB / >100 headers → 431' },
  H14: {
    text: 'duplicate `Authorization`, `Mcp-Session-Id`, `MCP-Protocol-Version`, `Content-Type`, `Last-Event-ID` (check `rawHeaders`) → 400',
  },
  H15: {
    text: 'client-sent `X-Mesh-*`, `X-Forwarded-*`, `X_Forwarded_User` (underscore), `Connection: Authorization` → stripped/ignored; hop-by-hop list can never remove a security header (CVE-2025-64484, CVE-2026-40575, CVE-2025-48865)',
  },
  H16: { text: 'token in query string → ignored → 401 (tokens may never be in a URI) and query not logged' },
  H17: {
    text: 'body 4 MiB +1 by CL; same by chunked; CL lies (short/long) → 413 before reading / 413 when crossed / 400',
  },
  H18: { text: '`Content-Encoding: gzip` request body (bomb 1:1000) → 415 (no request decompression)' },
  H19: {
    text: 'wrong `Content-Type` (`text/plain`, `application/json-patch+json`, `application/json;charset=utf-16`) → 415 (CORS-simple types must never work)',
  },
  H20: { text: '`Accept` missing one of the two types → 406' },
  H21: {
    text: 'slow headers / slow body / slow chunked / idle connect → 408 within headersTimeout/requestTimeout (1.0 s/2.0 s as configured; defaults are 60 s/300 s)',
  },
  H22: {
    text: '10,000 half-open connections → capped by `maxConnections`; legit p99 ≤2× baseline; no fd exhaustion',
  },
  H23: {
    text: 'client stops reading an SSE stream while backend keeps sending → buffered ≤1 MiB then stream destroyed; RSS flat (naive write grew RSS 45→265 MB in 4 s)',
  },
  H24: {
    text: 'client disconnects mid-POST / mid-SSE → 2025-11-25: work continues, *not* a cancel; stream resumable or lost by documented rule; 0 leaked handles',
  },
  H26: {
    text: 'path tricks `//mcp`, `/mcp/../admin`, `%2e%2e`, `/mcp%2f`, `/MCP` → 404; no normalisation to an allowed path',
  },
  H27: {
    text: '`OPTIONS` preflight from a foreign origin → 403/204 without any `Access-Control-Allow-Origin`',
  },
  H29: {
    text: "`Last-Event-ID` huge / forged / of another session's stream → 400 or 404; never another stream's events",
  },
  J1: { text: 'not JSON, empty, `{}{}`, `NaN`, BOM, UTF-16 → 400/-32700' },
  J3: { text: 'batch array (2025-06-18+), empty batch, 101-item batch (2025-03-26) → 400/-32600' },
  J4: {
    text: '`jsonrpc` missing/"1.0"; `method` non-string; `params` array/string; id null/1.5/object; result+error → 400/-32600 (SDK 1.32.2 schema rejects null/1.5/object ids, array params, result+error, missing or wrong jsonrpc; its transport would answer -32700)',
  },
  J5: {
    text: 'id 2^53+1, `1e400`, "" , 10 KB string id → 400 for non-safe ints (JSON.parse silently changes 9007199254740993→…992) ; long id 400; "" allowed',
  },
  J6: {
    text: 'duplicate keys: `{"method":"tools/list","method":"tools/call"}`, `{"params":{"name":"safe","name":"danger"}}` → 400/-32600 (readers differ on which wins)',
  },
  J8: {
    text: '`__proto__`, `constructor.prototype` at any depth → rejected or carried inert; `({}).x` stays undefined; no `Object.assign` from parsed JSON (sets prototype)',
  },
  J9: {
    text: 'depth 65 / 10,000 / 2,000,000 → 400 at limit 64 by a pre-scan before parse (JSON.parse 1M deep = 1.3 s; `JSON.stringify` at 10k = RangeError)',
  },
  J10: {
    text: '4 MiB of `[],` or 1M keys / hash-collision numeric keys → rejected by node-count cap (1M keys took 5.1 s); event-loop stall ≤100 ms',
  },
  J12: {
    text: 'unknown method → -32601 (HTTP 200 ≤2025-11-25; 404 in 2026-07-28)',
    partly: 'the legacy half: the modern era is not served yet',
  },
  J13: {
    text: 'request before `notifications/initialized`; second `initialize` on a session → tolerated; 400/-32600',
  },
  J14: {
    text: 'client sends a *response* with an id we never issued, or issued to another session → 202 and dropped + counter; never routed elsewhere',
  },
  J15: {
    text: 'two clients use the same id concurrently; same client reuses an in-flight id → each gets its own answer (CVE-2026-25536 class); reuse → 400/-32600',
  },
  J16: { text: "`notifications/cancelled` for someone else's / unknown request → ignored" },
  J18: { text: 'tool name with `/`, `..`, 10 KB, homoglyph, prefix of another backend → -32602' },
  J19: {
    text: '`resources/read` with `file://`, `http://169.254.169.254`, ReDoS URI `/a,a,a…` → routed only by exact/template table; no fetch by the mesh; ≤10 ms match (CVE-2026-0621)',
  },
  S1: { text: 'no session id on non-initialize → 400/-32000' },
  S2: {
    text: 'unknown / random / truncated / bit-flipped id → 404/-32001, constant-time path, no store write, no TTL extension',
  },
  S3: {
    text: 'valid id, other principal (same tenant / other tenant) → 404/-32001 indistinguishable from S2; audit `session_binding_mismatch`; victim session not terminated',
  },
  S4: { text: 'valid id, same principal, refreshed token → 200' },
  S5: { text: 'valid id, no token on a bound session; token on an anonymous session ("upgrade") → 401; 404' },
  S6: {
    text: 'terminated id on every replica, immediately after acked DELETE → 404 on all ≤1 s; ≤1 read after lost pub/sub message',
  },
  S7: {
    text: 'DELETE twice; DELETE by other principal; DELETE racing tools/call; DELETE racing restore → 2nd 404; 404; call ends with one answer; restored session closed, not cached, record stays gone',
  },
  S9: {
    text: 'second GET stream of the same session by its owner (the first half-open or alive); GET by another principal → takes over, the older ends, nothing delivered twice or lost; 404 (CVE-2026-33946 is the missing check)',
  },
  S10: {
    text: 'session on replica A, then 64 calls at once through two sidecars at B and C → one restore per takeover, at most one takeover a second, the last taker serves; every call gets its answer or 503 with Retry-After; no DELETE reaches a backend',
  },
  S11: {
    text: 'protocol version header unknown or malformed / supported but not the negotiated one / absent → 400/-32000; negotiated semantics; negotiated semantics',
  },
  S12: {
    text: "list_changed while the client's stream is on another replica → delivered once, to that session only; ordering per session; never broadcast on two streams (spec MUST NOT)",
  },
  S13: {
    text: 'one session over `sessionsPerPrincipal` (10 in the test); 10k initialize/s from one principal → the oldest idle one closed, 429 + Retry-After if none is idle; 429; eviction never hits a session with work in flight',
  },
  S14: {
    text: '2026-07-28 request without `initialize`, while that era is not served yet → 400 with an error that makes a dual-era client fall back',
  },
  I1: { text: 'no/empty/`Basic`/two bearer → 401' },
  I2: {
    text: 'expired (beyond 5 s tolerance); `nbf` future → 401 (`ERR_JWT_EXPIRED`; `ERR_JWT_CLAIM_VALIDATION_FAILED`)',
  },
  I3: { text: 'wrong `aud`, wrong `iss`, missing `sub`/`exp`, `exp` as string → 401' },
  I4: {
    text: '`alg:none`, HS256 with the public key as secret, unknown `crit`, bad signature → 401 (`ERR_JOSE_ALG_NOT_ALLOWED`, `ERR_JOSE_NOT_SUPPORTED`, `ERR_JWS_SIGNATURE_VERIFICATION_FAILED`)',
  },
  I5: { text: "ID token (`typ: JWT`) or no `typ` → 401 when `typ:'at+jwt'` is configured" },
  I7: { text: '1 MB token, 10k-claim token, JWE as bearer → 431/401; no CPU spike' },
  I8: { text: '`kid` unknown → JWKS refetch flood → ≤1 fetch / cooldown; 401; cache kept when JWKS is down' },
  I9: {
    text: 'JWKS down / slow / returns garbage / rotates → cached keys until max-stale, else 503 (not 401)',
  },
  I10: { text: '`jku`/`x5u`/`jwk` header pointing at attacker → ignored, no outbound request' },
  I11: {
    text: 'token cached as valid, then used for a tool needing another scope → 403 insufficient_scope — cache claims, not decisions (CVE-2021-32701 oathkeeper #743, heimdall #3452)',
  },
  I12: {
    text: 'token revoked/expired during a long call → call finishes; next request 401; streams closed at `exp` + grace',
  },
  I14: {
    text: 'backend whose audience is not in the token → no forwarding; exchange or -32000 `audience_not_allowed`',
  },
  I15: {
    text: 'exchange endpoint 400/500/slow; returns wider scope / other sub → backend skipped with typed error; wider/other-sub token refused',
  },
  I16: {
    text: 'DPoP-bound token (`cnf.jkt`) without proof, replayed `jti`, wrong `htm`/`htu` → 401 `invalid_dpop_proof`; never replayed to a backend (needs exchange)',
  },
  I17: {
    text: 'canary token/secret grep over Redis dump, AOF, logs, traces, metrics, gRPC admin output, error bodies, core dump → 0 hits',
  },
  I18: {
    text: 'placeholder/"default-user" identity → refused: absent identity = anonymous type, never a shared constant',
  },
  I19: {
    text: "restore race: attacker first, victim joins (and reverse), 10k seeded interleavings → 0 backend requests carrying attacker's identity for victim's session",
  },
  G1: { text: '5 MB message / length prefix 4 GB → 8 RESOURCE_EXHAUSTED' },
  G2: { text: 'gzip bomb 200 MB in 204 KB → 8 "decompresses to a size larger"' },
  G3: { text: 'garbage protobuf → 13' },
  G4: { text: 'unknown method / content-type json / GET / truncated frame → 12 / HTTP 415 / 12 / 12' },
  G5: { text: 'unsupported `grpc-encoding`; bad `grpc-timeout` → 12; 13' },
  G6: {
    text: 'handler throws → 2 UNKNOWN "Unknown error", message not leaked, process alive → we map to 13 + id',
  },
  G7: {
    text: 'rapid reset 20k streams → session closed after ~1,200, 0 handler calls, next call OK in 3 ms',
  },
  G8: {
    text: 'HTTP/1.1 on gRPC port; 10k idle conns; SETTINGS/PING flood; CONTINUATION flood → closed; bounded memory (`grpc-node.max_session_memory` — default is effectively unlimited)',
  },
  G10: {
    text: 'no mTLS / wrong SPIFFE id / sidecar of tenant A claiming tenant B → UNAUTHENTICATED 16 / PERMISSION_DENIED 7; tenant is derived from the verified token+cert, never a field',
  },
  G11: {
    text: 'exchange that names a refused or expired credential, none where one is required, or one unknown to the replica → 401; 401; registered again and sent again, invisibly. Only the credential frame ever carries a token',
  },
  G12: {
    text: 'admin API with a user token; admin asking for session content → 7; admin answers never contain tokens, raw session ids or backend session ids',
  },
  G14: {
    text: 'proto field from a newer peer / missing required semantic field → ignored / 3 INVALID_ARGUMENT',
  },
  G15: {
    text: 'a sidecar that opens 100 mesh streams; one with 10,000 open exchanges → capped: 8 RESOURCE_EXHAUSTED; 429 to the client; others unaffected',
  },
  R1: {
    text: 'down at start → process starts, `ready=false`, initialize → 503 ≤500 ms (needs `enableOfflineQueue:false` + `commandTimeout`; default hangs)',
  },
  R2: {
    text: 'kill -9 mid-run, back in 2 s → cached sessions served within lease; new → 503; 0 acked lost (AOF)',
  },
  R3: {
    text: 'frozen (SIGSTOP) 10 s → every request answered ≤ commandTimeout + 100 ms; breaker opens; no pile-up',
  },
  R4: { text: 'slow 200 ms / 10 % loss / reset / 1-byte slicing (proxy) → p99 bounded; no duplicate effect' },
  R5: { text: 'Sentinel failover → 503 window ≤5 s; 0 acked lost in durable mode; fences rise' },
  R6: {
    text: 'old primary back from partition accepts writes → min-replicas → NOREPLICAS; those writes were never acked',
  },
  R7: { text: '`NOAUTH`, `WRONGPASS`, `NOPERM` → readiness false + alarm, 503; credentials never logged' },
  R8: { text: '`READONLY` replica → reconnect (`reconnectOnError`), one retry, else 503' },
  R9: {
    text: '`OOM` under noeviction → new sessions and takeovers 503; warm sessions, reads, touch and close still work',
  },
  R10: {
    text: '`LOADING`, `BUSY` script, `MISCONF`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`, `MOVED`, `NOREPLICAS` → 503 retryable, never 404',
  },
  R11: {
    text: 'key evicted (`allkeys-lru`) → INFO `maxmemory_policy` other than noeviction: refused at start with `durability: replicated`, a loud warning and metric otherwise; if it happens → 404 + metric `session_lost_total`',
  },
  R12: {
    text: 'corrupted record: bad JSON, wrong type (WRONGTYPE), truncated JWE, wrong kid, AAD swapped, version "abc", future schema → 404 + quarantine + alarm; never crash; never partially trusted',
  },
  R13: { text: 'FLUSHALL → all caches dropped (null invalidation); sessions 404; no 5xx storm' },
  R15: {
    text: 'replica clock ±10 min (faketime) → session expiry unaffected (Redis TIME in Lua); JWT check follows local clock → alarm on skew >2 s vs Redis TIME',
  },
  R16: {
    text: 'Redis clock jumps +1 h / −1 h → documented: sessions may expire early / absolute cap still enforced',
  },
  R18: { text: 'lost pub/sub / invalidation connection killed → cache flushed on re-arm; staleness ≤ lease' },
  R19: { text: '64 concurrent CAS on one session → every success counted once (3,200/3,200)' },
  R20: { text: 'terminate ∥ CAS ∥ touch, 100k schedules → 0 resurrections' },
  R21: {
    text: 'Redis full of 1M foreign keys / big value 512 MB under our key → no KEYS/SCAN on request path; value size cap 64 KiB checked by STRLEN/HSTRLEN',
  },
  R22: {
    text: 'cluster: record, events and principal index of one session → one slot by hash tag; the global index separate and repaired on read; CROSSSLOT test on a real 3-node cluster',
  },
  B1: {
    text: 'refused / DNS fail / TLS expired / wrong host name → initialize succeeds with the others, `result._meta["dev.outrigger/backends"]` says which failed; tools/call → -32603 `backend_unavailable`',
  },
  B2: {
    text: 'slow initialize (30 s) → bounded per-backend budget; others unaffected; late result discarded and closed',
  },
  B3: {
    text: "401/403 → caller sees -32000 `backend_unauthorized` + 401/403 only if the *caller's* credential is the cause; no retry with another identity",
  },
  B4: {
    text: '404 for our backend session → re-initialise once for this principal; call retried only if it was provably not executed',
  },
  B5: {
    text: '5xx, connection reset after request sent → -32603 `outcome_unknown`, retryable=false for tools/call; reads may retry once',
  },
  B6: {
    text: 'garbage JSON, HTML 200, wrong content type, wrong id, two responses, response to unasked id → -32603 `backend_protocol_error`; others unaffected',
  },
  B7: {
    text: 'SSE event 100 MB / no newline / endless comments / infinite progress / never ends → cut at 4 MiB per event, 64 MiB per call, idle 60 s, total deadline',
  },
  B9: {
    text: 'backend URL resolves to private/loopback/link-local, rebinding between check and connect, `0x7f.1`, `[::ffff:10.0.0.1]` → blocked at connect-time by IP (unless allow-listed); use `net.BlockList`, not a parser of our own',
  },
  B10: {
    text: 'gzip bomb; 100 stacked encodings → identity only via `undici.request`; 7.30.2 fetch already refuses >5 encodings (CVE-2026-22036)',
  },
  B11: {
    text: '`WWW-Authenticate: resource_metadata="http://169.254…"` → never dereferenced server-side',
  },
  B12: {
    text: 'hostile `outputSchema`/`inputSchema` (`pattern` ReDoS, recursive/remote `$ref`, 5 MB, depth 10k) → passed through as data, never compiled/fetched; event-loop stall ≤100 ms',
    partly: 'carried as data; a definition of 5 MB is over the message limit',
  },
  B13: {
    text: 'endless `nextCursor` → page cap 100 / 5,000 tools, then typed error (SDK leaves looping to caller)',
  },
  B14: {
    text: 'same tool name from two backends; tool named like a mesh tool → deterministic namespacing; collision rejected, not shadowed',
  },
  B15: {
    text: 'tool definition changes after list (rug pull) → digest change → audit + policy alert/quarantine; list_changed to the session',
  },
  B16: {
    text: 'description with U+E0000 tags, zero-width, ANSI, 1 MB → stripped/limited by policy, original digest kept',
  },
  B17: {
    text: 'backend sends `sampling/createMessage`, `roots/list`, `elicitation` → routed only to the owning session/stream, ids remapped, limits; else -32601',
  },
  B20: {
    text: 'partial failure during restore → stored *desired* backend set unchanged',
  },
  C1: {
    text: 'replica kill -9, and SIGSTOP, and black-holed, with N in-flight calls → the loss rule: each is answered `outcome_unknown` or sent again ≤2 s after the loss is seen (≤3 s for silence); none executed twice; idle sessions continue elsewhere',
  },
  C2: {
    text: 'SIGTERM → readiness false → GOAWAY/drain → in-flight finish ≤ grace → exit 0; 0 failed requests',
  },
  C3: {
    text: 'SIGTERM during restore / during CAS → restore finishes or aborts cleanly; no orphan flight; record valid',
  },
  C4: {
    text: 'partition sidecar↔CP; CP↔Redis; CP↔CP (netns/proxy) → 503 typed; recovers ≤5 s after heal; no split-brain writes (CAS + WAIT)',
  },
  C5: { text: 'rolling restart of 3 replicas under 500 sessions → 0 lost sessions, 0 non-retryable errors' },
  C6: {
    text: 'restart with rotated KEK (old kid still listed / removed) → readable & re-wrapped on write / 404 + alarm',
  },
  C8: {
    text: 'thundering herd: 10k sessions restore after restart → concurrency cap, per-backend limiter, jitter; backends ≤ N init/s; no OOM',
  },
  C9: {
    text: 'unhandled rejection injected → logged, request fails, process policy = crash fast with non-zero exit + restart test',
  },
  C10: {
    text: 'fd exhaustion (EMFILE), disk full, heap near limit → shed 503 before death (Envoy overload: shrink at 95 %, stop accepting at 98 %)',
  },
  C11: { text: 'mixed versions N / N+1 (proto, record schema) → both directions work' },
  C12: {
    text: 'config push invalid (bad URL, duplicate backend name) → rejected, old config stays, metric',
  },
  X1: {
    text: 'CP unreachable at start → listens, `/readyz` false, requests 503 + Retry-After, reconnect with backoff+jitter',
  },
  X2: {
    text: 'sidecar kill -9 / restart with live sessions → session id still works (state lives in CP); GET stream re-openable',
  },
  X3: {
    text: 'agent starts before sidecar; sidecar stops before agent (k8s order) → native-sidecar manifest test; drain waits for agent',
  },
  X4: {
    text: 'port already bound / bound to 0.0.0.0 by config → exit ≠0 with clear message / refused unless `--allow-non-loopback`',
  },
  X5: {
    text: 'another container/user on the same loopback calls it → in the default mode nothing works without its own bearer; Unix socket mode 0600',
  },
  X7: { text: 'memory limit 160 MiB under 1,000 streams → sheds with 503, no OOM kill' },
  X9: { text: 'clock skew ±5 min → sidecar does no token-time decisions' },
  X10: {
    text: 'core dump / `--inspect` / env dump → no bearer persisted on disk; `--inspect` refused in production image',
  },
  X9b: {
    text: 'list request for a session that was deleted, expired, is foreign or unknown, while the sidecar holds sets → never answered locally: grants are per (session, credential) and end at once',
  },
  M1: {
    text: 'two backends share a tool name under `priority` or `none`; the owner is slow or down at initialize, at restore, at a call → `backend_unavailable`; the other never gets the call or its arguments',
  },
  M2: {
    text: "a backend's GET answers 405; its tools change → seen within 60 s by a listing client",
  },
  M3: {
    text: 'the only backend with prompts joins late → prompts appear after list_changed on a session that began without them',
  },
  M4: {
    text: 'stored-token login link opened by another person than the one asked → refused, audited, nothing stored',
  },
} as const satisfies Record<string, Entry>;

export type RequirementId = keyof typeof PROTOCOL | keyof typeof FAULTS;

/** Both tables as one. */
export const REQUIREMENTS: Readonly<Record<RequirementId, Entry>> = { ...PROTOCOL, ...FAULTS };

/**
 * Cites requirements in a test's title, where reports and `--grep` find them.
 * The ids are literals, at the place or in a table of the same file: the gate reads them from the source.
 */
export function verifies(...ids: readonly [RequirementId, ...RequirementId[]]): (title: string) => string {
  return (title) => `${title} [${ids.join(' ')}]`;
}
