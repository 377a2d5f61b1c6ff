import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { isObject, readFields } from '../../shared/json-rpc/object.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { Caller } from '../identity/caller.ts';
import type { Action, Policies, PolicyResource, Question } from '../identity/policies.ts';
import { type Principal, principalOf } from '../identity/principal.ts';
import type { ScopeHierarchy } from '../identity/scopes.ts';
import type { BackendScopeSettings } from '../settings.ts';
import { canonicalUri } from '../virtual-server/canonical-uri.ts';
import type { DefinitionPins } from '../virtual-server/pins.ts';
import { LIST_OF, type RouteKind } from '../virtual-server/routes.ts';

/** What decides, as configuration has it. */
export interface AdmissionRules {
  readonly scopes: ScopeHierarchy;
  /** What each issuer's tokens need for anything. */
  readonly issuerScopes: ReadonlyMap<string, readonly string[]>;
  readonly backendScopes: ReadonlyMap<string, BackendScopeSettings>;
  /** What a caller sees that lacks a scope: the item, and a challenge when it is used; or nothing. */
  readonly onMissingScope: 'challenge' | 'hide';
  readonly policies: Policies | undefined;
  /** What definitions were approved; undefined: any will do. */
  readonly pins: DefinitionPins | undefined;
}

/** Why somebody was not admitted. */
export interface Refusal {
  readonly caller: Caller;
  readonly use: Use;
  readonly item: PolicyResource | Reached;
  /** `quarantined`: its definition is none that was approved. */
  readonly why: 'denied' | 'insufficient_scope' | 'quarantined';
}

/** Something at a backend that is no item of its lists: a task there, or a method that the mesh does not know. */
export interface Reached {
  readonly backend: string;
  readonly kind: 'task' | 'method';
  /** Absent for a task: to some backends its id is what opens it. */
  readonly name?: string;
  readonly visible?: undefined;
}

/** Why an item is not shown, or (`scope_missing`) is shown and cannot be used. */
export interface Objection {
  readonly why: 'denied' | 'hidden' | 'scope_missing';
  readonly scopes: readonly string[];
}

export interface AdmissionOptions {
  readonly rules: AdmissionRules;
  readonly onRefused: (refusal: Refusal) => void;
}

/** What a request of a client does with what it names. */
export interface Use {
  readonly action: Action;
  readonly message: Message;
  /** Where it was asked, for the audit; absent where nobody did. */
  readonly asked?: Asked | undefined;
}

export interface Asked {
  readonly session: { readonly adminName: string };
  /** W3C Trace Context, of the request. */
  readonly trace: Readonly<Record<string, string>> | undefined;
}

const USES: Readonly<Record<string, Action>> = {
  'tools/call': 'call',
  'prompts/get': 'get',
  'resources/read': 'read',
  'resources/subscribe': 'subscribe',
  'resources/unsubscribe': 'subscribe',
  'completion/complete': 'complete',
};

type Verdict = ReturnType<Policies['decide']>;

/** Bounds on what is kept of decisions: contexts, and uses of items by each. */
const MOST_CONTEXTS = 2_000;
const MOST_VERDICTS = 200;

/** What items of a kind are there for. */
export const PURPOSE: Readonly<Record<RouteKind, Action>> = {
  tool: 'call',
  prompt: 'get',
  resource: 'read',
  template: 'read',
};

/** What the request does with what it names. */
export function useOf(message: Message, asked?: Asked): Use {
  return { action: USES[message.scanned.method ?? ''] ?? 'call', message, asked };
}

