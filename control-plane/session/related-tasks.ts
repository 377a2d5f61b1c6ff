import { encodeString } from '../../shared/json-rpc/envelope.ts';
import { nameFor, openName, type Party } from './task-names.ts';

/** Raw JSON for the task id of one side as the other knows it; undefined where it knows no such task. */
export type TaskNaming = (taskId: string) => Uint8Array | undefined;

/** Ids in what a backend says, for the client: its own tasks, and the client's that it was told of. */
export function namesForClient(party: Party): TaskNaming {
  return (taskId) => {
    const theirs = openName('task of the client', party.session, taskId);
    if (theirs?.backend === party.backend && theirs.isOf(party.at)) return theirs.value;
    return encodeString(nameFor('task of a backend', party, encodeString(taskId)));
  };
}

/** Ids in what the client says, for one backend: the backend's tasks, and the client's own. */
export function namesForBackend(party: Party): TaskNaming {
  return (taskId) => {
    const theirs = openName('task of a backend', party.session, taskId);
    if (theirs === undefined) return encodeString(nameFor('task of the client', party, encodeString(taskId)));
    return theirs.backend === party.backend && theirs.isOf(party.at) ? theirs.value : undefined;
  };
}
