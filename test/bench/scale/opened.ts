/** What was opened for a measurement: ended in the reverse order, whatever happens. */
export class Opened implements AsyncDisposable {
  readonly #ends: (() => Promise<void>)[] = [];

  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    this.#ends.push(async () => resource[Symbol.asyncDispose]());
    return resource;
  }

  defer(end: () => void): void {
    this.#ends.push(async () => end());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
