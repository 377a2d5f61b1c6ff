import { MeshError } from '../../shared/errors.ts';
import { type Splice, splice } from '../../shared/json-rpc/envelope.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { type TaskPlace, taskIdIn } from '../virtual-server/task-results.ts';
import type { BackendLink } from './backend-link.ts';
import type { LiveSession } from './live-session.ts';
import { namesForBackend } from './related-tasks.ts';
import { withoutReservedInResult } from './reserved-meta.ts';
import { type Keyed, nameFor, type OpenedName, openName, type Party } from './task-names.ts';

/** Tasks of one client that are remembered, so that what it says of them unasked finds its backend. */
const MOST_REMEMBERED = 1_000;
const QUOTE = 0x22;

/** What a request of a backend has to do with a task that the client holds, or will. */
export interface ClientTask {
  /** Where the answer will speak of the task; undefined where it will not. */
  readonly place: TaskPlace | undefined;
  readonly splices: readonly Splice[];
}

/**
 * A backend's request as the client is to see it (MCP 2025-11-25, Tasks): a backend knows
 * the client's tasks under ids that mean something from itself alone. Undefined: it asks
 * for a task that it has not.
 */
export function clientTaskOf(party: Party, { bytes, scanned }: Message): ClientTask | undefined {
  const { method = '', task, taskId: span } = scanned;
  if (!method.startsWith('tasks/')) return { place: task === undefined ? undefined : 'created', splices: [] };
  if (span === undefined || bytes[span.start] !== QUOTE) return undefined;
  const own = openName('task of the client', party.session, decodeString(bytes, span));
  if (own?.backend !== party.backend || !own.isOf(party.at)) return undefined;
  // A task's result is what its request would have got: an id in it is no task's.
  return { place: method === 'tasks/result' ? undefined : 'state', splices: [{ span, bytes: own.value }] };
}

/** The client's result, raw, with its tasks as the backend that asked knows them. */
export function resultForBackend(party: Party, result: Buffer, place: TaskPlace | undefined): Buffer {
  const naming = namesForBackend(party);
  const task = place === undefined ? undefined : readTaskId(result, place);
  const name = task === undefined ? undefined : naming(task.taskId);
  if (task !== undefined && place === 'created') remember(party, task.taskId);
  const renamed = task === undefined || name === undefined ? [] : [{ span: task.span, bytes: name }];
  const changes = [...withoutReservedInResult(result, naming), ...renamed];
  return changes.length === 0
    ? result
    : Buffer.concat(splice(result, { start: 0, end: result.length }, changes));
}

/** A result that names two tasks names none. */
function readTaskId(result: Buffer, place: TaskPlace): ReturnType<typeof taskIdIn> {
  try {
    return taskIdIn(result, place);
  } catch (thrown) {
    if (thrown instanceof MeshError) return undefined;
    throw thrown;
  }
}

/** The token under which the client reports progress of a task that it will hold: it outlives the request. */
export function taskProgressToken(party: Party, original: Uint8Array): string {
  return nameFor('progress for a backend', party, original);
}

/** Whose token the client reports progress under, and what that backend calls it. */
export function openTaskProgress(session: LiveSession, { bytes, scanned }: Message): OpenedName | undefined {
  const { progressToken: span } = scanned;
  if (span === undefined || bytes[span.start] !== QUOTE) return undefined;
  return openName('progress for a backend', session, decodeString(bytes, span));
}

/**
 * The backend for which the client made the task that a message is about, and how that
 * backend knows it. Only the replica that saw it made knows that: nobody may rely on
 * being told (MCP 2025-11-25, Task Notifications).
 */
export function clientTaskHolder(
  session: LiveSession,
  { bytes, scanned: { taskId: span } }: Message,
): { readonly link: BackendLink; readonly name: Uint8Array } | undefined {
  if (span === undefined || bytes[span.start] !== QUOTE) return undefined;
  const taskId = decodeString(bytes, span);
  const link = session.links.get(remembered.get(session)?.get(taskId) ?? '');
  const at = link?.session;
  if (link === undefined || at === undefined) return undefined;
  const name = namesForBackend({ session, backend: link.name, at })(taskId);
  return name === undefined ? undefined : { link, name };
}

const remembered = new WeakMap<Keyed, Map<string, string>>();

function remember({ session, backend }: Party, taskId: string): void {
  const tasks = remembered.get(session) ?? new Map<string, string>();
  remembered.set(session, tasks);
  tasks.delete(taskId);
  tasks.set(taskId, backend);
  const [oldest] = tasks.keys();
  if (tasks.size > MOST_REMEMBERED && oldest !== undefined) tasks.delete(oldest);
}
