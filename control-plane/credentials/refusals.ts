import { MeshError } from '../../shared/errors.ts';
import type { Caller, CallerIdentity } from '../identity/caller.ts';

/** The caller's complete identity, without which there is nothing to obtain a credential with. Throws `backend_unauthorized` for the anonymous one. */
export function identified(caller: Caller, backend: string): CallerIdentity {
  if (caller.kind === 'identified') return caller;
  throw new MeshError('backend_unauthorized', `The backend "${backend}" serves no anonymous callers.`, {
    backend,
  });
}

/** This caller cannot have a credential; asking again changes nothing. `cause` is for the log. */
export function refused(backend: string, cause: string): MeshError {
  const text = `No credential for the backend "${backend}" is given to this caller.`;
  return new MeshError('backend_unauthorized', text, { backend, cause: new Error(cause) });
}

/** Nobody can have one now, through no fault of the caller. */
export function unavailable(backend: string, cause: string, retryAfterMs = 1_000): MeshError {
  const text = `The provider of credentials for the backend "${backend}" cannot give one now.`;
  return new MeshError('credential_unavailable', text, { backend, retryAfterMs, cause: new Error(cause) });
}
