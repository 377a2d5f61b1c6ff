import { MeshError } from '../../shared/errors.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import { identified } from './refusals.ts';
import type { Credential, CredentialStrategy } from './strategy.ts';

/**
 * The caller's own token, handed on. The MCP authorization specification forbids
 * it ("Token Passthrough"); it is here for backends that share the mesh's audience
 * and know no exchange, and only a token that names the backend is handed on.
 */
export function createPassthroughStrategy({ audience }: { readonly audience: string }): CredentialStrategy {
  const expiries = new WeakMap<object, number>();
  /** One object for each identity, so that nothing is made for a call. */
  const credentials = new WeakMap<CallerIdentity, Credential>();
  return {
    name: 'passthrough',
    obtain({ caller, backend }) {
      const identity = identified(caller, backend);
      if (identity.boundTo !== undefined) throw boundToItsKey(backend);
      if (!identity.audience.includes(audience)) throw notMeantFor(backend);
      const known = credentials.get(identity);
      if (known !== undefined) return known;
      const credential = Object.freeze({ authorization: `Bearer ${identity.token}` });
      credentials.set(identity, credential);
      expiries.set(credential, identity.expiresAt);
      return credential;
    },
    expiresAt: (credential) => expiries.get(credential),
  };
}

/** Only its holder's key makes it good (RFC 9449); an exchange gives the backend a token of its own. */
function boundToItsKey(backend: string): MeshError {
  const text = `The token of this caller is bound to a key and cannot be handed on to the backend "${backend}", which would need an exchanged one.`;
  return new MeshError('backend_unauthorized', text, { backend });
}

function notMeantFor(backend: string): MeshError {
  const text = `The token of this caller is not meant for the backend "${backend}".`;
  return new MeshError('audience_not_allowed', text, { backend });
}
