import * as v from 'valibot';
import { duration, size } from './quantity.ts';
import { count, section } from './section.ts';

/** From which measures on a program sheds work; the same section in the files of both programs. */

const ORDER = 'expected shrink to be less than shed';

/** In percent of what there is. */
function shares(defaults: { readonly shrink: number; readonly shed: number }) {
  const percent = count({ min: 1, max: 100 });
  return {
    shrink: v.optional(percent, defaults.shrink),
    shed: v.optional(percent, defaults.shed),
  };
}

const moment = duration({ min: '20ms', max: '1m' });

export const OverloadSection = section({
  /** By how much the event loop is late. */
  eventLoop: v.optional(
    v.pipe(
      section({ shrink: v.optional(moment, '500ms'), shed: v.optional(moment, '1500ms') }),
      v.check((range) => range.shrink < range.shed, ORDER),
    ),
    {},
  ),
  /** Of the heap that V8 may have. */
  heap: v.optional(
    v.pipe(
      section(shares({ shrink: 85, shed: 92 })),
      v.check((range) => range.shrink < range.shed, ORDER),
    ),
    {},
  ),
  /** Resident, of `limit`; of what the container may have where that is absent. */
  memory: v.optional(
    v.pipe(
      section({ ...shares({ shrink: 85, shed: 92 }), limit: v.optional(size({ min: '64MiB' })) }),
      v.check((range) => range.shrink < range.shed, ORDER),
    ),
    {},
  ),
  /** Open ones, of those that the process may have. */
  descriptors: v.optional(
    v.pipe(
      section(shares({ shrink: 85, shed: 95 })),
      v.check((range) => range.shrink < range.shed, ORDER),
    ),
    {},
  ),
});

export type OverloadSettings = v.InferOutput<typeof OverloadSection>;
