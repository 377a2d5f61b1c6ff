import { expect } from 'chai';
import {
  type SessionEvent,
  type SessionState,
  transition,
} from '../../control-plane/session/session-state.ts';
import { verifies } from '../requirements.ts';

const EVENTS: readonly SessionEvent[] = ['published', 'fenced', 'evicted', 'closed'];

/** The diagram, row by row: where each event leads, in the order of `EVENTS`; a dash where it means nothing. */
const DIAGRAM: readonly [SessionState, ...(SessionState | '-')[]][] = [
  ['starting', 'live', '-', '-', 'closed'],
  ['live', '-', 'fenced', 'evicted', 'closed'],
  ['fenced', '-', '-', '-', '-'],
  ['evicted', '-', '-', '-', '-'],
  ['closed', '-', '-', '-', '-'],
];

describe('the life of a session in one replica', () => {
  for (const [state, ...next] of DIAGRAM) {
    it(verifies('RST-7')(`from ${state}`), () => {
      expect(EVENTS.map((event) => transition(state, event) ?? '-')).to.deep.equal(next);
    });
  }
});
