import { MeshError } from '../../shared/errors.ts';
import type { BackendFault } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';

export interface StepUp {
  readonly backend: string;
  readonly caller: Caller;
  /** Every scope that the mesh's own configuration names: those that its callers can come back with. */
  readonly grantable: () => ReadonlySet<string>;
}

/**
 * A backend lacks scopes in the credential it was shown: our own challenge for
 * them, where the caller does not have them yet and can get all of them from its
 * own issuer. Nothing else of the backend's challenge is used, and a scope that
 * the mesh does not know is not repeated.
 */
export function stepUp(fault: BackendFault, { backend, caller, grantable }: StepUp): MeshError | undefined {
  if (fault.kind !== 'forbidden' || caller.kind !== 'identified') return undefined;
  const missing = fault.scopes.filter((scope) => !caller.scopes.includes(scope));
  const known = missing.length === 0 ? undefined : grantable();
  if (known === undefined || !missing.every((scope) => known.has(scope))) return undefined;
  return new MeshError('insufficient_scope', `The backend "${backend}" needs more scopes for this.`, {
    backend,
    cause: fault,
    // What the caller has already stays part of what it asks for.
    scope: [...new Set([...caller.scopes, ...missing])].join(' '),
  });
}
