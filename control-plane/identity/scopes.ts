/** Which scopes stand for which others, by configuration. `mcp:admin` may imply `mcp:write`, which may imply `mcp:read`. */
export type ScopeImplications = Readonly<Record<string, readonly string[]>>;

/**
 * What scopes permit, with all that they imply, over any number of steps. For
 * decisions only: an identity keeps the scopes that its issuer gave it.
 */
export class ScopeHierarchy {
  readonly #implied: ReadonlyMap<string, ReadonlySet<string>>;
  /** By the identity's own list, which is one object as long as its verdict lives. */
  readonly #effective = new WeakMap<readonly string[], ReadonlySet<string>>();

  /** Circles are harmless: scopes that imply each other mean the same. */
  constructor(implications: ScopeImplications) {
    this.#implied = new Map(
      Object.keys(implications).map((scope) => [scope, closure(scope, implications)] as const),
    );
  }

  effective(scopes: readonly string[]): ReadonlySet<string> {
    const known = this.#effective.get(scopes);
    if (known !== undefined) return known;
    const effective = new Set(scopes);
    for (const scope of scopes) for (const implied of this.#implied.get(scope) ?? []) effective.add(implied);
    this.#effective.set(scopes, effective);
    return effective;
  }

  /** Whether the scopes permit all that is required. */
  cover(scopes: readonly string[], required: readonly string[]): boolean {
    if (required.length === 0) return true;
    const effective = this.effective(scopes);
    return required.every((scope) => effective.has(scope));
  }
}

function closure(scope: string, implications: ScopeImplications): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [scope];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    if (Object.hasOwn(implications, next)) open.push(...(implications[next] ?? []));
  }
  return found;
}
