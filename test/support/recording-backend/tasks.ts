import type { Call } from './call.ts';

type Status = 'working' | 'completed' | 'cancelled';

interface Task {
  readonly taskId: string;
  status: Status;
  /** Calls of tasks/result that wait for its end. */
  readonly waiting: Call[];
}

const RELATED_TASK = 'io.modelcontextprotocol/related-task';

/**
 * The tasks of a recording backend, with ids that anybody could guess. It knows its
 * callers by nothing: whoever names a task has it, and a list is of all.
 */
export class Tasks {
  readonly #tasks = new Map<string, Task>();

  /** How many there ever were; the latest is `task-` and this. */
  get count(): number {
    return this.#tasks.size;
  }

  /** Answers a tools/call that asks to run as a task. */
  create(call: Call): void {
    const taskId = `task-${this.#tasks.size + 1}`;
    const task: Task = { taskId, status: 'working', waiting: [] };
    this.#tasks.set(taskId, task);
    const meta = { 'io.modelcontextprotocol/model-immediate-response': 'It runs.', odd: 1 };
    call.resultText(`{"task":${stateOf(task)},"_meta":${JSON.stringify(meta)}}`);
  }

  get(call: Call): void {
    const task = this.#named(call);
    if (task !== undefined) call.resultText(stateOf(task));
  }

  cancel(call: Call): void {
    const task = this.#named(call);
    if (task === undefined) return;
    if (task.status !== 'working') return call.error(-32602, `Cannot cancel: ${task.status}`);
    this.#end(task, 'cancelled');
    call.resultText(stateOf(task));
  }

  /** Answered when the task has ended. */
  result(call: Call): void {
    const task = this.#named(call);
    if (task === undefined) return;
    if (task.status === 'working') task.waiting.push(call);
    else answerResult(call, task);
  }

  list(call: Call, pageSize: number): void {
    const from = Number(call.message.params?.['cursor'] ?? 0);
    const all = [...this.#tasks.values()];
    const next = from + pageSize < all.length ? `,"nextCursor":"${from + pageSize}"` : '';
    call.resultText(`{"tasks":[${all.slice(from, from + pageSize).map(stateOf)}]${next}}`);
  }

  /** Ends a task, and answers who waits for it. */
  finish(taskId: string): void {
    const task = this.#tasks.get(taskId);
    if (task !== undefined) this.#end(task, 'completed');
  }

  #end(task: Task, status: Status): void {
    task.status = status;
    for (const call of task.waiting.splice(0)) answerResult(call, task);
  }

  #named(call: Call): Task | undefined {
    const task = this.#tasks.get(String(call.message.params?.['taskId']));
    if (task === undefined) call.error(-32602, 'Task not found');
    return task;
  }
}

function answerResult(call: Call, { taskId, status }: Task): void {
  const content = [{ type: 'text', text: `${taskId} ${status}` }];
  call.result({ content, _meta: { [RELATED_TASK]: { taskId } } });
}

/** With what only verbatim bytes keep. */
function stateOf({ taskId, status }: Task): string {
  const at = '2025-11-25T10:30:00Z';
  return `{"z":1.0,"taskId":"${taskId}","status":"${status}","createdAt":"${at}","lastUpdatedAt":"${at}","ttl":60000}`;
}
