import { ConfigError } from '../shared/config/parse.ts';
import { MeshError } from '../shared/errors.ts';
import { scanMessage } from '../shared/json-rpc/scan.ts';
import { admissionRules } from './admission-rules.ts';
import type { Caller } from './identity/caller.ts';
import type { Explanation } from './identity/cedar-engine.ts';
import { makeAnonymous, makeCaller } from './identity/make-caller.ts';
import type { Action, PolicyResource } from './identity/policies.ts';
import { principalOf } from './identity/principal.ts';
import { TokenFault } from './identity/refusal.ts';
import { Admission, PURPOSE } from './session/admission.ts';
import type { Settings } from './settings.ts';

/** A question to the configuration: may this caller do this with that? */
export interface PolicyCheck {
  readonly settings: Settings;
  /** The claims of a token, believed as they are; undefined: a caller without a token. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly action: Action;
  readonly kind: PolicyResource['kind'];
  readonly backend: string;
  /** The backend's own name or URI. */
  readonly name: string;
  /** Under which the client knows it; the backend's own where undefined. */
  readonly visible: string | undefined;
  /** Raw JSON. */
  readonly annotations: string | undefined;
  readonly arguments: string | undefined;
}

export interface CheckResult {
  readonly decision: 'allow' | 'deny';
  /** The scopes that the operation needs, where the caller lacks some of them. */
  readonly needs: readonly string[];
  /** What policies say, step by step; empty without policies. */
  readonly steps: readonly Step[];
}

export interface Step extends Omit<Explanation, 'decision'> {
  readonly action: Action;
  /** `depends`: on arguments, which are not part of the question. */
  readonly decision: Explanation['decision'] | 'depends';
}

/** Throws `ConfigError` where the policies are not valid, as a replica would at its start. */
export function checkPolicies(settings: Settings): void {
  admissionRules(settings, () => {});
}

/** Decides as a replica would. Throws `ConfigError` for a question that makes no sense. */
export function checkPolicy(check: PolicyCheck): CheckResult {
  const rules = admissionRules(check.settings, () => {});
  const admission = new Admission({ rules, onRefused: () => {} });
  const caller = callerOf(check);
  const principal = principalOf(caller);
  const resource = resourceOf(check);
  const { policies } = rules;
  const args = check.arguments === undefined ? undefined : Buffer.from(check.arguments);
  const actions = new Set<Action>(['list', PURPOSE[check.kind], check.action]);
  const steps = [...actions].flatMap((action): Step[] => {
    if (policies === undefined) return [];
    const question = { principal, action, resource };
    const isAsked = action === check.action;
    if (!isAsked && policies.decide(question) === 'depends')
      return [{ action, decision: 'depends', policies: [], errors: [] }];
    return [{ action, ...policies.explain(question, isAsked ? args : undefined) }];
  });
  try {
    const { action } = check;
    const admitted =
      action === 'list'
        ? admission.shows(principal, resource)
        : admission.admits(caller, { action, message: messageOf(check) }, resource);
    return { decision: admitted ? 'allow' : 'deny', needs: [], steps };
  } catch (thrown) {
    if (!(thrown instanceof MeshError) || thrown.scope === undefined) throw thrown;
    return { decision: 'deny', needs: thrown.scope.split(' '), steps };
  }
}

/** For people: the decision, and a line for each step. */
export function renderCheck({ decision, needs, steps }: CheckResult): string {
  const lines = steps.flatMap(({ action, decision: said, policies, errors }) => [
    `  ${action}: ${said}${why(said, policies)}`,
    ...errors.map(({ policy, message }) => `    ${policy ?? 'engine'}: ${message}`),
  ]);
  const scopes = needs.length === 0 ? [] : [`  scopes: needs ${needs.join(' ')}`];
  const none = steps.length === 0 ? ['  no policies are configured'] : [];
  return [decision, ...lines, ...none, ...scopes].join('\n');
}

function why(said: Step['decision'], policies: readonly string[]): string {
  if (said === 'depends') return ' on the arguments';
  return policies.length === 0 ? ', no policy permits it' : `, by ${policies.join(', ')}`;
}

function callerOf({ claims, settings }: PolicyCheck): Caller {
  if (claims === undefined) return makeAnonymous('check');
  const { issuers } = settings.identity;
  const [only] = issuers;
  const issuer =
    claims['iss'] === undefined && issuers.length === 1
      ? only
      : issuers.find((each) => each.issuer === claims['iss']);
  if (issuer === undefined) throw new ConfigError(['claims: iss is none of the configured issuers']);
  try {
    return makeCaller('', { ...claims, iss: issuer.issuer }, issuer);
  } catch (thrown) {
    if (thrown instanceof TokenFault)
      throw new ConfigError([`claims: they make no complete identity (${thrown.message})`]);
    throw thrown;
  }
}

function resourceOf({
  settings,
  kind,
  backend,
  name,
  visible = name,
  annotations,
}: PolicyCheck): PolicyResource {
  if (!settings.backends.some((each) => each.name === backend)) {
    const known = settings.backends.map((each) => each.name).join(', ');
    throw new ConfigError([`backend: no such server; known here: ${known}`]);
  }
  const definition = annotations === undefined ? undefined : Buffer.from(`{"annotations":${annotations}}`);
  return { kind, backend, name, visible, definition: definition && { bytes: definition, hash: '' } };
}

function messageOf({ arguments: args = '{}' }: PolicyCheck) {
  const bytes = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":${args}}}`);
  return { bytes, scanned: scanMessage(bytes) };
}
