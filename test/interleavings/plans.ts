import fc from 'fast-check';
import type { Role } from './cast.ts';

export type Fault = 'none' | 'not written' | 'answer lost';

/** What one actor does next; everything between the steps of all actors is the schedule's choice. */
export type Step =
  | {
      readonly do: 'call';
      readonly as: Role;
      /** The replica that it reaches. */
      readonly at: number;
      readonly backend: 'notes' | 'files' | 'vault';
      /** It does not wait for the answer. */
      readonly leaves: boolean;
    }
  | { readonly do: 'end'; readonly as: Role; readonly at: number }
  | { readonly do: 'wait'; readonly ms: number }
  /** The backends lose their sessions. */
  | { readonly do: 'forget' };

export interface Plan {
  readonly actors: readonly (readonly Step[])[];
  /** The sessions have been at their backends before. */
  readonly hinted: boolean;
  /** By the number of the update. */
  readonly faults: readonly Fault[];
  /** Whom the backend `notes` refuses, and the provider of tokens for `vault`. */
  readonly refused: readonly Role[];
  readonly idleMs: number;
  /** How long a request waits for its session to be restored. */
  readonly deadlineMs: number;
}

const OWNERS: readonly Role[] = ['owner', 'refreshed', 'narrow'];
const LONG_MS = 600_000;

const calls = (as: readonly Role[], leaves: fc.Arbitrary<boolean> = fc.constant(false)): fc.Arbitrary<Step> =>
  fc.record({
    do: fc.constant('call' as const),
    as: fc.constantFrom(...as),
    at: fc.nat({ max: 1 }),
    backend: fc.constantFrom('notes' as const, 'files' as const, 'vault' as const),
    leaves,
  });
const ends = (as: readonly Role[]): fc.Arbitrary<Step> =>
  fc.record({ do: fc.constant('end' as const), as: fc.constantFrom(...as), at: fc.nat({ max: 1 }) });
const waits = (...ms: number[]): fc.Arbitrary<Step> =>
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(...ms) });
const forgets: fc.Arbitrary<Step> = fc.constant({ do: 'forget' });

function actor(step: fc.Arbitrary<Step>, minLength: number, maxLength: number): fc.Arbitrary<Step[]> {
  return fc.array(step, { minLength, maxLength });
}

function plan(
  actors: readonly fc.Arbitrary<Step[]>[],
  more: Partial<{ [Name in keyof Plan]: fc.Arbitrary<Plan[Name]> }> = {},
): fc.Arbitrary<Plan> {
  return fc.record({
    actors: fc.tuple(...actors),
    hinted: fc.boolean(),
    faults: fc.constant([]),
    refused: fc.constant([]),
    idleMs: fc.constant(LONG_MS),
    deadlineMs: fc.constantFrom(1_000, LONG_MS),
    ...more,
  });
}

const time = actor(waits(200, 700, 1_100), 1, 4);
const faults = fc.array(fc.constantFrom<Fault>('none', 'not written', 'answer lost'), { maxLength: 6 });

/** The stories, each of which a schedule tells in another order. */
export const PLANS = {
  'the owner, and a thief who holds the whole session id': plan([
    actor(calls(['owner', 'refreshed']), 1, 2),
    actor(fc.oneof(calls(['thief', 'anonymous']), ends(['thief', 'anonymous'])), 1, 3),
    time,
  ]),
  'the same principal with other scopes': plan([
    actor(calls(['owner']), 1, 2),
    actor(calls(['narrow', 'refreshed']), 1, 2),
    actor(fc.oneof(forgets, waits(700, 1_100)), 1, 3),
  ]),
  'a leader who leaves': plan([
    actor(calls(['owner'], fc.constant(true)), 1, 2),
    actor(calls(OWNERS, fc.boolean()), 1, 2),
    time,
  ]),
  'a token that ends during the restore': plan([
    actor(calls(['ending']), 1, 2),
    actor(calls(OWNERS), 0, 2),
    actor(fc.oneof(waits(700, 1_900, 2_100), forgets), 1, 3),
  ]),
  'a DELETE during the restore': plan([
    actor(calls(OWNERS), 1, 3),
    actor(ends(['owner', 'refreshed']), 1, 2),
    actor(waits(200, 1_100, 2_300), 0, 3),
  ]),
  'a backend that refuses only the leader': plan(
    [actor(calls(['narrow']), 1, 2), actor(calls(['owner', 'refreshed']), 1, 2), actor(forgets, 0, 1), time],
    { refused: fc.constant(['narrow']) },
  ),
  'a lost compare-and-swap': plan([actor(calls(OWNERS), 1, 2), actor(calls(OWNERS), 1, 2), time], {
    faults,
  }),
  'two replicas that race for the session': plan([
    actor(calls(OWNERS), 2, 3),
    actor(calls(OWNERS), 2, 3),
    actor(waits(700, 1_100, 1_300), 2, 4),
  ]),
  'idle expiry that races use': plan(
    [
      actor(calls(OWNERS), 1, 3),
      actor(fc.oneof(calls(OWNERS), forgets), 0, 2),
      actor(waits(900, 2_000), 2, 4),
    ],
    { idleMs: fc.constant(3_000) },
  ),
  'everything at once': plan(
    [
      actor(calls([...OWNERS, 'ending', 'thief', 'anonymous'], fc.boolean()), 1, 3),
      actor(fc.oneof(calls(OWNERS), forgets, ends(['owner', 'thief'])), 1, 3),
      actor(waits(200, 700, 1_100, 3_100), 1, 4),
    ],
    { faults, refused: fc.subarray<Role>(['narrow', 'refreshed']), idleMs: fc.constantFrom(3_000, LONG_MS) },
  ),
} satisfies Readonly<Record<string, fc.Arbitrary<Plan>>>;

export type Story = keyof typeof PLANS;
