import { expect } from 'chai';
import type { OverloadSettings } from '../../shared/config/overload.ts';
import { createLogger } from '../../shared/log.ts';
import { OverloadMonitor, type Resource } from '../../shared/overload/monitor.ts';
import { verifies } from '../requirements.ts';
import { until } from '../support/story.ts';

/** In bytes. */
const LIMIT = 2 ** 40;
/** More than any measure reaches. */
const PLENTY = { shrink: 1_000_000, shed: 1_000_001 };
/** Less than any measure is. */
const NONE = { shrink: -1_000_000, shed: -999_999 };

describe('what watches for overload', () => {
  it(
    verifies('C10')('blames what is short now, where what was short first has recovered meanwhile'),
    async () => {
      let settings: OverloadSettings = {
        eventLoop: NONE,
        heap: PLENTY,
        memory: { ...PLENTY, limit: LIMIT },
        descriptors: PLENTY,
      };
      const relieved: Resource[][] = [];
      const shed: Resource[] = [];
      const monitor = new OverloadMonitor({
        settings: () => settings,
        log: createLogger({ format: 'json', destination: { write: () => {} } }),
        onShed: (_work, resource) => shed.push(resource),
        relieve: () =>
          relieved.push((['event_loop', 'memory'] as const).filter((each) => monitor.stageOf(each) > 0)),
      });
      try {
        await until('the loop is late', () => monitor.shedding);
        monitor.refuse('session');
        settings = { ...settings, memory: { ...NONE, limit: LIMIT } };
        await until('memory is short too', () => monitor.stageOf('memory') === 2);
        await until('both are relieved', () => relieved.at(-1)?.length === 2);
        monitor.refuse('session');
        settings = { ...settings, eventLoop: PLENTY };
        await until('the loop has recovered', () => monitor.stageOf('event_loop') === 0);
        monitor.refuse('session');
        await until('memory alone is relieved', () => relieved.at(-1)?.join() === 'memory');
        expect(monitor.shedding).to.equal(true);
        expect(shed).to.deep.equal(['event_loop', 'event_loop', 'memory']);
      } finally {
        monitor.stop();
      }
    },
  );
});
