import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  errorResponse,
  forward,
  meshErrorResponse,
  relayError,
  response,
  type Splice,
} from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { CredentialHeaders } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import type { TaskPlace } from '../virtual-server/task-results.ts';
import type { BackendLink } from './backend-link.ts';
import type { ClientStream } from './client-stream.ts';
import { clientTaskOf, openTaskProgress, resultForBackend, taskProgressToken } from './client-tasks.ts';
import type { LiveSession } from './live-session.ts';
import { openRequestId, sealRequestId } from './request-ids.ts';
import { isTaskRelated, withoutReserved } from './reserved-meta.ts';
import type { RunningCall } from './running-call.ts';
import type { SessionObserver } from './session-observer.ts';
import type { Party } from './task-names.ts';
import { namingOf } from './task-notices.ts';

/** The client capability without which a request of a backend goes to nobody. */
const NEEDS: Readonly<Record<string, string>> = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
  // Its list is not carried: it would name what other backends asked for.
  'tasks/get': 'tasks',
  'tasks/result': 'tasks',
  'tasks/cancel': 'tasks',
};
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;
const EMPTY_RESULT = Buffer.from('{}');
/** Requests of backends that one client has to answer at a time. */
const MOST_PENDING = 100;
/** Replies to requests of earlier owners of a session that are remembered, so that none is delivered twice. */
const MOST_REMEMBERED = 1_000;

interface Pending {
  readonly link: BackendLink;
  readonly rawId: string;
  /** It ends with the call that caused it. */
  readonly call: RunningCall | undefined;
  readonly stream: ClientStream;
  /** The client may report progress under this token; the backend chose its own. */
  readonly progress: { readonly visible: string; readonly original: Buffer } | undefined;
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
  readonly credential: () => CredentialHeaders | Promise<CredentialHeaders>;
  readonly call: RunningCall | undefined;
  readonly stream: ClientStream | undefined;
}

interface Asked {
  /** Unanswered, by the id that the client sees. */
  readonly pending: Map<string, Pending>;
  /** Answered, of those that an earlier owner of the session had passed on. */
  readonly answered: Set<string>;
}

/**
 * Requests of backends to the client (sampling, elicitation, roots): out on the
 * stream of the call that caused them, and the reply back to the very backend
 * session that asked, by the sealed id that the client sees.
 */
export class ServerRequests {
  readonly #observer: SessionObserver;
  readonly #asked = new WeakMap<LiveSession, Asked>();
  #tokens = 0;

  constructor(observer: SessionObserver) {
    this.#observer = observer;
  }

