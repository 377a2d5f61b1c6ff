/** Values of the well-known types, as the proto loader has them. */

export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

/** google.protobuf.Timestamp, of milliseconds since the epoch. */
export function timestamp(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round(ms - seconds * 1000) * 1_000_000 };
}

/** google.protobuf.Duration, of milliseconds. */
export function protoDuration(ms: number): Timestamp {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) };
}
