import type { CallLimitRule } from './config-call-limits.ts';
import type { Settings } from './settings.ts';
import type { CallLimitRules, LimitRule } from './store/call-limits.ts';
import { matchesGlob } from './virtual-server/glob.ts';

/** How calls are counted, as configuration has it. */
export function callLimitRules({ callLimits }: Settings): CallLimitRules {
  return { ...callLimits, rules: callLimits.rules.map(toRule) };
}

function toRule({ backends, tools, ...rule }: CallLimitRule): LimitRule {
  const aboutTools = tools !== undefined || rule.per.includes('tool');
  return {
    ...rule,
    applies(backend, tool) {
      if (backends !== undefined && !backends.includes(backend)) return false;
      if (!aboutTools) return true;
      return tool !== undefined && (tools?.some((pattern) => matchesGlob(pattern, tool)) ?? true);
    },
  };
}
