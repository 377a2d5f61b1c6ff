import { expect } from 'chai';
import fc from 'fast-check';
import { BackendFault, type BackendFaultKind } from '../../control-plane/backend/backend.ts';
import {
  type BreakerEvent,
  type BreakerState,
  CLOSED,
  transition,
} from '../../control-plane/backend/breaker.ts';
import { type BackendHealth, HealthRecord } from '../../control-plane/backend/health.ts';

const RULES = { failures: 3, openMs: 1_000 };
const PROBE = { name: 'probe' };
const OTHER = { name: 'other' };

/** Every arrow of the diagram, and that there is no other. */
const CLOSED_WITH_ONE: BreakerState = { kind: 'closed', failures: 1, failedAt: 10 };
const CLOSED_WITH_TWO: BreakerState = { kind: 'closed', failures: 2, failedAt: 10 };
const OPEN: BreakerState = { kind: 'open', until: 500 };
const HALF_OPEN: BreakerState = { kind: 'half_open', probe: PROBE, until: 500 };
type Arrow = readonly [BreakerState, Partial<BreakerEvent> & Pick<BreakerEvent, 'kind'>, BreakerState];
const DIAGRAM: Readonly<Record<string, Arrow>> = {
  'closed stays closed when asked': [CLOSED, { kind: 'asked' }, CLOSED],
  'closed counts a failure': [CLOSED, { kind: 'failed', now: 10 }, CLOSED_WITH_ONE],
  'closed counts on': [CLOSED_WITH_ONE, { kind: 'failed', startedAt: 11, now: 10 }, CLOSED_WITH_TWO],
  'closed counts calls that were under way together once': [
    CLOSED_WITH_TWO,
    { kind: 'failed', startedAt: 9, now: 10 },
    CLOSED_WITH_TWO,
  ],
  'closed forgets its failures with an answer': [CLOSED_WITH_TWO, { kind: 'answered' }, CLOSED],
  'closed learns nothing from a call that tells nothing': [
    CLOSED_WITH_TWO,
    { kind: 'untold' },
    CLOSED_WITH_TWO,
  ],
  'closed opens with the last failure': [
    CLOSED_WITH_TWO,
    { kind: 'failed', startedAt: 20, now: 30 },
    { kind: 'open', until: 1_030 },
  ],
  'open stays open for its time': [OPEN, { kind: 'asked', now: 499 }, OPEN],
  'open lets one call probe then': [
    OPEN,
    { kind: 'asked', call: PROBE, now: 500 },
    { kind: 'half_open', probe: PROBE, until: 1_500 },
  ],
  'open ignores an answer to a call from before': [OPEN, { kind: 'answered', now: 600 }, OPEN],
  'open ignores a failure of a call from before': [OPEN, { kind: 'failed', now: 600 }, OPEN],
  'open ignores a call that tells nothing': [OPEN, { kind: 'untold', now: 600 }, OPEN],
  'half open lets no other call in': [HALF_OPEN, { kind: 'asked', call: OTHER, now: 400 }, HALF_OPEN],
  'half open lets another probe when the first takes too long': [
    HALF_OPEN,
    { kind: 'asked', call: OTHER, now: 500 },
    { kind: 'half_open', probe: OTHER, until: 1_500 },
  ],
  'half open closes when its probe is answered': [HALF_OPEN, { kind: 'answered', call: PROBE }, CLOSED],
  'half open opens when its probe fails': [
    HALF_OPEN,
    { kind: 'failed', call: PROBE, now: 400 },
    { kind: 'open', until: 1_400 },
  ],
  'half open is due again when its probe tells nothing': [
    HALF_OPEN,
    { kind: 'untold', call: PROBE, now: 400 },
    { kind: 'open', until: 400 },
  ],
  'half open ignores the answer of another call': [HALF_OPEN, { kind: 'answered', call: OTHER }, HALF_OPEN],
  'half open ignores the failure of another call': [HALF_OPEN, { kind: 'failed', call: OTHER }, HALF_OPEN],
  'half open ignores the silence of another call': [HALF_OPEN, { kind: 'untold', call: OTHER }, HALF_OPEN],
};

