import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { NEVER } from '../../shared/never.ts';
import { BackendFault, type BackendSession, type Message } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendLink } from './backend-link.ts';
import type { LiveSession } from './live-session.ts';
import type { SessionObserver } from './session-observer.ts';
import { stepUp } from './step-up.ts';

export interface CallEnvironment {
  readonly clock: Clock;
  readonly observer: SessionObserver;
  /** A request of the client, and one during which somebody or something reports to be at work. */
  readonly timeouts: (backend: string) => { readonly requestMs: number; readonly humanPacedMs: number };
  /** Scopes that callers can come back with. */
  readonly grantableScopes: () => ReadonlySet<string>;
}

/** A request as it will stand at one backend, for one caller. */
export interface CallPlan {
  readonly session: LiveSession;
  readonly link: BackendLink;
  readonly caller: Caller;
  readonly method: string;
  /** The whole message under the id that it has at the backend. */
  readonly build: (id: number) => readonly Uint8Array[];
  readonly signal: AbortSignal;
  /** The trace context of the exchange that asks. */
  readonly trace?: Readonly<Record<string, string>> | undefined;
  /** Do not run at a backend session that was made afresh and lost what it held. */
  readonly refuseStateLoss?: boolean;
  readonly onMessage: (backend: BackendSession, message: Message) => void;
  readonly onPolling?: (retryMs: number) => void;
  /** The request is about to be sent, under this id, with this credential. Tells apart the attempts. */
  readonly onSend?: (sent: SentCall) => void;
}

export interface SentCall {
  readonly backend: BackendSession;
  readonly id: number;
  readonly credential: Credential;
}

/** Requests that only read: once more after an interruption does no harm. */
const READS: ReadonlySet<string> = new Set([
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
  'resources/read',
  'prompts/get',
  'completion/complete',
  'tasks/list',
  'tasks/get',
  'tasks/result',
]);

export function isRead(method: string): boolean {
  return READS.has(method);
}

/**
 * Runs a request at its backend under the caller's own credential and returns the
 * backend's response. A backend session that is lost is made afresh once and the
 * request finished, if it provably had not run. Rejects with `MeshError`.
 */
export function callBackend(env: CallEnvironment, plan: CallPlan): Promise<Message> {
  const { link, caller, method } = plan;
  const started = env.clock.now();
  const done = link.use();
  const over = (outcome: string) => {
    done();
    env.observer.backendCall(link.name, outcome, env.clock.now() - started);
  };
  const answered = (answer: Message) => {
    over('ok');
    return answer;
  };
  const failed = (thrown: unknown): never => {
    const challenge =
      thrown instanceof BackendFault
        ? stepUp(thrown, { backend: link.name, caller, grantable: env.grantableScopes })
        : undefined;
    const error = challenge ?? toMeshError(thrown, link.name);
    over(error.reason);
    throw error;
  };
  return attempt(env, plan).then(answered, (thrown: unknown) =>
    thrown instanceof BackendFault && mayRepeat(thrown, method)
      ? attempt(env, plan).then(answered, failed)
      : failed(thrown),
  );
}

function mayRepeat(fault: BackendFault, method: string): boolean {
  if (fault.kind === 'session_lost') return fault.executed === 'no' || isRead(method);
  return fault.kind === 'interrupted' && isRead(method);
}

/** Never throws, and makes nothing that waits but the call itself where the backend is connected. */
function attempt(env: CallEnvironment, plan: CallPlan): Promise<Message> {
  const { session, link, caller } = plan;
  try {
    // A call in flight may outlive the session here; nothing new is sent for it.
    if (session.state === 'fenced') throw moved();
    const backend = link.session;
    if (backend !== undefined) return sendTo(env, plan, backend);
    return connect(session, link, caller).then((opened) => sendTo(env, plan, opened));
  } catch (thrown) {
    return Promise.reject(thrown);
  }
}

function sendTo(env: CallEnvironment, plan: CallPlan, backend: BackendSession): Promise<Message> {
  const { session, link, caller, signal } = plan;
  if (plan.refuseStateLoss === true && link.takeStateLoss()) {
    throw new MeshError(
      'backend_restarted',
      `The backend "${link.name}" was started afresh; what it held is lost.`,
      {
        backend: link.name,
      },
    );
  }
  return link.under(caller, signal, (credential) =>
    session.leaseValid || session.state === 'starting'
      ? ask(env, plan, { backend, credential })
      : confirm(session).then(() => ask(env, plan, { backend, credential })),
  );
}

interface Asking {
  readonly backend: BackendSession;
  readonly credential: Credential;
}

