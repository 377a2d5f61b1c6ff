import { createRequire } from 'node:module';
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicySource } from '../settings.ts';
import { actionUid, principalEntity, resourceEntity } from './cedar-entities.ts';
import { PolicyFault, type PolicySet, readPolicySet, sentences } from './cedar-policy-set.ts';
import { argumentRecord } from './cedar-values.ts';
import type { Policies, Question } from './policies.ts';
import type { Principal } from './principal.ts';
import type { ScopeHierarchy } from './scopes.ts';

export interface PolicySettings {
  readonly policies: readonly PolicySource[];
  readonly entities: readonly unknown[];
  readonly schema: PolicySource | undefined;
  readonly groupsClaim: string;
}

export interface PolicyOptions {
  readonly scopes: ScopeHierarchy;
  readonly onError: (error: PolicyError) => void;
}

/** A policy that could not be evaluated; where the engine itself failed, no policy is named. */
export interface PolicyError {
  readonly policy: string | undefined;
  readonly message: string;
  /** Whether this one is seen for the first time: the same fault may come with every question. */
  readonly first: boolean;
}

/** A decision with its reasons. */
export interface Explanation {
  readonly decision: 'allow' | 'deny';
  /** The policies that determined it; none where nothing permits. */
  readonly policies: readonly string[];
  readonly errors: readonly { readonly policy: string | undefined; readonly message: string }[];
}

/** Policies that can say why. */
export interface CedarPolicies extends Policies {
  /** Decides anew. `args` is the raw JSON object of a call; undefined where it has none. */
  explain(question: Question, args?: Buffer): Explanation;
}

/** More entities would be told to the engine with every question. */
const MOST_ENTITIES = 1_000;

/** What the engine keeps parsed stays with it under its name: names are used again. */
const unusedNames: string[] = [];
let names = 0;
const unused = new FinalizationRegistry<string>((name) => unusedNames.push(name));

/**
 * Loads the engine and reads the policies. Throws `PolicyFault` where they are not
 * valid; the engine itself is loaded once, and only where there are policies.
 */
export function loadPolicies(settings: PolicySettings, options: PolicyOptions): CedarPolicies {
  const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof Cedar;
  const set = readPolicySet(cedar, settings.policies);
  const entities = readEntities(cedar, settings.entities);
  if (settings.schema !== undefined) validate(cedar, set, settings.schema);
  return new Engine({ ...options, cedar, set, entities, groupsClaim: settings.groupsClaim });
}

interface EngineParts extends PolicyOptions {
  readonly cedar: typeof Cedar;
  readonly set: PolicySet;
  readonly entities: readonly Cedar.EntityJson[];
  readonly groupsClaim: string;
}

type Form = 'all' | 'plain' | 'reaching';

/** What one evaluation said. `errored`: policies that could not be evaluated. */
interface Evaluation {
  readonly decision: Cedar.Decision;
  readonly reasons: readonly string[];
  readonly errors: Explanation['errors'];
}

/**
 * Cedar, in this process. A policy that cannot be evaluated does not permit; one that
 * forbids and cannot be evaluated denies, where Cedar by itself would pass it over:
 * what was meant to be forbidden must not be allowed by a fault.
 */
