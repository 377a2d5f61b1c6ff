import { comeBackMs } from '../come-back.ts';
import type { OverloadSettings } from '../config/overload.ts';
import { MeshError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { collectGarbage, descriptorShare, heapShare, memoryShare } from './gauges.ts';
import { Pressure, type Stage } from './pressure.ts';

/** What a process can be short of. */
export const RESOURCES = ['event_loop', 'heap', 'memory', 'descriptors'] as const;
export type Resource = (typeof RESOURCES)[number];

/** What is refused: a new session, a session that would have to be restored, a stream, a request. */
export type ShedWork = 'session' | 'restore' | 'stream' | 'request';

/** As it is logged, by stage. */
const STATES = ['normal', 'shrinking', 'shedding'] as const;

/** What those who take work in ask before they do. */
export interface Load {
  /** Nothing new that lasts is begun: no session, no restore. */
  readonly shrinking: boolean;
  /** Nothing at all is begun; what is under way finishes. */
  readonly shedding: boolean;
  /** The refusal of such work; it counts. */
  refuse(work: ShedWork): MeshError;
}

export interface OverloadOptions {
  /** As they are now. */
  readonly settings: () => OverloadSettings;
  readonly log: Logger;
  readonly onShed: (work: ShedWork, resource: Resource) => void;
  /** Once a second while something is short, from the moment on when it begins to be; how short each thing is says `stageOf`. */
  readonly relieve: (stage: Exclude<Stage, 0>) => void;
  /** With each look: how late it came, in milliseconds. */
  readonly onLook?: (lateMs: number) => void;
  /** The stage is another one. */
  readonly onStage?: (stage: Stage) => void;
}

const LOOK_MS = 100;
/** Memory and descriptors are asked of the system, which costs more: every so many looks. */
const SLOW_LOOKS = 10;
/** A loop that is late once was held up; one that is late for so long has more to do than it can. */
const LATE_MS = 1_000;
/** Garbage is collected this often at most, in milliseconds, */
const COLLECT_EVERY_MS = 3_000;
/** and in this share of the time. */
const COLLECT_SHARE = 0.02;

/**
 * Tells, before this process dies of it, that it is short of something, in two stages:
 * first it takes on nothing that lasts, then nothing at all. One timer looks; whoever
 * takes work in reads a field.
 */
export class OverloadMonitor implements Load {
  shrinking = false;
  shedding = false;
  readonly #options: OverloadOptions;
  readonly #pressures: Readonly<Record<Resource, Pressure>> = {
    event_loop: new Pressure(LATE_MS),
    heap: new Pressure(2 * LOOK_MS),
    memory: new Pressure(0),
    descriptors: new Pressure(0),
  };
  readonly #timer: NodeJS.Timeout;
  #stage: Stage = 0;
  #resource: Resource = 'event_loop';
  #lookedAt = performance.now();
  #looks = 0;
  #collectAt = 0;
  #relievedAt = Number.NEGATIVE_INFINITY;

  constructor(options: OverloadOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(performance.now()), LOOK_MS);
    this.#timer.unref();
  }

  /** By resource. */
  stageOf(resource: Resource): Stage {
    return this.#pressures[resource].stage;
  }

  refuse(work: ShedWork): MeshError {
    this.#options.onShed(work, this.#resource);
    return new MeshError('overloaded', 'There is more to do here now than can be done.', {
      retryAfterMs: comeBackMs(),
    });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(now: number): void {
    const { eventLoop, heap, descriptors } = this.#options.settings();
    const late = now - this.#lookedAt - LOOK_MS;
    this.#lookedAt = now;
    this.#options.onLook?.(late);
    this.#pressures.event_loop.look(late, eventLoop, now);
    if (this.stageOf('heap') > 0) this.#collect(now);
    this.#pressures.heap.look(heapShare(), heap, now);
    if (this.#looks % SLOW_LOOKS === 0) {
      const open = descriptorShare();
      if (open !== undefined) this.#pressures.descriptors.look(open, descriptors, now);
      this.#lookAtMemory(now);
    }
    this.#looks += 1;
    this.#judge();
    if (this.#stage === 0 || now - this.#relievedAt < 1_000) return;
    this.#relievedAt = now;
    this.#options.relieve(this.#stage);
  }

  #lookAtMemory(now: number): void {
    const { memory } = this.#options.settings();
    let share = memoryShare(memory.limit);
    if (share === undefined) return;
    if (share >= memory.shrink || this.stageOf('memory') > 0) {
      this.#collect(now);
      share = memoryShare(memory.limit) ?? share;
    }
    this.#pressures.memory.look(share, memory, now);
  }

  #collect(now: number): void {
    if (now < this.#collectAt) return;
    collectGarbage();
    const done = performance.now();
    this.#collectAt = done + Math.max(COLLECT_EVERY_MS, (done - now) / COLLECT_SHARE);
  }

  #judge(): void {
    const worst = RESOURCES.reduce((a, b) => (this.stageOf(b) > this.stageOf(a) ? b : a));
    const stage = this.stageOf(worst);
    // Whatever was short first may have recovered by now, and something else be as short.
    if (stage > 0 && this.stageOf(this.#resource) < stage) this.#resource = worst;
    if (stage === this.#stage) return;
    const rising = stage > this.#stage;
    const state = STATES[stage];
    this.#stage = stage;
    this.shrinking = stage > 0;
    this.shedding = stage > 1;
    const fields = { event: 'overload', state, kind: this.#resource };
    const { log } = this.#options;
    if (rising) log.warn('there is more to do here than can be done', fields);
    else log.info('there is less to do here', fields);
    this.#options.onStage?.(stage);
  }
}
