import type { CredentialStrategy } from './strategy.ts';

export interface HeaderSettings {
  readonly name: string;
  /** A secret, the same for every caller, anonymous or identified. */
  readonly value: string;
}

/** One static header that authenticates the mesh itself, whoever asks. */
export function createHeaderStrategy({ name, value }: HeaderSettings): CredentialStrategy {
  const headers = Object.freeze({ [name.toLowerCase()]: value });
  return { name: 'header', obtain: () => headers, unattended: () => headers };
}