  /** Carries a request to the client, or tells the backend at once why it cannot be. */
  carry(request: ServerRequest): void {
    const { session, link, message, call, stream, splices = [] } = request;
    const { id, method = '' } = message.scanned;
    if (id === undefined) return;
    const rawId = slice(message.bytes, id);
    if (method === 'ping') {
      this.#reply(request, response(rawId, EMPTY_RESULT));
      return;
    }
    const party = { session, backend: link.name, at: request.backend };
    const task = clientTaskOf(party, message);
    const visible = this.#visibleId(request, rawId, task?.place);
    const need = NEEDS[method];
    if (need === undefined || visible === undefined || !hasCapability(session, need)) {
      this.#reply(
        request,
        errorResponse(rawId, {
          code: METHOD_NOT_FOUND,
          message: 'The client does not support this request.',
        }),
      );
      return;
    }
    if (task === undefined) {
      this.#reply(request, errorResponse(rawId, { code: INVALID_PARAMS, message: 'Unknown task.' }));
      return;
    }
    const { pending } = this.#of(session);
    for (const [known, each] of pending) if (each.call?.over === true) pending.delete(known);
    const progress = this.#progress(message, task.place === 'created' ? party : undefined);
    const token =
      progress === undefined ? [] : [{ span: progress.span, bytes: encodeString(progress.visible) }];
    const pieces = forward(message, {
      id: encodeString(visible),
      splices: [...token, ...task.splices, ...splices, ...withoutReserved(message, namingOf(request))],
    });
    if (stream === undefined || pending.size >= MOST_PENDING || !stream.message(pieces)) {
      this.#reply(
        request,
        meshErrorResponse(rawId, new MeshError('cancelled', 'Nobody listens to this request.')),
      );
      return;
    }
    // A task goes on without the call on whose stream it asks.
    const cause = isTaskRelated(message) ? undefined : call;
    pending.set(visible, { link, rawId: rawId.toString('latin1'), call: cause, stream, progress });
  }

  /** Delivers the client's reply. What belongs to no open request of this session is dropped and counted. */
  deliver(session: LiveSession, caller: Caller, message: Message): void {
    const { id, result, error } = message.scanned;
    const visible =
      id === undefined || message.bytes[id.start] !== 0x22 ? '' : decodeString(message.bytes, id);
    const opened = openRequestId(session.sessionKeys('requests'), visible);
    const link = opened === undefined ? undefined : session.links.get(opened.backend);
    const backend = link?.session;
    const isFirst = opened !== undefined && this.#take(session, visible, opened.epoch);
    if (!isFirst || link === undefined || backend === undefined || !opened.isFrom(backend)) {
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
  withdraw(session: LiveSession, link: BackendLink, message: Message): void {
    const { requestId } = message.scanned;
    if (requestId === undefined) return;
    const rawId = slice(message.bytes, requestId).toString('latin1');
    const { pending } = this.#of(session);
    for (const [visible, each] of pending) {
      if (each.link !== link || each.rawId !== rawId) continue;
      pending.delete(visible);
      each.stream.message(forward(message, { splices: [{ span: requestId, bytes: encodeString(visible) }] }));
    }
  }

  /** The client reports progress on a request of a backend: to that backend, under its own token. False when the token is nobody's. */
  progress(session: LiveSession, caller: Caller, message: Message): boolean {
    const { progressToken } = message.scanned;
    if (progressToken === undefined) return false;
    const raw = slice(message.bytes, progressToken).toString('utf8');
    for (const { link, progress } of this.#of(session).pending.values()) {
      const backend = link.session;
      if (progress === undefined || JSON.stringify(progress.visible) !== raw || backend === undefined)
        continue;
      const pieces = forward(message, { splices: [{ span: progressToken, bytes: progress.original }] });
      void notify(link, backend, caller, pieces).catch(() => this.#observer.dropped('message'));
      return true;
    }
    const task = openTaskProgress(session, message);
    const link = task === undefined ? undefined : session.links.get(task.backend);
    const backend = link?.session;
    if (task === undefined || link === undefined || backend === undefined || !task.isOf(backend))
      return false;
    const pieces = forward(message, { splices: [{ span: progressToken, bytes: task.value }] });
    void notify(link, backend, caller, pieces).catch(() => this.#observer.dropped('message'));
    return true;
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#asked.delete(session);
  }

  #of(session: LiveSession): Asked {
    const asked = this.#asked.get(session) ?? { pending: new Map(), answered: new Set() };
    this.#asked.set(session, asked);
    return asked;
  }

  /** Whether a request still waits for its reply, which it now has. What an earlier owner passed on is not known here until then. */
  #take(session: LiveSession, visible: string, epoch: number): boolean {
    const { pending, answered } = this.#of(session);
    if (epoch === session.epoch) return pending.delete(visible);
    if (epoch > session.epoch || answered.has(visible) || answered.size >= MOST_REMEMBERED) return false;
    answered.add(visible);
    return true;
  }

  #visibleId(
    { session, backend, link }: ServerRequest,
    id: Buffer,
    place: TaskPlace | undefined,
  ): string | undefined {
    const [key] = session.sessionKeys('requests');
    const origin = { backend: link.name, epoch: session.epoch, id, place };
    return key === undefined ? undefined : sealRequestId(key, backend, origin);
  }

  /** `task` is whose task the request makes: its token says itself whose it is. */
  #progress(message: Message, task: Party | undefined) {
    const { progressToken: span } = message.scanned;
    if (span === undefined) return undefined;
    this.#tokens += 1;
    const original = Buffer.from(slice(message.bytes, span));
    const visible = task === undefined ? `progress-${this.#tokens}` : taskProgressToken(task, original);
    return { span, visible, original };
  }

  #reply(request: ServerRequest, pieces: readonly Uint8Array[]): void {
    void refuse(request, pieces).catch(() => this.#observer.dropped('reply'));
  }
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
  await backend.respond(pieces, await link.credential(caller, AbortSignal.timeout(10_000)));
}

async function notify(
  link: BackendLink,
  backend: BackendSession,
  caller: Caller,
  pieces: readonly Uint8Array[],
): Promise<void> {
  await backend.notify(pieces, await link.credential(caller, AbortSignal.timeout(10_000)));
}

const CAPABILITIES = new WeakMap<LiveSession, ReadonlySet<string>>();

function hasCapability(session: LiveSession, name: string): boolean {
  let names = CAPABILITIES.get(session);
  if (names === undefined) {
    const params = JSON.parse(session.body.initializeParams) as { capabilities?: object };
    names = new Set(Object.keys(params.capabilities ?? {}));
    CAPABILITIES.set(session, names);
  }
  return names.has(name);
}
