import { ConfigError } from '../shared/config/parse.ts';
import {
  type CedarPolicies,
  loadPolicies,
  type PolicyError,
  type PolicyOptions,
  type PolicySettings,
} from './identity/cedar-engine.ts';
import { PolicyFault } from './identity/cedar-policy-set.ts';
import { ScopeHierarchy } from './identity/scopes.ts';
import type { AdmissionRules } from './session/admission.ts';
import type { Settings } from './settings.ts';
import { DefinitionPins } from './virtual-server/pins.ts';

/**
 * What decides who may see and use what, as configuration has it. Throws
 * `ConfigError` where the policies are not valid.
 */
export function admissionRules(
  { identity, admission }: Pick<Settings, 'identity' | 'admission'>,
  onPolicyError: (error: PolicyError) => void,
): AdmissionRules & { readonly policies: CedarPolicies | undefined } {
  const { issuers, scopeImplies } = identity;
  const { pinning } = admission;
  const scopes = new ScopeHierarchy(scopeImplies);
  const pins = pinning === undefined ? undefined : new DefinitionPins(pinning);
  const policies =
    admission.policies.length === 0 ? undefined : readPolicies(admission, { scopes, onError: onPolicyError });
  return {
    scopes,
    issuerScopes: new Map(issuers.map(({ issuer, requiredScopes }) => [issuer, requiredScopes])),
    backendScopes: admission.backends,
    // A challenge leads nowhere where nobody can sign in.
    onMissingScope: issuers.length === 0 ? 'hide' : admission.onMissingScope,
    policies,
    pins,
  };
}

function readPolicies(settings: PolicySettings, options: PolicyOptions): CedarPolicies {
  try {
    return loadPolicies(settings, options);
  } catch (thrown) {
    throw thrown instanceof PolicyFault ? new ConfigError([`admission: ${thrown.message}`]) : thrown;
  }
}
