import type { StrategyEnvironment } from '../../control-plane/credentials/issuing-strategy.ts';
import { systemClock } from '../../shared/clock.ts';

/** What a strategy under test is given: the platform's own fetch, and a note of each time that a provider was asked. */
export function strategyEnvironment(
  changed: Partial<StrategyEnvironment> = {},
): StrategyEnvironment & { readonly issues: string[] } {
  const issues: string[] = [];
  return {
    backend: 'files',
    clock: systemClock,
    fetch: (url, { body, ...request }) =>
      fetch(url, { ...request, redirect: 'manual', ...(body === undefined ? {} : { body }) }),
    onIssue: ({ outcome }) => issues.push(outcome),
    issues,
    ...changed,
  };
}
