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

/** Behaviours that must not be lost silently, each with the smallest change that loses it. */
export const MUTANTS: readonly Mutant[] = [];
