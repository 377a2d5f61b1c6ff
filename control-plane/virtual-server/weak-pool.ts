/** Values by the hash of their content, each once in the process and kept only as long as somebody uses it. */
export class WeakPool<T extends object> {
  readonly #refs = new Map<string, WeakRef<T>>();
  readonly #forget = new FinalizationRegistry<string>((key) => {
    if (this.#refs.get(key)?.deref() === undefined) this.#refs.delete(key);
  });

  get<M extends T | undefined>(key: string, make: () => M): T | M {
    const known = this.#refs.get(key)?.deref();
    if (known !== undefined) return known;
    const value = make();
    if (value === undefined) return value;
    this.#refs.set(key, new WeakRef(value));
    this.#forget.register(value, key);
    return value;
  }
}
