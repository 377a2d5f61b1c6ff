import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError } from '../../shared/errors.ts';
import { response } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import type { Logger } from '../../shared/log.ts';
import type { Load } from '../../shared/overload/monitor.ts';
import { requestId } from '../../shared/request-id.ts';
import type { LocalLists } from '../capabilities/local-lists.ts';
import type { HeldToken } from '../credentials/held-token.ts';
import type { MeshClient, Proof } from '../mesh/exchange.ts';
import type { ExchangeKind, SidecarMetrics } from '../ops/metrics.ts';
import { type AnswerContext, answerError, answerRefusal, jsonAnswer, type Refusal } from './answers.ts';
import { isBearer } from './bearer.ts';
import { discard, readBody } from './body.ts';
import * as checks from './checks.ts';
import { type EdgeLimits, EdgeState } from './edge-state.ts';
import { ExchangeAnswer } from './exchange-answer.ts';
import type { ExchangeWatch } from './exchange-watch.ts';
import { createHostRules, type HostRules } from './hosts.ts';
import { acceptsEvents, acceptsJsonAndEvents, isIdentity, isJson, prefersEvents } from './media-types.ts';
import { metadataAnswer } from './metadata.ts';
import { type Asked, askedBy, NOTHING_ASKED, type ParsedBody, parseBody } from './parsed-body.ts';
import { isDpop, proofOf, refuseProof } from './proof.ts';
import { isAcceptableVersion } from './protocol-version.ts';
import { RefusalLog } from './refusal-log.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { writeAnswer } from './write-answer.ts';

export interface EdgeOptions {
  readonly mesh: MeshClient;
  /** The lists that the sidecar answers by itself; absent, all cross the mesh. */
  readonly lists?: LocalLists;
  /** The sidecar's own token, for requests that bring none. */
  readonly heldToken: HeldToken | undefined;
  readonly limits: EdgeLimits;
  /** Absent, there is always room for more. */
  readonly load?: Load;
  readonly extraHosts: readonly string[];
  readonly extraOrigins: readonly string[];
  readonly metrics: SidecarMetrics;
  readonly log: Logger;
  /** Whoever looks at what crosses, for traces and the log. */
  readonly watch?: ExchangeWatch;
}

/** One HTTP request on its way through the checks. */
interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly head: RequestHead;
}

/** What crosses the mesh for it. */
interface Crossing extends ParsedBody {
  readonly kind: ExchangeKind;
  readonly body: Buffer | undefined;
}

const LISTEN: Crossing = { kind: 'listen', body: undefined, scanned: undefined, ...NOTHING_ASKED };
/** What may be answered from prepared bytes, without a cursor. */
const LISTS: ReadonlySet<string> = new Set([
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
]);
const TERMINATE: Crossing = { ...LISTEN, kind: 'terminate' };

/**
 * The client's edge: Streamable HTTP of the legacy revisions (MCP 2024-11-05 to
 * 2025-11-25) on `/mcp`, and the metadata of RFC 9728. A request is checked from
 * the outside in, address, target, method, form, message, credential; what fails
 * goes no further, what passes becomes one exchange.
 */
