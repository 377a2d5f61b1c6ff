import { Durations } from '../../shared/durations.ts';
import type { Reason } from '../../shared/errors.ts';
import type { ExchangeRequest } from '../mesh/exchange.ts';

/** How an exchange ended: as which kind of answer, by the client's leaving, or for which reason. */
export type Outcome = 'json' | 'accepted' | 'stream' | 'detached' | Reason;
export type ExchangeKind = ExchangeRequest['kind'];

/** A number that is asked for when somebody looks. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly read: () => number;
}

/** Numbers that are asked for when somebody looks, one for each value of a label. */
export interface LabelledGauge extends Omit<Gauge, 'read'> {
  readonly label: string;
  readonly read: () => Iterable<readonly [value: string, number: number]>;
}

/**
 * What the sidecar counts, written in the Prometheus text format. Labels are words
 * of closed sets: nothing that a client sends can become one, so neither can a
 * token, and the number of series is fixed.
 */
export class SidecarMetrics {
  readonly #durations = new Durations({
    name: 'outrigger_sidecar_exchange_seconds',
    help: 'How long exchanges took, until their answer was whole; without those that only listen.',
    labels: ['kind'],
  });
  readonly #took = {
    message: this.#durations.of({ kind: 'message' }),
    terminate: this.#durations.of({ kind: 'terminate' }),
  };
  readonly #eventLoop = new Durations({
    name: 'outrigger_sidecar_event_loop_delay_seconds',
    help: 'How late the event loop is, looked at ten times a second.',
  });
  readonly #late = this.#eventLoop.of({});
  readonly #exchanges: Readonly<Record<ExchangeKind, Map<Outcome, number>>> = {
    message: new Map(),
    listen: new Map(),
    terminate: new Map(),
  };
  readonly #refusals = new Map<string, number>();
  readonly #sheds = new Map<string, number>();
  readonly #gauges: (Gauge | LabelledGauge)[] = [];

  /** `ms`: how long it took. */
  exchangeEnded(kind: ExchangeKind, outcome: Outcome, ms: number): void {
    count(this.#exchanges[kind], outcome);
    if (kind !== 'listen') this.#took[kind].observe(ms / 1_000);
  }

  /** The event loop came to a timer so late, in milliseconds. */
  late(ms: number): void {
    this.#late.observe(Math.max(0, ms) / 1_000);
  }

  /** A request that the edge refused before anything crossed the mesh. */
  refused(reason: string): void {
    count(this.#refusals, reason);
  }

  /** Work that was not begun because something is short; both are words of closed sets. */
  shed(work: string, resource: string): void {
    count(this.#sheds, `work="${work}",resource="${resource}"`);
  }

  watch(gauge: Gauge | LabelledGauge): void {
    this.#gauges.push(gauge);
  }

  render(): string {
    const lines: string[] = [];
    head(lines, 'outrigger_sidecar_exchanges_total', 'Exchanges that ended, by kind and outcome.', 'counter');
    for (const [kind, outcomes] of Object.entries(this.#exchanges)) {
      for (const [outcome, value] of outcomes) {
        lines.push(`outrigger_sidecar_exchanges_total{kind="${kind}",outcome="${outcome}"} ${value}`);
      }
    }
    head(lines, 'outrigger_sidecar_refusals_total', 'Requests refused at the edge, by reason.', 'counter');
    for (const [reason, value] of this.#refusals) {
      lines.push(`outrigger_sidecar_refusals_total{reason="${reason}"} ${value}`);
    }
    head(lines, 'outrigger_sidecar_shed_total', 'Work that was refused for overload.', 'counter');
    for (const [labels, value] of this.#sheds) lines.push(`outrigger_sidecar_shed_total{${labels}} ${value}`);
    for (const gauge of this.#gauges) {
      const { name, help, type } = gauge;
      head(lines, name, help, type);
      if (!('label' in gauge)) lines.push(`${name} ${gauge.read()}`);
      else for (const [value, n] of gauge.read()) lines.push(`${name}{${gauge.label}="${value}"} ${n}`);
    }
    return `${lines.join('\n')}\n${this.#durations.render()}${this.#eventLoop.render()}`;
  }
}

function head(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function count<Key>(counters: Map<Key, number>, key: Key): void {
  counters.set(key, (counters.get(key) ?? 0) + 1);
}
