import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, isString, readElements, readFields } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { type Fields, fields } from '../../shared/json-rpc/walker.ts';

/** Where a result speaks of its task (MCP 2025-11-25, Tasks). */
export type TaskPlace =
  /** Below `task`: it has just been created. */
  | 'created'
  /** The result is the task's state. */
  | 'state';

/** The id of the task that a raw result speaks of; undefined where it speaks of none. */
export function taskIdIn(result: Buffer, place: TaskPlace): { span: Span; taskId: string } | undefined {
  const whole = { start: 0, end: result.length };
  const task = place === 'state' ? whole : read(result, whole, CREATED)[0];
  if (task === undefined || !isObject(result, task)) return undefined;
  const [span] = read(result, task, STATE);
  if (span === undefined || !isString(result, span)) return undefined;
  return { span, taskId: decodeString(result, span) };
}

export interface TaskPage {
  /** The tasks, each as raw JSON of its own. */
  readonly tasks: readonly { readonly bytes: Buffer; readonly id: Span; readonly taskId: string }[];
  /** The backend's cursor for the next page, raw. */
  readonly nextCursor: Buffer | undefined;
}

/** Reads a raw result of tasks/list. What names no task is left out. Throws MeshError `backend_protocol_error` where it is no list. */
export function readTaskPage(result: Buffer): TaskPage {
  const [list, cursor] = read(result, { start: 0, end: result.length }, PAGE);
  if (list === undefined || !isArray(result, list)) throw notTasks();
  const tasks = readElements(result, list).flatMap((span) => {
    const bytes = slice(result, span);
    const id = taskIdIn(bytes, 'state');
    return id === undefined ? [] : [{ bytes, id: id.span, taskId: id.taskId }];
  });
  const more = cursor !== undefined && isString(result, cursor);
  return { tasks, nextCursor: more ? slice(result, cursor) : undefined };
}

const CREATED = fields(['task']);
const STATE = fields(['taskId']);
const PAGE = fields(['tasks', 'nextCursor']);

function read(bytes: Buffer, object: Span, wanted: Fields): (Span | undefined)[] {
  if (!isObject(bytes, object)) return [];
  try {
    return readFields(bytes, object, wanted);
  } catch (thrown) {
    throw thrown instanceof JsonRpcFault ? notTasks(thrown) : thrown;
  }
}

function notTasks(cause?: unknown): MeshError {
  return new MeshError('backend_protocol_error', 'The backend answered about tasks with something else.', {
    cause,
  });
}