export class Edge {
  readonly state: EdgeState;
  readonly #options: EdgeOptions;
  readonly #refusals: RefusalLog;
  #hosts: HostRules = { hosts: new Set(), origins: new Set() };

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.#refusals = new RefusalLog(options.log);
    this.state = new EdgeState(options.limits, options.metrics);
  }

  /** Tells under which port clients reach the edge; undefined behind a Unix socket. */
  setPort(port: number | undefined): void {
    const { extraHosts, extraOrigins } = this.#options;
    this.#hosts = createHostRules({ port, extraHosts, extraOrigins });
  }

  /** For `request` events. A pipelined request waits for the answers before it: its own has a reader then. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    if (response.socket === null) response.once('socket', () => this.#serve(request, response));
    else this.#serve(request, response);
  }

  /** For `checkContinue` events: a body that would be refused for its length is never asked for. */
  handleContinue(request: IncomingMessage, response: ServerResponse): void {
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared <= this.#bodyLimit) response.writeContinue();
    this.handle(request, response);
  }

  /**
   * Lets the open calls finish, at most `graceMs`; new requests are told to come
   * back. Listening streams end at once: they would never end by themselves.
   */
  async drain(graceMs: number): Promise<void> {
    const { state } = this;
    state.draining = true;
    for (const answer of [...state.open]) if (answer.listening) answer.leave();
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([state.idle(), bound]);
    clearTimeout(timer);
    for (const answer of [...state.open]) answer.leave();
  }

  get #bodyLimit(): number {
    const { bodyBytes } = this.#options.limits;
    return Math.min(bodyBytes, this.#options.mesh.facts?.maxMessageBytes ?? bodyBytes);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { rawHeaders, method = '', url = '' } = request;
    const head = readRequestHead(rawHeaders);
    head.requestId = requestId(head.requestId);
    const call = { request, response, head };
    const refusal =
      checks.checkAddress(rawHeaders.length / 2, head, this.#hosts) ??
      checks.checkTarget(url) ??
      checks.checkMethod(method, url);
    if (refusal !== undefined) this.#refuse(call, refusal);
    else if (!url.startsWith('/mcp')) this.#metadata(call);
    else if (method === 'POST') this.#post(call);
    else if (method === 'GET') this.#get(call);
    else this.#delete(call);
  }

  #post(call: Call): void {
    const { contentType, contentEncoding, contentLength, accept } = call.head;
    if (!isJson(contentType) || !isIdentity(contentEncoding)) {
      this.#refuse(call, checks.UNSUPPORTED_MEDIA_TYPE);
    } else if (!acceptsJsonAndEvents(accept)) {
      this.#refuse(call, checks.POST_NOT_ACCEPTABLE);
    } else if (this.state.draining || this.state.buffers.full) {
      discard(call.request);
      this.#fail(call, this.#shed());
    } else {
      readBody(call.request, contentLength, {
        limit: this.#bodyLimit,
        buffers: this.state.buffers,
        whole: (body) => this.#message(call, body),
        tooLarge: () => this.#fail(call, new MeshError('message_too_large', 'The message is too large.')),
      });
    }
  }

  #message(call: Call, body: Buffer): void {
    let parsed: ParsedBody;
    try {
      parsed = parseBody(body, call.head.protocolVersion);
    } catch (error) {
      this.#fail(call, MeshError.from(error), askedBy(error));
      return;
    }
    const shed = this.#overloaded(parsed);
    if (shed !== undefined) this.#fail(call, shed, parsed);
    // initialize comes before any version is negotiated: its header means nothing yet.
    else if (parsed.scanned?.method !== 'initialize' && !isAcceptableVersion(call.head.protocolVersion)) {
      this.#fail(call, unsupportedVersion(), parsed);
    } else {
      this.#cross(call, { kind: 'message', body, ...parsed });
    }
  }

  #get(call: Call): void {
    const { load } = this.#options;
    if (!acceptsEvents(call.head.accept)) this.#refuse(call, checks.GET_NOT_ACCEPTABLE);
    else if (this.state.draining || this.state.full) this.#fail(call, this.#shed());
    // What is resumed is under way.
    else if (load?.shrinking === true && call.head.lastEventId === undefined)
      this.#fail(call, load.refuse('stream'));
    else if (!isAcceptableVersion(call.head.protocolVersion)) this.#fail(call, unsupportedVersion());
    else this.#cross(call, LISTEN);
  }

  #delete(call: Call): void {
    if (this.state.draining) this.#fail(call, this.#shed());
    else if (!isAcceptableVersion(call.head.protocolVersion)) this.#fail(call, unsupportedVersion());
    else this.#cross(call, TERMINATE);
  }

  #cross(call: Call, crossing: Crossing): void {
    const { head, response } = call;
    const authorization = head.authorization ?? this.#options.heldToken?.current();
    const watch = this.#options.watch?.begin(head, crossing);
    const refusal = this.#checkCredential(authorization, head.proof);
    if (refusal !== undefined) {
      watch?.ended(refusal.reason);
      this.#fail(call, refusal, crossing);
      return;
    }
    const proof = this.#proof(head, authorization);
    if (proof === undefined && this.#answerList(call, crossing, authorization)) {
      watch?.answeredHere();
      return;
    }
    const { kind, body, scanned, ids } = crossing;
    const { sessionId, protocolVersion, lastEventId, requestId = '' } = head;
    const { traceparent, tracestate } = watch?.trace ?? head;
    const answer = new ExchangeAnswer(response, this.state, {
      kind,
      context: this.#context(head, crossing),
      prefersEvents: kind === 'message' && prefersEvents(head.accept),
      running: this.state.running.begin(sessionId, ids),
    });
    answer.attach(
      this.#options.mesh.open(
        {
          kind,
          authorization,
          proof,
          sessionId,
          protocolVersion,
          lastEventId,
          traceparent,
          tracestate,
          requestId,
          body,
          scanned,
          ids,
        },
        watch === undefined ? answer : watch.around(answer, response),
      ),
    );
  }

  /** Answers a list that the replica has granted to this session and these bytes of Authorization; false: nothing was. */
  #answerList(call: Call, crossing: Crossing, authorization: string | undefined): boolean {
    const { response: to, head } = call;
    const { body, scanned } = crossing;
    const { id, method, cursor } = scanned ?? {};
    const { sessionId } = head;
    if (method === undefined || !LISTS.has(method)) return false;
    if (id === undefined || body === undefined || sessionId === undefined || cursor !== undefined)
      return false;
    const result = this.#options.lists?.find({ sessionId, authorization, method });
    // The replica refuses an id that is in use.
    if (result === undefined || this.state.running.has(sessionId, slice(body, id).toString())) return false;
    const pieces = response(slice(body, id), result);
    if (prefersEvents(head.accept)) {
      const context = this.#context(head, crossing);
      new ExchangeAnswer(to, this.state, { kind: 'message', context, prefersEvents: true }).json(
        pieces,
        undefined,
      );
    } else writeAnswer(to, this.state, jsonAnswer(200, [], Buffer.concat(pieces)));
    return true;
  }

  /**
   * Refuses what no replica has to be asked about. A malformed Authorization is
   * never replaced by the sidecar's own token; and as long as the sidecar does not
   * know whether the mesh serves callers without one, it says that it cannot say.
   */
  #checkCredential(authorization: string | undefined, proof: string | undefined): MeshError | undefined {
    if (authorization !== undefined && isBearer(authorization)) return undefined;
    const { facts } = this.#options.mesh;
    if (facts === undefined) return unreachable();
    if (authorization !== undefined && isDpop(authorization)) return refuseProof(proof, facts);
    if (authorization !== undefined) {
      return new MeshError('unauthenticated', 'The Authorization header holds no usable access token.');
    }
    if (this.#options.heldToken !== undefined) {
      return new MeshError('unavailable', 'The token that the sidecar holds cannot be read.');
    }
    return facts.anonymous ? undefined : new MeshError('unauthenticated', 'A bearer token is required.');
  }

  /** What must cross with a token that is bound to a key; of a bearer's request, nothing does. */
  #proof({ host = '', proof }: RequestHead, authorization: string | undefined): Proof | undefined {
    const { facts } = this.#options.mesh;
    if (authorization === undefined || proof === undefined || facts === undefined) return undefined;
    return isDpop(authorization) ? proofOf(proof, { host, facts }) : undefined;
  }

  #metadata(call: Call): void {
    const { facts } = this.#options.mesh;
    if (facts === undefined) {
      this.#fail(call, unreachable());
      return;
    }
    const answer = metadataAnswer(facts, call.head.host ?? '');
    if (answer === undefined) this.#refuse(call, checks.PATH_NOT_FOUND);
    else writeAnswer(call.response, this.state, answer);
  }

  /** Replies, notifications and cancellations belong to what is under way. */
  #overloaded({ ids, scanned }: ParsedBody): MeshError | undefined {
    const { load } = this.#options;
    if (load === undefined || !load.shrinking || ids.length === 0) return undefined;
    if (load.shedding) return load.refuse('request');
    return scanned?.method === 'initialize' ? load.refuse('session') : undefined;
  }

  #shed(): MeshError {
    if (this.state.draining) return new MeshError('draining', 'The sidecar is shutting down.');
    return new MeshError('overloaded', 'The sidecar holds as much as it may for slow clients.');
  }

  #context(head: RequestHead, { ids, batch }: Asked): AnswerContext {
    const { authorization, host = '', requestId } = head;
    const authorized = authorization !== undefined;
    const dpop = authorized && isDpop(authorization);
    return { ids, batch, host, authorized, dpop, requestId, facts: this.#options.mesh.facts };
  }

  #refuse(call: Call, refusal: Refusal): void {
    this.#options.metrics.refused(refusal.reason);
    this.#refusals.refused(refusal.reason);
    discard(call.request);
    writeAnswer(call.response, this.state, answerRefusal(refusal));
  }

  #fail(call: Call, error: MeshError, asked: Asked = NOTHING_ASKED): void {
    this.#options.metrics.refused(error.reason);
    writeAnswer(call.response, this.state, answerError(error, this.#context(call.head, asked)));
  }
}

function unsupportedVersion(): MeshError {
  return new MeshError('unsupported_protocol_version', 'This MCP-Protocol-Version is not supported.');
}

function unreachable(): MeshError {
  return new MeshError('unavailable', 'The mesh cannot be reached yet.');
}
