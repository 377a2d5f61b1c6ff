import { ChurningSet } from '../../shared/churning.ts';
import type { SidecarMetrics } from '../ops/metrics.ts';
import { Buffers } from './buffers.ts';
import { EventStreams } from './event-streams.ts';
import type { ExchangeAnswer } from './exchange-answer.ts';
import { RunningIds } from './running-ids.ts';

export interface EdgeLimits {
  /** The longest body of a request, in bytes; the mesh's own limit applies too, once it is known. */
  readonly bodyBytes: number;
  /** All that may wait in memory for slow clients, in bytes. */
  readonly bufferedBytes: number;
  /** Event streams at once. */
  readonly streams: number;
  readonly keepAliveMs: number;
  /** A reader that takes nothing for this long while something waits for it is cut. */
  readonly stallMs: number;
}

/** What the requests of one edge share. */
export class EdgeState {
  readonly limits: EdgeLimits;
  readonly metrics: SidecarMetrics;
  readonly buffers: Buffers;
  readonly streams: EventStreams;
  readonly open = new ChurningSet<ExchangeAnswer>();
  readonly running = new RunningIds();
  draining = false;
  #idle: (() => void) | undefined;

  constructor(limits: EdgeLimits, metrics: SidecarMetrics) {
    this.limits = limits;
    this.metrics = metrics;
    this.buffers = new Buffers(limits.bufferedBytes);
    this.streams = new EventStreams(limits.keepAliveMs);
  }

  /** Whether another stream would be one too many. */
  get full(): boolean {
    return this.buffers.full || this.streams.size >= this.limits.streams;
  }

  /** An exchange is over. */
  settled(): void {
    if (this.#idle !== undefined && this.open.size === 0) this.#idle();
  }

  /** Resolves when no exchange is open. */
  async idle(): Promise<void> {
    if (this.open.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }
}
