import type { CredentialStrategy } from './strategy.ts';

const NO_HEADERS = Object.freeze({});

/** For backends that authenticate nobody: every caller, anonymous or identified, brings nothing. */
export const noneStrategy: CredentialStrategy = {
  name: 'none',
  obtain: () => NO_HEADERS,
  unattended: () => NO_HEADERS,
};
