/**
 * Who subscribed to what at a child that sessions share: the child knows one client
 * only. It hears of the end of a subscription when the last of its holders ends it.
 */
export class SharedSubscriptions {
  readonly #holders = new Map<string, Set<object>>();

  hold(uri: string, holder: object): void {
    const holders = this.#holders.get(uri) ?? new Set();
    this.#holders.set(uri, holders.add(holder));
  }

  /** Whether somebody else still holds it. */
  release(uri: string, holder: object): boolean {
    const holders = this.#holders.get(uri);
    holders?.delete(holder);
    if (holders !== undefined && holders.size > 0) return true;
    this.#holders.delete(uri);
    return false;
  }

  /** Ends all of one holder; returns what nobody holds any more. */
  releaseAll(holder: object): readonly string[] {
    const held = [...this.#holders].filter(([, holders]) => holders.has(holder));
    return held.flatMap(([uri]) => (this.release(uri, holder) ? [] : [uri]));
  }
}
