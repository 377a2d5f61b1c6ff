/** How short something is: plenty of it, so little that new things wait, so little that nothing may begin. */
export type Stage = 0 | 1 | 2;

/** In the unit of what is measured. */
export interface Thresholds {
  readonly shrink: number;
  readonly shed: number;
}

/** A stage is left when the measure is below this share of its threshold, */
const RELEASE = 0.9;
/** for so long, in milliseconds: it must not flap. */
const CALM_MS = 2_000;

/**
 * The stage that one measure asks for, with its memory: it rises when the measure has
 * been over a threshold at every look for `riseMs`, and falls when it has been well below.
 */
export class Pressure {
  readonly #riseMs: number;
  #stage: Stage = 0;
  /** Since when every look was over the threshold of that stage. */
  readonly #over: Record<1 | 2, number | undefined> = { 1: undefined, 2: undefined };
  #calmSince: number | undefined;

  constructor(riseMs: number) {
    this.#riseMs = riseMs;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** `now` is monotonic, in milliseconds. */
  look(value: number, thresholds: Thresholds, now: number): Stage {
    const reached = Math.max(
      this.#sustained(1, value >= thresholds.shrink, now) ? 1 : 0,
      this.#sustained(2, value >= thresholds.shed, now) ? 2 : 0,
    ) as Stage;
    if (reached >= this.#stage) {
      this.#stage = reached;
      this.#calmSince = undefined;
      return this.#stage;
    }
    const release = RELEASE * (this.#stage === 2 ? thresholds.shed : thresholds.shrink);
    if (value >= release) this.#calmSince = undefined;
    else this.#calmSince ??= now;
    if (this.#calmSince === undefined || now - this.#calmSince < CALM_MS) return this.#stage;
    this.#stage = reached === 0 && value >= RELEASE * thresholds.shrink ? 1 : reached;
    this.#calmSince = undefined;
    return this.#stage;
  }

  #sustained(stage: 1 | 2, over: boolean, now: number): boolean {
    if (!over) {
      this.#over[stage] = undefined;
      return false;
    }
    this.#over[stage] ??= now;
    return now - this.#over[stage] >= this.#riseMs;
  }
}
