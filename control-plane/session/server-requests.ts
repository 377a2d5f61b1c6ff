import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  errorResponse,
  forward,
  meshErrorResponse,
  type RpcError,
  relayError,
  response,
  type Splice,
} from '../../shared/json-rpc/envelope.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendLink } from './backend-link.ts';
import type { Notice } from './backend-notices.ts';
import { refusalOf } from './client-abilities.ts';
import type { ClientStream } from './client-stream.ts';
import { clientTaskOf, openTaskProgress, resultForBackend, taskProgressToken } from './client-tasks.ts';
import { InheritedRequests } from './inherited-requests.ts';
import type { LiveSession } from './live-session.ts';
import { openRequestId, type RequestOrigin, type SealedPart, sealRequestId } from './request-ids.ts';
import { isTaskRelated, withoutReserved } from './reserved-meta.ts';
import { RunningCall } from './running-call.ts';
import type { SessionObserver } from './session-observer.ts';
import { fittingAsked } from './session-record.ts';
import type { OpenedName, Party } from './task-names.ts';
import { namingOf } from './task-notices.ts';

const UNKNOWN_TASK: RpcError = { code: -32602, message: 'Unknown task.' };
const EMPTY_RESULT = Buffer.from('{}');
const QUOTE = 0x22;
/** Requests of backends that one client has to answer at a time. */
const MOST_PENDING = 100;
/** Replies to requests of earlier owners of a session that are remembered, so that none is delivered twice. */
const MOST_REMEMBERED = 1_000;
/** How long after a takeover the reply to what the owner before had passed on may still come. */
const REPLY_GRACE_MS = 5_000;

interface Pending {
  readonly backend: BackendSession;
  readonly rawId: string;
  /** It ends with the call that caused it. */
  readonly call: RunningCall | undefined;
  readonly stream: ClientStream;
  /** The client may report progress under this token; the backend chose its own. */
  readonly token: string | undefined;
}

/** Where a request of a backend came from, and where the client hears of it. */
export interface ServerRequest {
  readonly session: LiveSession;
  readonly link: BackendLink;
  readonly backend: BackendSession;
  readonly message: Message;
  /** What in its params the client is told in other words. */
  readonly splices?: readonly Splice[];
  /** The credential of the live exchange on whose behalf the backend asks; a refusal goes back under it. */
  readonly credential: () => Credential | Promise<Credential>;
  readonly call: RunningCall | undefined;
  readonly stream: ClientStream | undefined;
}

interface Asked {
  /** Unanswered, by the id that the client sees. */
  readonly pending: Map<string, Pending>;
  /** Answered by the client, or by an error, of those that an earlier owner of the session had passed on. */
  readonly answered: Set<string>;
  /** What such an owner left unanswered. */
  readonly inherited: InheritedRequests;
  cancelGrace: () => void;
}

export interface ServerRequestsOptions {
  readonly clock: Clock;
  readonly observer: SessionObserver;
  /** The caller in whose name the session's client listens. */
  readonly listener: (session: LiveSession) => Caller | undefined;
}

/**
 * Requests of backends to the client (sampling, elicitation, roots): out on the
 * stream of the call that caused them, and the reply back to the very backend
 * session that asked, by the sealed id that the client sees. The record knows which
 * of them are unanswered, so that whoever takes the session over can tell the
 * backends; sessions in which nothing is asked pay nothing.
 */
export class ServerRequests {
  readonly #options: ServerRequestsOptions;
  readonly #observer: SessionObserver;
  readonly #asked = new WeakMap<LiveSession, Asked>();

  constructor(options: ServerRequestsOptions) {
    this.#options = options;
    this.#observer = options.observer;
  }

  /** Carries a request to the client, or tells the backend at once why it cannot be. */
  carry(request: ServerRequest): void {
    const { session, link, message, backend, call, stream } = request;
    const { id, method = '' } = message.scanned;
    if (id === undefined) return;
    const rawId = slice(message.bytes, id);
    if (method === 'ping') {
      this.#reply(request, response(rawId, EMPTY_RESULT));
      return;
    }
    const party = { session, backend: link.name, at: request.backend };
    const task = clientTaskOf(party, message);
    const refusal = refusalOf(session, message);
    if (task === undefined || refusal !== undefined) {
      this.#reply(request, errorResponse(rawId, refusal ?? UNKNOWN_TASK));
      return;
    }
    const { pending } = this.#of(session);
    const visible = this.#seal(request, rawId, { place: task.place });
    const token = this.#token(request, task.place === 'created' ? party : undefined);
    const changes = [
      ...tokenSplices(message, token),
      ...task.splices,
      ...(request.splices ?? []),
      ...withoutReserved(message, namingOf(request)),
    ];
    const carried =
      stream !== undefined &&
      visible !== undefined &&
      pending.size < MOST_PENDING &&
      stream.message(forward(message, { id: encodeString(visible), splices: changes }));
    if (!carried) {
      this.#reply(
        request,
        meshErrorResponse(rawId, new MeshError('cancelled', 'Nobody listens to this request.')),
      );
      return;
    }
    // A task goes on without the call on whose stream it asks.
    const cause = isTaskRelated(message) ? undefined : call;
    pending.set(visible, { backend, rawId: rawId.toString('latin1'), call: cause, stream, token });
    this.#record(session);
    cause?.whenOver(() => this.#over(session, visible));
  }

