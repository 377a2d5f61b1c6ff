import { MeshError } from '../../shared/errors.ts';
import { toMeshError } from './backend-call.ts';
import type { LiveSession } from './live-session.ts';

/** The `_meta` key under which results say which backends are missing, and why. */
export const BACKENDS_META = 'dev.outrigger/backends';
/** The `_meta` key that says that a backend's session was made afresh: the state it held is gone. */
export const RESTARTED_META = 'dev.outrigger/backendRestarted';

export interface Outage {
  readonly status: 'connecting' | 'unavailable';
  readonly reason?: string;
  readonly message?: string;
}

/** The desired backends that a session does not have now, by name. Plain words, nothing of a credential. */
export function outages(session: LiveSession): Readonly<Record<string, Outage>> {
  const missing: Record<string, Outage> = {};
  for (const name of session.body.desired) {
    const link = session.links.get(name);
    if (link?.session !== undefined) continue;
    const fault = link?.outage?.fault;
    const error =
      link === undefined
        ? new MeshError('backend_unavailable', `The backend "${name}" is not configured.`)
        : fault && toMeshError(fault.cause instanceof MeshError ? fault.cause : fault, name);
    missing[name] =
      error === undefined
        ? { status: 'connecting' }
        : { status: 'unavailable', reason: error.reason, message: error.message };
  }
  return missing;
}
