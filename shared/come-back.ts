const SOONEST_MS = 1_000;
const SPREAD_MS = 4_000;

/** When those who are sent away at once may come again, in milliseconds: each at another time, or the herd would return as one. */
export function comeBackMs(): number {
  return Math.round(SOONEST_MS + Math.random() * SPREAD_MS);
}