  /** Delivers the client's reply. What belongs to no open request of this session is dropped and counted. */
  deliver(session: LiveSession, caller: Caller, message: Message): void {
    const { id, result, error } = message.scanned;
    const visible = id === undefined ? '' : textAt(message, id);
    const opened = openRequestId(session.sessionKeys('requests'), visible);
    const link = opened && session.linkTo(opened.backend, (each) => opened.isFrom(each));
    const backend = link?.session;
    const isFirst = opened !== undefined && this.#take(session, visible, opened.epoch);
    if (!isFirst || link === undefined || backend === undefined) {
      this.#observer.dropped('response');
      return;
    }
    const party = { session, backend: link.name, at: backend };
    const pieces =
      result === undefined
        ? relayError(opened.id, error === undefined ? EMPTY_RESULT : slice(message.bytes, error))
        : response(opened.id, resultForBackend(party, slice(message.bytes, result), opened.place));
    void send(link, backend, caller, pieces).catch(() => this.#observer.dropped('reply'));
  }

  /** A backend withdraws its request: the client hears of it under the id that it knows. */
  withdraw({ session, link, backend, message }: Notice, listening: ClientStream | undefined): void {
    const { requestId } = message.scanned;
    if (requestId === undefined) return;
    const rawId = Buffer.from(slice(message.bytes, requestId));
    const { pending, inherited } = this.#of(session);
    const text = rawId.toString('latin1');
    const own = [...pending].find(([, each]) => each.backend === backend && each.rawId === text);
    const visible = own?.[0] ?? inherited.find(backend, link.name, rawId);
    if (visible === undefined) return;
    pending.delete(visible);
    inherited.take(visible);
    this.#record(session);
    const stream = own?.[1].stream ?? listening;
    stream?.message(forward(message, { splices: [{ span: requestId, bytes: encodeString(visible) }] }));
  }

  /** The client reports progress on a request of a backend: to that backend, under its own token. False when the token is nobody's. */
  progress(session: LiveSession, caller: Caller, message: Message): boolean {
    const { progressToken } = message.scanned;
    if (progressToken === undefined) return false;
    const whose = this.#whose(session, message);
    const link = whose && session.linkTo(whose.backend, (each) => whose.isOf(each));
    const backend = link?.session;
    if (whose === undefined || link === undefined || backend === undefined) return false;
    const pieces = forward(message, { splices: [{ span: progressToken, bytes: whose.value }] });
    void notify(link, backend, caller, pieces).catch(() => this.#observer.dropped('message'));
    return true;
  }

  /** Whether a reply, or progress, is about a request that this owner of the session has passed on. */
  concerns(session: LiveSession, { bytes, scanned }: Message): boolean {
    const span = scanned.kind === 'response' ? scanned.id : scanned.progressToken;
    if (span === undefined) return false;
    const part = scanned.kind === 'response' ? 'id' : 'progress token';
    const text = textAt({ bytes, scanned }, span);
    return openRequestId(session.sessionKeys('requests'), text, part)?.epoch === session.epoch;
  }

  /** An exchange of the session has come: what an earlier owner left unanswered is looked after. */
  arrived(session: LiveSession): void {
    const known = this.#asked.get(session);
    if (known === undefined && session.body.asked === undefined) return;
    const { inherited } = known ?? this.#of(session);
    if (inherited.overdue) void inherited.settle();
  }

  /** The client was told that the calls of this stream are lost: nobody answers what they asked. */
  lost(session: LiveSession, stream: string): void {
    if (session.body.asked !== undefined) void this.#of(session).inherited.settle(stream);
  }

  /** Another replica has the session; calls of this one are being finished, and what they asked is answered here. */
  keep(session: LiveSession): void {
    const pending = [...(this.#asked.get(session)?.pending ?? [])];
    const kept = pending.flatMap(([visible, { call, stream }]) =>
      call?.over !== true && stream.attached && !stream.listening ? [visible] : [],
    );
    if (kept.length > 0) void session.keepRequests(kept);
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#asked.get(session)?.cancelGrace();
    this.#asked.delete(session);
  }

  #of(session: LiveSession): Asked {
    const known = this.#asked.get(session);
    if (known !== undefined) return known;
    const { clock, observer, listener } = this.#options;
    const answered = new Set<string>();
    const inherited = new InheritedRequests(session, {
      observer,
      liveCaller: (of) => listener(of) ?? callerAtWork(of),
      listens: (of) => listener(of) !== undefined,
      onChange: () => this.#record(session),
      onClosed: (visible) => answered.add(visible),
    });
    const cancelGrace =
      inherited.ids.length === 0 ? () => {} : clock.after(REPLY_GRACE_MS, () => void inherited.settle());
    const asked: Asked = { pending: new Map(), answered, inherited, cancelGrace };
    this.#asked.set(session, asked);
    return asked;
  }

  /** Whether a request still waits for its reply, which it now has. What an earlier owner passed on is not known here until then. */
  #take(session: LiveSession, visible: string, epoch: number): boolean {
    const { pending, answered, inherited } = this.#of(session);
    if (epoch === session.epoch) {
      const waited = pending.delete(visible);
      if (waited) this.#record(session);
      return waited;
    }
    if (epoch > session.epoch || answered.has(visible) || answered.size >= MOST_REMEMBERED) return false;
    answered.add(visible);
    inherited.take(visible);
    return true;
  }

  /** The call that asked has ended: whatever it asked is of no more use. */
  #over(session: LiveSession, visible: string): void {
    if (this.#asked.get(session)?.pending.delete(visible) === true) this.#record(session);
  }

  /** The record has the list of what is unanswered. */
  #record(session: LiveSession): void {
    const known = this.#asked.get(session);
    if (known === undefined || (session.state !== 'live' && session.state !== 'starting')) return;
    const asked = fittingAsked([...known.inherited.ids, ...known.pending.keys()]);
    session.update({ asked });
  }

  #seal(
    { session, backend, link, stream }: ServerRequest,
    id: Buffer,
    { place, part }: Pick<RequestOrigin, 'place'> & { part?: SealedPart },
  ): string | undefined {
    const [key] = session.sessionKeys('requests');
    if (key === undefined || stream === undefined) return undefined;
    const origin = { stream: stream.id, backend: link.name, epoch: session.epoch, id, place };
    return sealRequestId(key, backend, origin, part);
  }

