/**
 * Whether this replica lives, has started, and may be given work. A condition is
 * named once and changes over time; a probe is green when none of its conditions
 * objects. Reasons are sentences for operators, without secrets.
 */
export class Health {
  #started = false;
  #draining = false;
  readonly #conditions = new Map<string, () => string | undefined>();

  /** `check` returns why work should not come here at this moment, or undefined. */
  require(name: string, check: () => string | undefined): void {
    this.#conditions.set(name, check);
  }

  /** Everything that start-up promised is there. Called once. */
  started(): void {
    this.#started = true;
  }

  /** No new work from here on. */
  draining(): void {
    this.#draining = true;
  }

  live(): Report {
    return { ok: true, reasons: {} };
  }

  startup(): Report {
    return this.#started ? { ok: true, reasons: {} } : { ok: false, reasons: { startup: 'still starting' } };
  }

  ready(): Report {
    const reasons: Record<string, string> = {};
    if (!this.#started) reasons['startup'] = 'still starting';
    if (this.#draining) reasons['drain'] = 'draining';
    for (const [name, check] of this.#conditions) {
      const objection = check();
      if (objection !== undefined) reasons[name] = objection;
    }
    return { ok: Object.keys(reasons).length === 0, reasons };
  }
}

export interface Report {
  readonly ok: boolean;
  /** What objects, and why. Empty when `ok`. */
  readonly reasons: Readonly<Record<string, string>>;
}
