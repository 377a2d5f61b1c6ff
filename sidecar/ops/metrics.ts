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

/**
 * What the sidecar counts, written in the Prometheus text format. Labels are words
 * of closed sets: nothing that a client sends can become one, so neither can a
 * token, and the number of series is fixed.
 */
export class SidecarMetrics {
  readonly #exchanges: Readonly<Record<ExchangeKind, Map<Outcome, number>>> = {
    message: new Map(),
    listen: new Map(),
    terminate: new Map(),
  };
  readonly #refusals = new Map<string, number>();
  readonly #gauges: Gauge[] = [];

  exchangeEnded(kind: ExchangeKind, outcome: Outcome): void {
    count(this.#exchanges[kind], outcome);
  }

  /** A request that the edge refused before anything crossed the mesh. */
  refused(reason: string): void {
    count(this.#refusals, reason);
  }

  watch(gauge: Gauge): void {
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
    for (const { name, help, type, read } of this.#gauges) {
      head(lines, name, help, type);
      lines.push(`${name} ${read()}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function head(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function count<Key>(counters: Map<Key, number>, key: Key): void {
  counters.set(key, (counters.get(key) ?? 0) + 1);
}