/**
 * Whether a caller may see an item, and use it: one decision for lists and for
 * calls. What a caller may not see it cannot use, and it looks to it like what
 * does not exist; what it may in no case use it does not see.
 *
 * Policies come first, because a challenge would tell of an item. A caller that
 * lacks only scopes is told all that the operation needs (RFC 6750 §3.1), so that
 * it can come back with them.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #listeners = new Set<() => void>();
  #rules: AdmissionRules;
  /** Whether the rules ask for scopes at all. */
  #asksForScopes: boolean;
  #revision = 0;
  /** What policies say of an item to an authorization context; the context longest unused first. */
  #verdicts = new Map<string, Map<string, Verdict>>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#rules = options.rules;
    this.#asksForScopes = asksForScopes(options.rules);
  }

  /** Grows with every change of the rules. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether some items may be hidden from some callers. */
  get hides(): boolean {
    const { policies, onMissingScope, pins } = this.#rules;
    if (policies !== undefined || pins?.holdsBack === true) return true;
    return onMissingScope === 'hide' && this.#asksForScopes;
  }

  /** Whether some uses may be refused. */
  get guards(): boolean {
    const { policies, pins } = this.#rules;
    return policies !== undefined || pins?.holdsBack === true || this.#asksForScopes;
  }

  /** Whether a decision may depend on what a backend says of an item. */
  get readsDefinitions(): boolean {
    return this.#rules.policies?.readsDefinitions ?? false;
  }

  /** The approved definitions, where there are any to compare with. */
  get pins(): DefinitionPins | undefined {
    return this.#rules.pins;
  }

  /** Whether nothing of such a list is used but under a definition that its backend shows now, and that was approved. */
  needsCurrent(backend: string, kind: RouteKind): boolean {
    return this.#rules.pins?.mayHoldBack(backend, LIST_OF[kind]) === true;
  }

  /** Whether the definition of an item is one that may be seen and used. */
  approves(item: PolicyResource): boolean {
    return !this.#heldBack(item);
  }

  /** Other rules from now on; whoever keeps what was decided hears of it. */
  replace(rules: AdmissionRules): void {
    this.#rules = rules;
    this.#asksForScopes = asksForScopes(rules);
    this.#revision += 1;
    this.#verdicts = new Map();
    for (const listener of this.#listeners) listener();
  }

  /** Calls after each change of the rules, until what is returned is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether the item stands in the lists of the caller. */
  shows(principal: Principal, item: PolicyResource): boolean {
    return !this.#heldBack(item) && this.#seen(principal, item) && this.#notHidden(principal, item);
  }

  /** What speaks against an item for a caller, and the scopes that using it needs; undefined where neither policies nor scopes do. For admins. */
  objection(principal: Principal, item: PolicyResource): Objection | undefined {
    if (!this.#seen(principal, item)) return { why: 'denied', scopes: NOTHING };
    const scopes = this.#needed(principal, item);
    if (this.#covers(principal, scopes)) return undefined;
    return { why: this.#notHidden(principal, item) ? 'scope_missing' : 'hidden', scopes };
  }

  /**
   * Whether the request may use the item; false: it is to look as if it did not exist.
   * Throws MeshError `insufficient_scope`, or `unauthenticated` for a caller without
   * a token, with all scopes that the operation needs.
   */
  admits(caller: Caller, use: Use, item: PolicyResource): boolean {
    if (this.#heldBack(item)) return false;
    const principal = principalOf(caller);
    if (!this.#notHidden(principal, item) || !this.#permits(principal, use, item)) return false;
    const needed = this.#needed(principal, item);
    if (this.#covers(principal, needed)) return true;
    this.#options.onRefused({ caller, use, item, why: 'insufficient_scope' });
    throw missingScope(caller, needed);
  }

  /** Whether a use that was admitted is so whatever the request says besides what it names. */
  always(caller: Caller, { action }: Use, item: PolicyResource): boolean {
    const { policies } = this.#rules;
    if (policies === undefined) return true;
    return this.#verdict(policies, { principal: principalOf(caller), action, resource: item }) === 'allow';
  }

  /** Something that was asked for is not admitted, and is answered as if it did not exist. */
  denied(caller: Caller, use: Use, item: PolicyResource): void {
    this.#options.onRefused({ caller, use, item, why: this.#heldBack(item) ? 'quarantined' : 'denied' });
  }

  /**
   * Whether a method that the mesh does not know may go to a backend: policies have
   * no word for it, so not where there are any. Throws as `admits` does.
   */
  admitsUnknown(caller: Caller, use: Use, wanted: Reached): boolean {
    if (this.#rules.policies === undefined) {
      this.requireReach(caller, use, wanted);
      return true;
    }
    this.#options.onRefused({ caller, use, item: wanted, why: 'denied' });
    return false;
  }

  /** Whether the caller has the scopes that everything of a backend needs. */
  reaches(caller: Caller, backend: string): boolean {
    return this.#covers(principalOf(caller), this.#neededOfAll(caller, backend));
  }

  /** Throws as `admits` does for a caller that lacks one of them. */
  requireReach(caller: Caller, use: Use, wanted: Reached): void {
    if (this.reaches(caller, wanted.backend)) return;
    this.#options.onRefused({ caller, use, item: wanted, why: 'insufficient_scope' });
    throw missingScope(caller, this.#neededOfAll(caller, wanted.backend));
  }

  /** Whether its definition is one that nobody may see or use. */
  #heldBack({ backend, kind, name, definition }: PolicyResource): boolean {
    const { pins } = this.#rules;
    if (pins === undefined || definition === undefined) return false;
    return pins.standing({ backend, kind: LIST_OF[kind], name }, definition)?.state === 'quarantined';
  }

  #neededOfAll(caller: Caller, backend: string): readonly string[] {
    return this.#of(principalOf(caller), this.#rules.backendScopes.get(backend)?.all ?? []);
  }

  #notHidden(principal: Principal, item: PolicyResource): boolean {
    const { onMissingScope } = this.#rules;
    return onMissingScope === 'challenge' || this.#covers(principal, this.#needed(principal, item));
  }

  #seen(principal: Principal, resource: PolicyResource): boolean {
    const { policies } = this.#rules;
    if (policies === undefined) return true;
    return (
      decide(policies, { principal, action: 'list', resource }) === 'allow' &&
      decide(policies, { principal, action: PURPOSE[resource.kind], resource }) !== 'deny'
    );
  }

  #permits(principal: Principal, { action, message }: Use, resource: PolicyResource): boolean {
    const { policies } = this.#rules;
    if (policies === undefined) return true;
    const verdict = this.#verdict(policies, { principal, action, resource });
    if (verdict !== 'depends') return verdict === 'allow';
    const args = argumentsOf(message);
    return args !== 'unreadable' && policies.decideWith({ principal, action, resource }, args) === 'allow';
  }

  /** Kept for an authorization context and an item, as its backend defines it now. */
  #verdict(policies: Policies, question: Question): Verdict {
    const { principal, action, resource } = question;
    const known = this.#verdictsOf(principal.contextDigest);
    const { kind, backend, name, visible, definition } = resource;
    const key = `${action} ${kind} ${backend} ${definition?.hash ?? ''} ${visible.length} ${visible} ${name}`;
    const kept = known.get(key);
    if (kept !== undefined) return kept;
    const verdict = this.#seen(principal, resource) ? decide(policies, question) : 'deny';
    if (known.size >= MOST_VERDICTS) known.clear();
    known.set(key, verdict);
    return verdict;
  }

  #verdictsOf(context: string): Map<string, Verdict> {
    const known = this.#verdicts.get(context) ?? new Map<string, Verdict>();
    if (this.#verdicts.size > 1) this.#verdicts.delete(context);
    this.#verdicts.set(context, known);
    const [oldest] = this.#verdicts.keys();
    if (this.#verdicts.size > MOST_CONTEXTS && oldest !== undefined) this.#verdicts.delete(oldest);
    return known;
  }

  #needed(principal: Principal, { kind, backend, name }: PolicyResource): readonly string[] {
    const scopes = this.#rules.backendScopes.get(backend);
    if (scopes === undefined) return NOTHING;
    const own = kind === 'tool' ? scopes.tools.get(name) : undefined;
    if (own === undefined && scopes.all.length === 0) return NOTHING;
    return this.#of(principal, [...scopes.all, ...(own ?? [])]);
  }

  /** With those that the caller's issuer needs for anything, so that a token with all of them will do. */
  #of(principal: Principal, scopes: readonly string[]): readonly string[] {
    if (scopes.length === 0 || principal.kind === 'anonymous') return scopes;
    return [...new Set([...(this.#rules.issuerScopes.get(principal.binding.issuer) ?? []), ...scopes])];
  }

  #covers(principal: Principal, needed: readonly string[]): boolean {
    if (needed.length === 0) return true;
    return principal.kind === 'identified' && this.#rules.scopes.cover(principal.scopes, needed);
  }
}

const NOTHING: readonly string[] = [];

function asksForScopes({ backendScopes }: AdmissionRules): boolean {
  return [...backendScopes.values()].some(({ all, tools }) => all.length > 0 || tools.size > 0);
}

const ARGUMENTS = fields(['arguments']);

/** A URI is decided about as it is written, and as its server may take it. */
function decide(policies: Policies, question: Question): Verdict {
  const { resource } = question;
  const canonical = resource.kind === 'resource' ? canonicalUri(resource.name) : resource.name;
  if (canonical === undefined) return 'deny';
  const verdict = policies.decide(question);
  if (canonical === resource.name || verdict === 'deny') return verdict;
  const other = policies.decide({ ...question, resource: { ...resource, name: canonical } });
  return other === 'allow' ? verdict : other;
}

function missingScope({ kind }: Caller, needed: readonly string[]): MeshError {
  const scope = needed.join(' ');
  return kind === 'anonymous'
    ? new MeshError('unauthenticated', 'An access token is required for this.', { scope })
    : new MeshError('insufficient_scope', 'The access token lacks a scope that this operation needs.', {
        scope,
      });
}

/** The raw arguments of a call; what another reader could take for something else is unreadable. */
function argumentsOf({ bytes, scanned: { params } }: Message): Buffer | undefined | 'unreadable' {
  if (params === undefined || !isObject(bytes, params)) return undefined;
  try {
    const [span] = readFields(bytes, params, ARGUMENTS);
    return span === undefined ? undefined : slice(bytes, span);
  } catch (thrown) {
    if (thrown instanceof JsonRpcFault) return 'unreadable';
    throw thrown;
  }
}
