import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  errorResponse,
  request,
  response,
  resultWithMeta,
  type Splice,
  splice,
} from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { hasTasks } from '../../shared/protocol-versions.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { Route } from '../virtual-server/catalogue.ts';
import { readTaskPage, type TaskPage, type TaskPlace } from '../virtual-server/task-results.ts';
import { type Admission, useOf } from './admission.ts';
import { type CallEnvironment, callBackend, connect, toMeshError } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import { BACKENDS_META, type Outage } from './backend-outages.ts';
import type { Wanted } from './catalogues.ts';
import type { Named, Turn } from './client-requests.ts';
import { isOwnTask } from './known-tasks.ts';
import { namesForClient, type TaskNaming } from './related-tasks.ts';
import type { RunningCall } from './running-call.ts';
import { nameFor, type OpenedName, openName } from './task-names.ts';

/** Where a request goes, and what changes in it on the way. */
export interface Target {
  readonly backend: string;
  readonly splices: readonly Splice[];
  /** Throws unless this backend session may be asked. */
  readonly check?: (at: BackendSession) => void;
  /** What the client named, where it named an item. */
  readonly wanted?: Wanted & Pick<Route, 'original'>;
}

/** What a backend answered, and where it speaks of a task. */
export interface Answered {
  readonly backend: string;
  readonly answer: Message;
  readonly place?: TaskPlace | undefined;
  /** Of the tasks in it; the usual names when absent. */
  readonly naming?: TaskNaming;
}

export interface TaskRequestOptions {
  readonly admission: Pick<Admission, 'reaches' | 'requireReach'>;
  readonly calls: CallEnvironment;
  /** Within the limits of calls, and noted, as every call is. */
  readonly admit: (turn: Turn, item: Named) => Promise<() => void> | undefined;
  readonly call: (turn: Turn, call: RunningCall, target: Target) => Promise<Message>;
  readonly relay: (
    turn: Turn,
    call: RunningCall,
    answered: Answered,
  ) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
}

/** How long a list waits for one backend. */
const READ_MS = 5_000;
/** A page may be larger than this by one page of a backend only. */
const PAGE_BYTES = 1024 * 1024;
const INVALID_PARAMS = -32602;
const NULL = Buffer.from('null');

const METHODS: ReadonlySet<string> = new Set(['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/list']);

export function isTaskMethod(method: string): boolean {
  return METHODS.has(method);
}

/**
 * The client's requests about tasks that backends hold (MCP 2025-11-25, Tasks). The id
 * that a client knows names the backend session and the task there, sealed for this
 * session alone: any replica can ask for it, and nobody else's is worth anything.
 */
export class TaskRequests {
  readonly #options: TaskRequestOptions;

  constructor(options: TaskRequestOptions) {
    this.#options = options;
  }

  /** The answer to a task method. Rejects with MeshError. */
  async answer(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    // A session of an older revision was not told of tasks.
    if (!hasTasks(turn.session.body.protocolVersion))
      throw new MeshError('method_not_found', 'Method not found');
    return call.method === 'tasks/list' ? this.#list(turn, call) : this.#one(turn, call);
  }

  /** Rejects with `method_not_found` where a backend runs no tool as a task, as it would for such a tool (MCP 2025-11-25, Tool-Level Negotiation). */
  async require({ session, caller }: Turn, backend: string): Promise<void> {
    const link = session.links.get(backend);
    // That it is not configured is said to the call itself.
    if (link === undefined) return;
    const { facts } = await open(session, link, caller);
    if (facts.capabilities['tasks']?.requests?.tools?.call !== undefined) return;
    throw new MeshError('method_not_found', `The backend "${backend}" runs no tool as a task.`, { backend });
  }

