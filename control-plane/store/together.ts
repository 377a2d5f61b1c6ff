/** The most that is asked at once: what waits behind it on the way to the store does not wait long. */
const MOST = 256;

interface Waiting<Question, Answer> {
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (why: unknown) => void;
}

/** What is asked one by one in one turn of the event loop is asked of the store together, and each is answered, or refused, by itself. */
export class Together<Question, Answer> {
  readonly #ask: (questions: readonly Question[]) => Promise<readonly PromiseSettledResult<Answer>[]>;
  #waiting: Waiting<Question, Answer>[] = [];

  /** `ask` settles every question in its place; where it rejects, that is everybody's answer. */
  constructor(ask: (questions: readonly Question[]) => Promise<readonly PromiseSettledResult<Answer>[]>) {
    this.#ask = ask;
  }

  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ question, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length; from += MOST)
      void this.#settle(waiting.slice(from, from + MOST));
  }

  async #settle(waiting: readonly Waiting<Question, Answer>[]): Promise<void> {
    try {
      const outcomes = await this.#ask(waiting.map(({ question }) => question));
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome.status === 'fulfilled') waiting[at]?.resolve(outcome.value);
        else waiting[at]?.reject(outcome.reason);
      }
    } catch (thrown) {
      for (const { reject } of waiting) reject(thrown);
    }
  }
}
