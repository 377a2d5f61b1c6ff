import { ScopeHierarchy } from './identity/scopes.ts';
import type { AdmissionRules } from './session/admission.ts';
import type { Settings } from './settings.ts';

/** What decides who may see and use what, as configuration has it. */
export function admissionRules({ identity, admission }: Settings): AdmissionRules {
  const { issuers, scopeImplies } = identity;
  return {
    scopes: new ScopeHierarchy(scopeImplies),
    issuerScopes: new Map(issuers.map(({ issuer, requiredScopes }) => [issuer, requiredScopes])),
    backendScopes: admission.backends,
    // A challenge leads nowhere where nobody can sign in.
    onMissingScope: issuers.length === 0 ? 'hide' : admission.onMissingScope,
    policies: undefined,
  };
}