function ask(env: CallEnvironment, plan: CallPlan, { backend, credential }: Asking): Promise<Message> {
  const { link, method, signal, onMessage, trace, onPolling } = plan;
  const id = link.nextRequestId();
  const { requestMs, humanPacedMs } = env.timeouts(link.name);
  plan.onSend?.({ backend, id, credential });
  const answer = backend.call({
    id,
    pieces: plan.build(id),
    method,
    credential,
    // It waits for the end of a task, however long that takes (MCP 2025-11-25, Tasks: Result Retrieval).
    timeoutMs: method === 'tasks/result' ? humanPacedMs : requestMs,
    maxTimeoutMs: humanPacedMs,
    // A call of a client is cancelled by its id; to listen costs more than the rest of its bookkeeping.
    ...(signal === NEVER ? {} : { signal }),
    onMessage: (message) => onMessage(backend, message),
    ...(trace === undefined ? {} : { headers: trace }),
    ...(onPolling === undefined ? {} : { onPolling }),
  });
  return answer.catch((thrown: unknown) => {
    if (thrown instanceof BackendFault && thrown.kind === 'session_lost') link.lost(backend, thrown);
    if (thrown instanceof BackendFault && thrown.kind === 'timeout')
      backend.cancel(id, 'timeout', credential);
    throw link.session === backend ? thrown : asLost(thrown, signal);
  });
}

/** Another call found that the backend had lost its session, which closed it here under this one: nobody cancelled that. */
function asLost(thrown: unknown, signal: AbortSignal): unknown {
  if (!(thrown instanceof BackendFault) || thrown.kind !== 'aborted' || signal.aborted) return thrown;
  return new BackendFault('session_lost', thrown.message, { executed: thrown.executed, cause: thrown });
}

/** A backend session made afresh is published before it serves: a session that is gone meanwhile, or another's, serves nothing. */
export async function connect(
  session: LiveSession,
  link: BackendLink,
  caller: Caller,
): Promise<BackendSession> {
  const backend = await link.ensure(caller);
  if (session.state === 'starting') return backend;
  await session.saved();
  if (session.state === 'fenced') throw moved();
  if (session.state !== 'live')
    throw new BackendFault('aborted', 'the session has ended', { executed: 'no' });
  return backend;
}

/** Opening a backend session, obtaining a credential or a first attempt took its time: the session may be another replica's by now, or gone. */
async function confirm(session: LiveSession): Promise<void> {
  if (session.state === 'live') await session.touch();
  if (session.state === 'fenced') throw moved();
  if (session.state !== 'live')
    throw new BackendFault('aborted', 'the session has ended', { executed: 'no' });
  // The store's word is older than the lease by now: it says who had the session, not who has it.
  if (!session.leaseValid) {
    throw new MeshError('store_unavailable', 'The session store answers too slowly.', {
      retryAfterMs: 1_000,
    });
  }
}

/** Another replica has taken the session over before the request was sent. */
export function moved(): MeshError {
  return new MeshError('session_busy', 'The session has moved to another replica.', { retryAfterMs: 1_000 });
}

/** What a fault at a backend is to the client. Its own credential's refusal is said; nobody else's is tried. */
export function toMeshError(thrown: unknown, backend: string): MeshError {
  if (!(thrown instanceof BackendFault)) return MeshError.from(thrown);
  const options = {
    backend,
    cause: thrown,
    ...(thrown.retryAfterMs === undefined ? {} : { retryAfterMs: thrown.retryAfterMs }),
  };
  const unknown = thrown.executed === 'unknown';
  switch (thrown.kind) {
    case 'unreachable':
      return new MeshError('backend_unavailable', `The backend "${backend}" cannot be reached.`, options);
    case 'session_lost':
      return unknown
        ? outcomeUnknown(backend, thrown)
        : new MeshError('backend_unavailable', `The backend "${backend}" lost its session again.`, options);
    case 'unauthorized':
      return new MeshError(
        'backend_unauthorized',
        `The backend "${backend}" refused the credential of this caller.`,
        options,
      );
    case 'forbidden':
      return new MeshError(
        'backend_unauthorized',
        `The backend "${backend}" does not allow this to this caller.`,
        options,
      );
    case 'rate_limited':
      return new MeshError('backend_busy', `The backend "${backend}" asks to slow down.`, options);
    case 'busy':
      return new MeshError(
        'backend_busy',
        `No more connections to the backend "${backend}" may be opened now.`,
        options,
      );
    case 'timeout':
      return new MeshError('backend_timeout', `The backend "${backend}" did not answer in time.`, options);
    case 'protocol':
      return new MeshError(
        'backend_protocol_error',
        `The backend "${backend}" answered with something that is not MCP.`,
        options,
      );
    case 'interrupted':
      return unknown
        ? outcomeUnknown(backend, thrown)
        : new MeshError(
            'backend_unavailable',
            `The backend "${backend}" failed before it took the request.`,
            options,
          );
    case 'aborted':
      return new MeshError('cancelled', 'The request was cancelled.', options);
  }
}

function outcomeUnknown(backend: string, cause: unknown): MeshError {
  const text = `The connection to the backend "${backend}" ended before its answer; whether the request ran is unknown.`;
  return new MeshError('outcome_unknown', text, { backend, cause });
}
