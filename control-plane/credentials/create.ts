import type { CredentialSettings } from '../credential-settings.ts';
import { createAwsStrategy } from './aws-sigv4.ts';
import { createClientCredentialsStrategy } from './client-credentials.ts';
import { createDiscoverStrategy } from './discover.ts';
import { envStrategy } from './env.ts';
import { createHeaderStrategy } from './header.ts';
import { createIdJagStrategy } from './id-jag.ts';
import type { StrategyEnvironment } from './issuing-strategy.ts';
import { noneStrategy } from './none.ts';
import { createPassthroughStrategy } from './passthrough.ts';
import { createStoredStrategy } from './stored.ts';
import type { CredentialStrategy } from './strategy.ts';
import { createTokenExchangeStrategy } from './token-exchange.ts';

/** The strategy that a backend's configuration names. A strategy that is not made here does not compile. */
export function createStrategy(
  settings: CredentialSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  switch (settings.strategy) {
    case 'none':
      return noneStrategy;
    case 'env':
      return envStrategy;
    case 'header':
      return createHeaderStrategy(settings);
    case 'token_exchange':
      return createTokenExchangeStrategy(settings, environment);
    case 'id_jag':
      return createIdJagStrategy(settings, environment);
    case 'client_credentials':
      return createClientCredentialsStrategy(settings, environment);
    case 'aws_sigv4':
      return createAwsStrategy(settings, environment);
    case 'stored':
      return createStoredStrategy(settings, environment);
    case 'discover':
      return createDiscoverStrategy(environment.discovery?.(environment.backend, settings), environment);
    case 'passthrough':
      return createPassthroughStrategy(settings);
    default:
      return settings satisfies never;
  }
}