  async #one(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, message } = turn;
    const { taskId: span } = message.scanned;
    if (span === undefined) throw new MeshError('invalid_params', `${call.method} needs a taskId.`);
    const visible = decodeString(message.bytes, span);
    const task = openName('task of a backend', session, visible);
    if (task === undefined) throw new MeshError('invalid_params', 'Unknown task.');
    const { backend, value } = task;
    // What a call was admitted to begin, its session may follow.
    const followed = { backend, kind: 'task' } as const;
    this.#options.admission.requireReach(turn.caller, useOf(message, turn), followed);
    const release = await this.#options.admit(turn, followed);
    try {
      const answer = await this.#options.call(turn, call, {
        backend,
        splices: [{ span, bytes: value }],
        check: (at) => requireHolder(task, at),
      });
      const naming = asAsked({ turn, call, task, visible });
      // A task's result is what its call would have got: an id in it is the tool's own.
      const place = call.method === 'tasks/result' ? undefined : 'state';
      return await this.#options.relay(turn, call, { backend, answer, place, naming });
    } catch (thrown) {
      if (!(thrown instanceof MeshError) || thrown.reason !== 'backend_restarted') throw thrown;
      // A task that is gone is an invalid one (MCP 2025-11-25, Tasks: Protocol Errors).
      const data = { reason: thrown.reason, retryable: false, backend };
      return errorResponse(call.id, { code: INVALID_PARAMS, message: thrown.message, data });
    } finally {
      release?.();
    }
  }

  /**
   * The tasks of all backends, in the configured order: one page of each, up to the first
   * that has more. A backend that does not answer costs its own tasks only, and is named.
   */
  async #list(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, caller } = turn;
    const rest = restOf(turn);
    const links = [...session.links.values()].filter(({ name }) =>
      this.#options.admission.reaches(caller, name),
    );
    const first = rest === undefined ? 0 : links.findIndex(({ name }) => name === rest.backend);
    if (first < 0) throw badCursor();
    const readings = await Promise.all(
      links.slice(first).map((link, at) => this.#read(turn, link, at === 0 ? rest : undefined)),
    );
    const { tasks, next } = merge(turn, readings);
    const result = Buffer.concat([
      Buffer.from('{"tasks":['),
      ...tasks,
      Buffer.from(next === undefined ? ']}' : `],"nextCursor":"${next}"}`),
    ]);
    const missing = missingFrom(readings);
    if (missing === undefined) return response(call.id, result);
    return response(call.id, resultWithMeta(result, BACKENDS_META, Buffer.from(missing)));
  }

  /** One page of one backend, waited for only so long. Rejects only for a cursor that leads nowhere. */
  async #read(turn: Turn, link: BackendLink, rest: OpenedName | undefined): Promise<Reading> {
    const { clock } = this.#options.calls;
    const patience = new AbortController();
    const late = new Promise<Reading>((resolve) => {
      const stop = clock.after(READ_MS, () => {
        patience.abort();
        const message = `The backend "${link.name}" did not answer in time.`;
        const error = new MeshError('backend_timeout', message, { backend: link.name });
        resolve({ kind: 'missing', link, error });
      });
      patience.signal.addEventListener('abort', stop);
    });
    try {
      return await Promise.race([this.#page(turn, link, { rest, signal: patience.signal }), late]);
    } catch (thrown) {
      const error = toMeshError(thrown, link.name);
      if (error.reason === 'invalid_params') throw error;
      return { kind: 'missing', link, error };
    } finally {
      patience.abort();
    }
  }

  async #page(turn: Turn, link: BackendLink, wanted: WantedPage): Promise<Reading> {
    const { facts } = await connect(turn.session, link, turn.caller);
    if (facts.capabilities['tasks']?.list === undefined) return { kind: 'none' };
    const release = await this.#options.admit(turn, { backend: link.name, kind: 'task' });
    try {
      return await this.#askForPage(turn, link, wanted);
    } finally {
      release?.();
    }
  }

  async #askForPage(
    { session, caller, trace }: Turn,
    link: BackendLink,
    { rest, signal }: WantedPage,
  ): Promise<Reading> {
    let at: BackendSession | undefined;
    const cursor = rest === undefined || rest.value.equals(NULL) ? undefined : rest.value;
    const params = cursor === undefined ? {} : { params: [CURSOR, cursor, CLOSE] };
    const { bytes, scanned } = await callBackend(this.#options.calls, {
      session,
      link,
      caller,
      method: 'tasks/list',
      signal,
      trace,
      build: (id) => request({ id: Buffer.from(String(id)), method: 'tasks/list', ...params }),
      onSend(sent) {
        at = sent.backend;
        if (rest?.isOf(at) === false) throw badCursor();
      },
      onMessage: () => {},
    });
    if (scanned.result === undefined || at === undefined)
      return cursor === undefined ? { kind: 'none' } : Promise.reject(badCursor());
    return { kind: 'page', link, at, page: readTaskPage(slice(bytes, scanned.result)) };
  }
}

