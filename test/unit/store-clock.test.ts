import { expect } from 'chai';
import { MemorySessionStore, SharedMemory } from '../../control-plane/store/memory.ts';
import { verifies } from '../requirements.ts';
import { newRecord } from '../support/stores.ts';

const HOUR_MS = 3_600_000;
const START = Date.UTC(2026, 0, 1);

describe('a store whose clock jumps', () => {
  async function session() {
    const clock = { now: START };
    const store = new MemorySessionStore({ clock: () => clock.now, shared: new SharedMemory() });
    const record = newRecord({ idleTtlMs: HOUR_MS / 2, absoluteTtlMs: 2 * HOUR_MS });
    await store.create(record);
    return { clock, touch: () => store.touch(record.key, 1) };
  }

  it(verifies('R16')('an hour forward may end sessions early'), async () => {
    const { clock, touch } = await session();
    clock.now += HOUR_MS;
    expect(await touch()).to.deep.equal({ kind: 'gone' });
  });

  it(verifies('R16')('an hour back keeps them by as much, and moves no absolute end'), async () => {
    const { clock, touch } = await session();
    clock.now -= HOUR_MS;
    for (let minutes = 0; minutes < 180; minutes += 20) {
      const outcome = await touch();
      expect(outcome).to.have.nested.property('header.expiresAt', START + 2 * HOUR_MS);
      clock.now += 20 * 60_000;
    }
    expect(await touch()).to.deep.equal({ kind: 'gone' });
  });
});
