import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicySource } from '../settings.ts';

type CedarModule = typeof Cedar;

/** Policies by their ids, in the forms that the engine needs them in. */
export interface PolicySet {
  readonly all: Readonly<Record<string, Cedar.PolicyJson>>;
  /** Those that do not look at the context. */
  readonly plain: Readonly<Record<string, Cedar.PolicyJson>>;
  /**
   * The others, as far as they do not look at it, and all as permits: whichever of
   * these is satisfied may be about a request, whatever its context.
   */
  readonly reaching: Readonly<Record<string, Cedar.PolicyJson>>;
  readonly effects: ReadonlyMap<string, Cedar.Effect>;
  /** Whether some policy reads an attribute of this name, of whatever. */
  readonly mentions: (attribute: string) => boolean;
}

/** What is wrong with the policies as they are written. The message names the source. */
export class PolicyFault extends Error {
  override readonly name = 'PolicyFault';
}

/** Reads policies; each is named by its `@id`, else by its place. Throws `PolicyFault`. */
export function readPolicySet(cedar: CedarModule, sources: readonly PolicySource[]): PolicySet {
  const all = new Map<string, Cedar.PolicyJson>();
  for (const source of sources) {
    for (const [id, policy] of readSource(cedar, source)) {
      if (all.has(id)) throw new PolicyFault(`${source.name}: two policies have the id ${id}`);
      all.set(id, policy);
    }
  }
  const entries = [...all];
  const words = new Set(entries.flatMap(([, { conditions }]) => [...wordsOf(conditions)]));
  return {
    all: Object.fromEntries(entries),
    plain: Object.fromEntries(entries.filter(([, policy]) => !looksAtContext(policy))),
    reaching: Object.fromEntries(
      entries.filter(([, policy]) => looksAtContext(policy)).map(([id, policy]) => [id, reachOf(policy)]),
    ),
    effects: new Map(entries.map(([id, { effect }]) => [id, effect])),
    mentions: (attribute) => words.has(attribute),
  };
}

function readSource(
  cedar: CedarModule,
  { name, text }: PolicySource,
): (readonly [string, Cedar.PolicyJson])[] {
  const parts = cedar.policySetTextToParts(text);
  if (parts.type === 'failure') throw new PolicyFault(`${name}: ${sentences(parts.errors)}`);
  if (parts.policy_templates.length > 0) throw new PolicyFault(`${name}: templates are not supported`);
  // They come in the order of the engine's own names for them, which are texts.
  const places = parts.policies.map((_, at) => `policy${at}`).sort();
  return parts.policies.map((policy, at) => {
    const answer = cedar.policyToJson(policy);
    if (answer.type === 'failure') throw new PolicyFault(`${name}: ${sentences(answer.errors)}`);
    const place = Number(places[at]?.slice('policy'.length)) + 1;
    return [answer.json.annotations?.['id'] ?? `${name}#${place}`, answer.json] as const;
  });
}

export function sentences(errors: readonly Cedar.DetailedError[]): string {
  return errors
    .map(({ message, sourceLocations }) => [message, sourceLocations?.[0]?.label].filter(Boolean).join(': '))
    .join('; ');
}

/** The policy as a permit, with what every satisfied condition needs beside the context. */
function reachOf(policy: Cedar.PolicyJson): Cedar.PolicyJson {
  const conditions = policy.conditions.flatMap(({ kind, body }) => {
    const known = (kind === 'when' ? conjuncts(body) : [body]).filter((part) => !mentionsContext(part));
    return known.map((part) => ({ kind, body: part }));
  });
  return { ...policy, effect: 'permit', conditions };
}

function conjuncts(body: Cedar.Expr): Cedar.Expr[] {
  if (!('&&' in body)) return [body];
  const { left, right } = body['&&'] as { left: Cedar.Expr; right: Cedar.Expr };
  return [...conjuncts(left), ...conjuncts(right)];
}

function looksAtContext({ conditions }: Cedar.PolicyJson): boolean {
  return conditions.some(({ body }) => mentionsContext(body));
}

function mentionsContext(expression: unknown): boolean {
  if (typeof expression !== 'object' || expression === null) return false;
  if (Reflect.get(expression, 'Var') === 'context') return true;
  return Object.values(expression).some(mentionsContext);
}

/** All texts in expressions, names of attributes among them. */
function* wordsOf(expression: unknown): Generator<string> {
  if (typeof expression === 'string') yield expression;
  else if (typeof expression === 'object' && expression !== null)
    for (const member of Object.values(expression)) yield* wordsOf(member);
}