describe('the circuit breaker of a backend', () => {
  for (const [title, [before, event, after]] of Object.entries(DIAGRAM)) {
    it(title, () => {
      const whole = { call: OTHER, startedAt: 0, now: 0, ...event };
      expect(transition(before, whole, RULES)).to.deep.equal(after);
    });
  }

  it('shows every pair of a state and an event above', () => {
    const shown = new Set(Object.values(DIAGRAM).map(([before, { kind }]) => `${before.kind} ${kind}`));
    expect(shown.size).to.equal(3 * 4);
  });

  it('never has two probes at once within their time, and is never stuck', () => {
    const kinds = fc.constantFrom<BreakerEvent['kind']>('asked', 'answered', 'failed', 'untold');
    const steps = fc.array(fc.record({ kind: kinds, call: fc.nat(3), after: fc.nat(400) }), {
      maxLength: 60,
    });
    const calls = [{}, {}, {}, {}];
    fc.assert(
      fc.property(steps, (plan) => {
        let state = CLOSED;
        let now = 0;
        for (const { kind, call, after } of plan) {
          now += after;
          const before = state;
          state = transition(before, { kind, call: calls[call] ?? {}, startedAt: now, now }, RULES);
          if (before.kind === 'half_open' && state.kind === 'half_open' && state !== before) {
            expect(now).to.be.at.least(before.until);
          }
        }
        const last = {};
        state = transition(state, { kind: 'asked', call: last, startedAt: now, now: now + 2_000 }, RULES);
        expect(state.kind === 'closed' || (state.kind === 'half_open' && state.probe === last)).to.equal(
          true,
        );
      }),
    );
  });

  for (const [what, fault, opens] of [
    ['no connection', ['unreachable', { executed: 'no' }], true],
    ['a connection that ends before the answer', ['interrupted', {}], true],
    ['502 of what stands before it', ['interrupted', { status: 502 }], true],
    ['an error of its own, 500', ['interrupted', { status: 500 }], false],
    ['401', ['unauthorized', { status: 401, executed: 'no' }], false],
    ['403', ['forbidden', { status: 403, executed: 'no' }], false],
    ['429', ['rate_limited', { status: 429, executed: 'no' }], false],
    ['a lost session', ['session_lost', { status: 404, executed: 'no' }], false],
    ['garbage', ['protocol', {}], false],
    ['a call that takes too long', ['timeout', {}], false],
    ['our own limits', ['busy', { executed: 'no' }], false],
    ['a caller who left', ['aborted', {}], false],
  ] as const satisfies readonly (readonly [string, readonly [BackendFaultKind, object], boolean])[]) {
    it(`${opens ? 'counts' : 'does not count'} ${what}`, () => {
      const [kind, options] = fault;
      expect(afterFaults(new BackendFault(kind, 'a fault', options)).state === 'open').to.equal(opens);
    });
  }

  it('counts silence in a handshake that was sent, and only there', () => {
    const silence = new BackendFault('timeout', 'nothing came', { executed: 'unknown' });
    expect(afterFaults(silence, true).state).to.equal('open');
    expect(
      afterFaults(new BackendFault('timeout', 'it was never sent', { executed: 'no' }), true).state,
    ).to.equal('failing');
  });

  it('refuses at once and says for how long, tells each change, and never opens without rules', () => {
    const changes: BackendHealth['state'][] = [];
    const health = new HealthRecord({ breaker: RULES, onChange: ({ state }) => void changes.push(state) });
    const down = new BackendFault('unreachable', 'down', { executed: 'no' });
    fail(health, down, 3);
    const refusal = health.admit({});
    expect(refusal).to.include({ kind: 'unreachable', executed: 'no' });
    expect(refusal!.retryAfterMs).to.be.within(1, 1_000);
    expect(health.read()).to.include({ state: 'open', lastFault: 'unreachable', consecutiveFailures: 3 });
    expect(changes).to.deep.equal(['failing', 'open']);

    const child = new HealthRecord();
    fail(child, down, 100);
    expect(child.admit({})).to.equal(undefined);
    expect(child.read().state).to.equal('failing');
  });
});

function afterFaults(fault: BackendFault, handshake = false): BackendHealth {
  const health = new HealthRecord({ breaker: RULES });
  fail(health, fault, RULES.failures, handshake);
  return health.read();
}

/** So many calls, one after the other. */
function fail(health: HealthRecord, fault: BackendFault, times: number, handshake = false): void {
  for (let i = 0; i < times; i += 1) {
    const call = {};
    health.admit(call);
    health.settled({ call, startedAt: Number.POSITIVE_INFINITY }, fault, handshake);
  }
}
