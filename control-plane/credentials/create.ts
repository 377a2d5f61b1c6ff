import type { CredentialSettings } from '../settings.ts';
import { createHeaderStrategy } from './header.ts';
import { noneStrategy } from './none.ts';
import type { CredentialStrategy } from './strategy.ts';

/** The strategy that a backend's configuration names. A strategy that is not made here does not compile. */
export function createStrategy(settings: CredentialSettings): CredentialStrategy {
  switch (settings.strategy) {
    case 'none':
      return noneStrategy;
    case 'header':
      return createHeaderStrategy(settings);
    default:
      return settings satisfies never;
  }
}
