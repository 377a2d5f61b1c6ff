import { forward } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { Notice } from './backend-notices.ts';
import { isOwnTask } from './known-tasks.ts';
import type { LiveSession } from './live-session.ts';
import { namesForClient, type TaskNaming } from './related-tasks.ts';
import { withoutReserved } from './reserved-meta.ts';
import { openName } from './task-names.ts';

/** Tasks of a session whose progress is watched at a time. */
const MOST_WATCHED = 128;

/** What backends say of tasks while they run, which may come on any stream (MCP 2025-11-25, Tasks). */
export class TaskNotices {
  /** The last progress by the token of the client, the task that reported longest ago first. */
  readonly #progress = new WeakMap<LiveSession, Map<string, number>>();

  /** `notifications/tasks/status` under the id that the client knows; undefined where the task is not the client's. */
  status(notice: Notice): readonly Uint8Array[] | undefined {
    const { session, link, message } = notice;
    const { taskId: span } = message.scanned;
    if (span === undefined || message.bytes[span.start] !== QUOTE) return undefined;
    const taskId = decodeString(message.bytes, span);
    const name = isOwnTask(session, link, taskId) ? namingOf(notice)(taskId) : undefined;
    if (name === undefined) return undefined;
    return forward(message, {
      splices: [{ span, bytes: name }, ...withoutReserved(message, namingOf(notice))],
    });
  }

  /** Progress of a task under the client's own token; undefined where it is none: of no task, or not more than before. */
  progress(notice: Notice, value: number): readonly Uint8Array[] | undefined {
    const { session, link, backend, message } = notice;
    const { progressToken: span } = message.scanned;
    const token = span === undefined ? undefined : tokenOf(notice, message);
    if (span === undefined || token === undefined) return undefined;
    if (token.backend !== link.name || !token.isOf(backend)) return undefined;
    if (!this.#isMore(session, token.value.toString('utf8'), value)) return undefined;
    return forward(message, {
      splices: [{ span, bytes: token.value }, ...withoutReserved(message, namingOf(notice))],
    });
  }

  #isMore(session: LiveSession, token: string, value: number): boolean {
    const watched = this.#progress.get(session) ?? new Map<string, number>();
    this.#progress.set(session, watched);
    const last = watched.get(token) ?? Number.NEGATIVE_INFINITY;
    if (!(value > last)) return false;
    watched.delete(token);
    watched.set(token, value);
    const [oldest] = watched.keys();
    if (watched.size > MOST_WATCHED && oldest !== undefined) watched.delete(oldest);
    return true;
  }
}

/** The tasks in a message of a backend, as the client knows them. */
export function namingOf({
  session,
  link,
  backend,
}: Pick<Notice, 'session' | 'link' | 'backend'>): TaskNaming {
  return namesForClient({ session, backend: link.name, at: backend });
}

const QUOTE = 0x22;

function tokenOf({ session }: Notice, { bytes, scanned: { progressToken: span } }: Message) {
  if (span === undefined || slice(bytes, span)[0] !== QUOTE) return undefined;
  return openName('progress for the client', session, decodeString(bytes, span));
}
