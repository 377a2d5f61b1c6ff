/** What came of every request of a soak. */
export class Tally {
  /** Right answers. */
  right = 0;
  /** Refused before anything ran (503, 429), and asked again. */
  again = 0;
  /** Cut off by a death: nobody knows whether it ran, and the client was told so. */
  unknown = 0;
  /** 404: the session is gone. */
  lost = 0;
  /** Anything else: another request's answer, a cut one, an error that nobody caused. */
  wrong = 0;
  /** When a replica died last, on the monotonic clock. */
  diedAt = Number.NEGATIVE_INFINITY;
  /** The first few of what was lost or wrong, for people. */
  readonly complaints: string[] = [];

  complain(kind: 'lost' | 'wrong', what: string): void {
    this[kind] += 1;
    if (this.complaints.length < 10) this.complaints.push(`${kind}: ${what}`);
  }
}

/** How long after a death somebody may still hear that nobody knows what became of a call, in milliseconds. */
export const AFTERMATH_MS = 15_000;

/** What a process held at a moment. */
export interface Holding {
  readonly minute: number;
  readonly process: string;
  readonly rssMiB: number;
  readonly handles: number;
}

/** What must hold at the end, and whether it does. */
export interface Verdict {
  readonly what: string;
  readonly figure: number;
  readonly bound: number;
  readonly holds: boolean;
}

/** How much more a process may hold in the last fifth of the time than in the second one, when everything was warm. */
const GROWTH = 0.15;

/** Judges what is to be nought, and the processes that lived through all of it. */
export function judge(tally: Tally, holdings: readonly Holding[], minutes: number): Verdict[] {
  const verdicts = [
    atMost('sessions lost', tally.lost, 0),
    atMost('wrong answers', tally.wrong, 0),
    { what: 'right answers', figure: tally.right, bound: 1, holds: tally.right > 0 },
  ];
  for (const process of new Set(holdings.map((each) => each.process))) {
    const own = holdings.filter((each) => each.process === process);
    const warm = own.filter(({ minute }) => minute >= minutes * 0.2 && minute < minutes * 0.4);
    const last = own.filter(({ minute }) => minute >= minutes * 0.8);
    for (const held of ['rssMiB', 'handles'] as const) {
      const growth = mean(last.map((each) => each[held])) / mean(warm.map((each) => each[held])) - 1;
      verdicts.push(atMost(`growth of ${held} in ${process}`, growth, GROWTH));
    }
  }
  return verdicts;
}

function atMost(what: string, figure: number, bound: number): Verdict {
  return { what, figure, bound, holds: figure <= bound };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