/** Where a page begins, and how long anybody waits for it. */
interface WantedPage {
  readonly rest: OpenedName | undefined;
  readonly signal: AbortSignal;
}

/** What came of asking one backend for its tasks. */
type Reading =
  | { readonly kind: 'none' }
  | { readonly kind: 'missing'; readonly link: BackendLink; readonly error: MeshError }
  | {
      readonly kind: 'page';
      readonly link: BackendLink;
      readonly at: BackendSession;
      readonly page: TaskPage;
    };

const CURSOR = Buffer.from('{"cursor":');
const CLOSE = Buffer.from('}');
const COMMA = Buffer.from(',');

function merge(
  { session }: Turn,
  readings: readonly Reading[],
): { tasks: Uint8Array[]; next: string | undefined } {
  const tasks: Uint8Array[] = [];
  let bytes = 0;
  for (const reading of readings) {
    if (reading.kind !== 'page') continue;
    const { link, at, page } = reading;
    const party = { session, backend: link.name, at };
    if (bytes > PAGE_BYTES) return { tasks, next: nameFor('rest of tasks', party, NULL) };
    const naming = namesForClient(party);
    for (const { bytes: task, id, taskId } of page.tasks) {
      const name = isOwnTask(session, link, taskId) ? naming(taskId) : undefined;
      if (name === undefined) continue;
      if (tasks.length > 0) tasks.push(COMMA);
      tasks.push(...splice(task, { start: 0, end: task.length }, [{ span: id, bytes: name }]));
      bytes += task.length;
    }
    const { nextCursor } = page;
    if (nextCursor !== undefined) return { tasks, next: nameFor('rest of tasks', party, nextCursor) };
  }
  return { tasks, next: undefined };
}

function missingFrom(readings: readonly Reading[]): string | undefined {
  const missing: Record<string, Outage> = {};
  for (const reading of readings) {
    if (reading.kind !== 'missing') continue;
    const { reason, message } = reading.error;
    missing[reading.link.name] = { status: 'unavailable', reason, message };
  }
  return Object.keys(missing).length === 0 ? undefined : JSON.stringify(missing);
}

function restOf({ session, message: { bytes, scanned } }: Turn): OpenedName | undefined {
  if (scanned.cursor === undefined) return undefined;
  const cursor = decodeString(bytes, scanned.cursor);
  const rest = cursor === '' ? undefined : openName('rest of tasks', session, cursor);
  if (rest === undefined && cursor !== '') throw badCursor();
  return rest;
}

function badCursor(): MeshError {
  return new MeshError(
    'invalid_params',
    'The cursor is not one of this list, or its backend was started afresh.',
  );
}

/** A backend session made afresh holds no task of the one before; one with the same id there is another task. */
function requireHolder(task: OpenedName, at: BackendSession): void {
  if (task.isOf(at)) return;
  const { backend } = task;
  throw new MeshError(
    'backend_restarted',
    `The task is lost: the backend "${backend}" was started afresh. What it still has is in tasks/list.`,
    { backend },
  );
}

interface Asked {
  readonly turn: Turn;
  readonly call: RunningCall;
  readonly task: OpenedName;
  readonly visible: string;
}

/** The task that was asked for keeps the id by which it was asked for, whatever key seals now. */
function asAsked({ turn: { session }, call: { sent }, task, visible }: Asked): TaskNaming {
  const names =
    sent === undefined ? undefined : namesForClient({ session, backend: task.backend, at: sent.backend });
  return (taskId) => (encodeString(taskId).equals(task.value) ? encodeString(visible) : names?.(taskId));
}

async function open(...[session, link, caller]: Parameters<typeof connect>): Promise<BackendSession> {
  try {
    return await connect(session, link, caller);
  } catch (thrown) {
    throw toMeshError(thrown, link.name);
  }
}
