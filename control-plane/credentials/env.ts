import type { CredentialStrategy } from './strategy.ts';

const NO_HEADERS = Object.freeze({});

/** For commands: what they are trusted with is in their environment from their start, the same for every caller. */
export const envStrategy: CredentialStrategy = {
  name: 'env',
  obtain: () => NO_HEADERS,
  unattended: () => NO_HEADERS,
};
