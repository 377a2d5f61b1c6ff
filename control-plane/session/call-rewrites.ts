import { encodeString, type Splice } from '../../shared/json-rpc/envelope.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import { hasTasks } from '../../shared/protocol-versions.ts';
import { type TaskPlace, taskIdIn } from '../virtual-server/task-results.ts';
import type { Turn } from './client-requests.ts';
import type { LiveSession } from './live-session.ts';
import { namesForBackend, namesForClient, type TaskNaming } from './related-tasks.ts';
import { withoutReserved } from './reserved-meta.ts';
import type { RunningCall } from './running-call.ts';
import { nameFor } from './task-names.ts';

/** What changes in a request on its way to a backend, and of the names of tasks in its answer. */

export function rawNumber(id: number): Buffer {
  return Buffer.from(String(id), 'latin1');
}

/** Whether the call asks to run as a task (MCP 2025-11-25, Tasks). */
export function createsTask({ session, message: { scanned } }: Turn): boolean {
  const asks = scanned.method === 'tools/call' && scanned.task !== undefined;
  return asks && hasTasks(session.body.protocolVersion);
}

/**
 * What changes in the params of every request for a backend. Progress comes back under
 * the id that the call has there, so the token is that id; a task outlives its call, so
 * its token says itself what the client called it.
 */
export function passedOn(turn: Turn, call: RunningCall, backend: string): readonly Splice[] {
  const { session, message } = turn;
  const { sent } = call;
  if (sent === undefined) throw new Error('a request is built when it is sent');
  const party = { session, backend, at: sent.backend };
  const token =
    createsTask(turn) && call.progressToken !== undefined
      ? encodeString(nameFor('progress for the client', party, call.progressToken))
      : rawNumber(sent.id);
  return [...withToken(message, token), ...withoutReserved(message, namesForBackend(party))];
}

/** Under the token that its progress has at the backend, where the client asks for progress. */
export function withToken(
  { scanned: { progressToken: span } }: Message,
  token: Uint8Array,
): readonly Splice[] {
  return span === undefined ? [] : [{ span, bytes: token }];
}

/** The tasks in an answer of a backend, as the client knows them. */
export function namesFor(
  session: LiveSession,
  { sent }: RunningCall,
  backend: string,
): TaskNaming | undefined {
  return sent === undefined ? undefined : namesForClient({ session, backend, at: sent.backend });
}

/** The one task that an answer is about, under the client's name. */
export function taskRenamed(
  result: Buffer,
  place: TaskPlace | undefined,
  naming: TaskNaming | undefined,
): readonly Splice[] {
  const task = place === undefined ? undefined : taskIdIn(result, place);
  const name = task === undefined ? undefined : naming?.(task.taskId);
  return task === undefined || name === undefined ? [] : [{ span: task.span, bytes: name }];
}
