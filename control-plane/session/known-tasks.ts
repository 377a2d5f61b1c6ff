import { createHash } from 'node:crypto';
import type { BackendLink } from './backend-link.ts';
import type { LiveSession } from './live-session.ts';

/** Of one session; older ones can still be asked for by their ids. */
const MOST_KNOWN = 128;
/** Of a hash, in base64url characters: 72 bits. */
const CHARS = 12;

/**
 * Keeps with the session that it made this task, where the backend cannot tell: one
 * that sees all callers under the same credential lists the tasks of all of them.
 * Never rejects; what could not be stored is missing from lists on another replica.
 */
export async function noteTask(session: LiveSession, backend: string, taskId: string): Promise<void> {
  if (session.links.get(backend)?.sharesCredential !== true) return;
  const known = session.body.tasks ?? [];
  session.update({ tasks: [...known, digest(backend, taskId)].slice(-MOST_KNOWN) });
  await session.saved().catch(() => undefined);
}

/** Whether a task that a backend tells of is one of this caller's. */
export function isOwnTask(session: LiveSession, link: BackendLink, taskId: string): boolean {
  if (!link.sharesCredential) return true;
  return session.body.tasks?.includes(digest(link.name, taskId)) ?? false;
}

function digest(backend: string, taskId: string): string {
  return createHash('sha256').update(`${backend}\0${taskId}`).digest('base64url').slice(0, CHARS);
}
