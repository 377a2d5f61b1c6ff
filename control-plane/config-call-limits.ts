import * as v from 'valibot';
import { duration } from '../shared/config/quantity.ts';
import { count, list, oneOf, section, text } from '../shared/config/section.ts';
import type { ConfigContext } from './config-context.ts';
import type { LimitScope } from './store/call-limits.ts';

const RULE_NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;

const Rule = v.pipe(
  section({
    name: v.pipe(
      text(),
      v.regex(RULE_NAME, 'expected at most 40 small letters, digits and -, such as calls-of-a-caller'),
    ),
    per: v.pipe(
      list(oneOf(['principal', 'backend', 'tool'])),
      v.minLength(1, 'expected what is counted together: principal, backend, tool, or several'),
    ),
    backends: v.optional(list(text())),
    /** Patterns of the backends' own names, in which `*` stands for any run of characters. */
    tools: v.optional(list(text())),
    calls: v.optional(count({ min: 1 })),
    window: v.optional(duration({ min: '1s', max: '24h' }), '1m'),
    concurrent: v.optional(count({ min: 1 })),
  }),
  v.check(
    ({ calls, concurrent }) => calls !== undefined || concurrent !== undefined,
    'expected calls, concurrent, or both',
  ),
);

/** How often calls may be made, and how many at once. */
export const CallLimitsSection = section({
  onStoreError: v.optional(oneOf(['allow', 'refuse']), 'allow'),
  rules: v.optional(list(Rule), []),
});

/** Calls that are counted together, and how many there may be. */
export interface CallLimitRule {
  readonly name: string;
  readonly per: readonly LimitScope[];
  /** Undefined: all. */
  readonly backends: readonly string[] | undefined;
  /** Patterns; undefined: all tools, and what is no tool call unless the rule counts tools. */
  readonly tools: readonly string[] | undefined;
  readonly rate: { readonly calls: number; readonly windowMs: number } | undefined;
  readonly concurrent: number | undefined;
}

export interface CallLimitSettings {
  readonly onStoreError: 'allow' | 'refuse';
  readonly rules: readonly CallLimitRule[];
}

export function resolveCallLimits(
  { onStoreError, rules }: v.InferOutput<typeof CallLimitsSection>,
  backends: readonly string[],
  context: ConfigContext,
): CallLimitSettings {
  for (const [at, rule] of rules.entries()) {
    const path = ['callLimits', 'rules', at];
    if (rules.findIndex(({ name }) => name === rule.name) !== at) {
      context.problem([...path, 'name'], `the name ${rule.name} is used twice`);
    }
    for (const [index, backend] of (rule.backends ?? []).entries()) {
      if (!backends.includes(backend)) {
        context.problem([...path, 'backends', index], `no such server; known here: ${backends.join(', ')}`);
      }
    }
  }
  return { onStoreError, rules: rules.map(resolveRule) };
}

function resolveRule(rule: v.InferOutput<typeof Rule>): CallLimitRule {
  const { name, per, backends, tools, calls, window, concurrent } = rule;
  const rate = calls === undefined ? undefined : { calls, windowMs: window };
  return { name, per: [...new Set(per)].sort(), backends, tools, rate, concurrent };
}