  /** The token under which the client reports progress, when the backend wants to hear of it. `task` is whose task the request makes. */
  #token(request: ServerRequest, task: Party | undefined): string | undefined {
    const { bytes, scanned } = request.message;
    if (scanned.progressToken === undefined) return undefined;
    const original = slice(bytes, scanned.progressToken);
    return task === undefined
      ? this.#seal(request, original, { part: 'progress token' })
      : taskProgressToken(task, original);
  }

  /** The backend that hears of this progress, and its own token: while its request is unanswered, or its task goes on. */
  #whose(session: LiveSession, message: Message): OpenedName | undefined {
    const { progressToken } = message.scanned;
    const token = progressToken === undefined ? '' : textAt(message, progressToken);
    const opened = openRequestId(session.sessionKeys('requests'), token, 'progress token');
    if (opened === undefined) return openTaskProgress(session, message);
    const { pending, inherited } = this.#of(session);
    const isOpen =
      opened.epoch === session.epoch
        ? [...pending.values()].some((each) => each.token === token)
        : inherited.ids.some((id) => id.startsWith(`${opened.stream}.`));
    if (!isOpen) return undefined;
    return { backend: opened.backend, value: opened.id, isOf: opened.isFrom };
  }

  #reply(request: ServerRequest, pieces: readonly Uint8Array[]): void {
    void refuse(request, pieces).catch(() => this.#observer.dropped('reply'));
  }
}

/** The text of a JSON string; empty for any other value. */
function textAt({ bytes }: Message, span: Span): string {
  return bytes[span.start] === QUOTE ? decodeString(bytes, span) : '';
}

function tokenSplices(message: Message, token: string | undefined): readonly Splice[] {
  const { progressToken: span } = message.scanned;
  return span === undefined || token === undefined ? [] : [{ span, bytes: encodeString(token) }];
}

/** The caller of a request that runs in the session. */
function callerAtWork(session: LiveSession): Caller | undefined {
  for (const call of session.calls.values()) {
    if (call instanceof RunningCall && !call.over) return call.caller;
  }
  return undefined;
}

async function refuse({ backend, credential }: ServerRequest, pieces: readonly Uint8Array[]): Promise<void> {
  await backend.respond(pieces, await credential());
}

async function send(
  link: BackendLink,
  backend: BackendSession,
  caller: Caller,
  pieces: readonly Uint8Array[],
): Promise<void> {
  await link.under(caller, AbortSignal.timeout(10_000), (credential) => backend.respond(pieces, credential));
}

async function notify(
  link: BackendLink,
  backend: BackendSession,
  caller: Caller,
  pieces: readonly Uint8Array[],
): Promise<void> {
  await link.under(caller, AbortSignal.timeout(10_000), (credential) => backend.notify(pieces, credential));
}