class Engine implements CedarPolicies {
  readonly readsDefinitions: boolean;
  readonly #parts: EngineParts;
  readonly #name: string;
  readonly #principals = new WeakMap<Principal, Cedar.EntityJson>();
  readonly #reported = new Set<string>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#name = unusedNames.pop() ?? `outrigger-${++names}`;
    unused.register(this, this.#name);
    this.readsDefinitions = parts.set.mentions('annotations');
    for (const form of ['all', 'plain', 'reaching'] as const) {
      const answer = parts.cedar.preparsePolicySet(this.#idOf(form), {
        staticPolicies: { ...parts.set[form] },
      });
      if (answer.type === 'failure') throw new PolicyFault(sentences(answer.errors));
    }
  }

  decide(question: Question): 'allow' | 'deny' | 'depends' {
    const { action } = question;
    const hasArguments = action === 'call' || action === 'get';
    if (!hasArguments || Object.keys(this.#parts.set.reaching).length === 0) {
      return this.#judge(this.#evaluate('all', question, hasArguments ? NO_ARGUMENTS : {}));
    }
    const plain = this.#evaluate('plain', question, {});
    const forbidden = plain.decision === 'deny' && plain.reasons.length > 0;
    if (forbidden || this.#judge(plain) !== plain.decision) return 'deny';
    // Of what looks at the arguments, only what could turn the decision matters.
    const turning: Cedar.Effect = plain.decision === 'allow' ? 'forbid' : 'permit';
    const { reasons, errors } = this.#evaluate('reaching', question, {});
    const reached = [...reasons, ...errors.map(({ policy }) => policy)];
    const turns = reached.some((id) => id === undefined || this.#parts.set.effects.get(id) === turning);
    return turns ? 'depends' : plain.decision;
  }

  decideWith(question: Question, args: Buffer | undefined): 'allow' | 'deny' {
    const record = args === undefined ? {} : argumentRecord(args);
    if (record === undefined) return 'deny';
    return this.#judge(this.#evaluate('all', question, { arguments: record }));
  }

  explain(question: Question, args?: Buffer): Explanation {
    const hasArguments = question.action === 'call' || question.action === 'get';
    const record = args === undefined ? {} : argumentRecord(args);
    if (record === undefined) {
      const message = 'the arguments could be read in two ways, or are larger than policies look into';
      return { decision: 'deny', policies: [], errors: [{ policy: undefined, message }] };
    }
    const evaluation = this.#evaluate('all', question, hasArguments ? { arguments: record } : {});
    const { errors, reasons } = evaluation;
    const decision = this.#judge(evaluation);
    const blocking = errors.flatMap(({ policy }) =>
      this.#forbids(policy) && policy !== undefined ? [policy] : [],
    );
    return { decision, policies: decision === evaluation.decision ? reasons : blocking, errors };
  }

  #judge({ decision, errors }: Evaluation): 'allow' | 'deny' {
    return errors.some(({ policy }) => this.#forbids(policy)) ? 'deny' : decision;
  }

  #forbids(policy: string | undefined): boolean {
    return policy === undefined || this.#parts.set.effects.get(policy) !== 'permit';
  }

  #evaluate(form: Form, question: Question, context: Cedar.Context): Evaluation {
    const { cedar } = this.#parts;
    const principal = this.#principal(question.principal);
    const resource = resourceEntity(question.resource, this.#parts.set.mentions);
    let answer: Cedar.AuthorizationAnswer;
    try {
      answer = cedar.statefulIsAuthorized({
        principal: principal.uid,
        action: actionUid(question.action),
        resource: resource.uid,
        context,
        preparsedPolicySetId: this.#idOf(form),
        entities: this.#entities(principal, resource),
      });
    } catch (thrown) {
      return this.#failed(thrown instanceof Error ? thrown.message : 'the engine failed');
    }
    if (answer.type === 'failure') return this.#failed(sentences(answer.errors));
    const { decision, diagnostics } = answer.response;
    const errors = diagnostics.errors.map(({ policyId, error }) => ({
      policy: policyId,
      message: error.message,
    }));
    for (const error of errors) this.#report(error);
    return { decision, reasons: diagnostics.reason, errors };
  }

  #failed(message: string): Evaluation {
    this.#report({ policy: undefined, message });
    return { decision: 'deny', reasons: [], errors: [{ policy: undefined, message }] };
  }

  #principal(principal: Principal): Cedar.EntityJson {
    const known = this.#principals.get(principal);
    if (known !== undefined) return known;
    const { scopes, groupsClaim, set } = this.#parts;
    const entity = principalEntity(principal, { scopes, groupsClaim, mentions: set.mentions });
    this.#principals.set(principal, entity);
    return entity;
  }

  /** Configured entities may add to what the mesh says of a principal or an item, and change none of it. */
  #entities(...own: readonly Cedar.EntityJson[]): Cedar.EntityJson[] {
    const { entities } = this.#parts;
    const merged = own.map((entity) => {
      const configured = entities.find((each) => keyOf(each) === keyOf(entity));
      if (configured === undefined) return entity;
      return {
        ...entity,
        attrs: { ...configured.attrs, ...entity.attrs },
        parents: [...entity.parents, ...configured.parents],
      };
    });
    const keys = new Set(own.map(keyOf));
    return [...merged, ...entities.filter((each) => !keys.has(keyOf(each)))];
  }

  #report({ policy, message }: Explanation['errors'][number]): void {
    const key = policy ?? '';
    this.#parts.onError({ policy, message, first: !this.#reported.has(key) });
    this.#reported.add(key);
  }

  #idOf(form: Form): string {
    return `${this.#name} ${form}`;
  }
}

const NO_ARGUMENTS: Cedar.Context = { arguments: {} };

function readEntities(cedar: typeof Cedar, entities: readonly unknown[]): readonly Cedar.EntityJson[] {
  if (entities.length > MOST_ENTITIES)
    throw new PolicyFault(`entities: at most ${MOST_ENTITIES} are supported`);
  const read = entities.map(readEntity);
  const answer = cedar.checkParseEntities({ entities: read });
  if (answer.type === 'failure') throw new PolicyFault(`entities: ${sentences(answer.errors)}`);
  return read;
}

function readEntity(entity: unknown, at: number): Cedar.EntityJson {
  const { uid, attrs = {}, parents = [], tags } = Object(entity) as Partial<Cedar.EntityJson>;
  if (uid === undefined || !Array.isArray(parents))
    throw new PolicyFault(`entities: number ${at + 1} has no uid, or no list of parents`);
  return { uid, attrs, parents, ...(tags === undefined ? {} : { tags }) };
}

function keyOf({ uid }: Cedar.EntityJson): string {
  const { type, id } = '__entity' in uid ? uid.__entity : uid;
  return JSON.stringify([type, id]);
}

function validate(cedar: typeof Cedar, { all }: PolicySet, schema: PolicySource): void {
  const answer = cedar.validate({
    schema: schema.text,
    policies: { staticPolicies: { ...all } },
    validationSettings: { mode: 'strict' },
  });
  if (answer.type === 'failure') throw new PolicyFault(`${schema.name}: ${sentences(answer.errors)}`);
  const [first] = answer.validationErrors;
  if (first !== undefined) throw new PolicyFault(`${first.policyId}: ${sentences([first.error])}`);
}
