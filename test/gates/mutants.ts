export interface Mutant {
  /** What the mesh no longer does. */
  readonly behaviour: string;
  readonly file: string;
  /** Stands exactly once in `file`. */
  readonly find: string;
  readonly replace: string;
  /** The tests of which at least one must fail. */
  readonly tests: readonly string[];
}

const VERIFIER = 'control-plane/identity/verifier.ts';

/** Behaviours that must not be lost silently, each with the smallest change that loses it. */
export const MUTANTS: readonly Mutant[] = [
  {
    behaviour: 'only the issuer’s configured algorithms count',
    file: VERIFIER,
    find: '      algorithms: [...settings.algorithms],\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'a token must be meant for this mesh',
    file: VERIFIER,
    find: '      audience: this.#audiences(settings, unverified.aud),\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'expiry is checked again when a cached verdict is used',
    file: VERIFIER,
    find: '      now < identity.expiresAt + this.#settings.clockToleranceMs &&\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'unknown key ids cannot flood the issuer',
    file: 'control-plane/identity/issuer-keys.ts',
    find: '    if (this.#cooldownLeft() > 0) return Promise.resolve();\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
];
