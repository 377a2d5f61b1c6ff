import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { redact } from '../../shared/redact.ts';
import type { Audit, AuditEvent } from '../session/audit.ts';
import type { ShownItems } from '../session/list-reads.ts';
import type { Item } from '../virtual-server/item.ts';
import type { DefinitionPins, Named, Standing } from '../virtual-server/pins.ts';
import type { Metrics } from './metrics.ts';

export interface DefinitionWatchOptions {
  /** As they are now; undefined where nothing was approved and nothing is looked at. */
  readonly pins: () => DefinitionPins | undefined;
  /** What backends showed the live sessions last. */
  readonly shown: () => readonly ShownItems[];
  /** An approved definition is another one in this list. At most once a minute for each list. */
  readonly onChanged: (list: Pick<ShownItems, 'backend' | 'kind'>) => void;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'toolDefinitions' | 'toolChanges'>;
  readonly audit: Audit;
  readonly log: Logger;
}

/** Other work has its turn after each so many milliseconds of comparing. */
const SLICE_MS = 5;
/** A definition that was shown within this time is not told of again: a backend may show two callers two in turn. */
const SHOWN_LATELY_MS = 600_000;
/** What a backend makes up anew for every reader must not make every reader read. */
const BETWEEN_CHANGES_MS = 60_000;
/** What is kept, for each backend, of names whose definition was not approved at some time, and of definitions of each. */
const MOST_NAMES = 2_000;
const MOST_DEFINITIONS = 16;

/** One name whose definition has been another than an approved one. */
interface Watched {
  latest: string;
  /** When each definition was shown last. */
  readonly seen: Map<string, number>;
}

interface Sighting extends Named {
  readonly item: Item;
  readonly standing: Standing;
}

/**
 * Tells of definitions that are not those that were approved, and of their return: once for a
 * change, however many sessions and lists show it. What can be made up without end, names and
 * definitions, is told of up to a bound, which is said.
 */
export class DefinitionWatch {
  readonly #options: DefinitionWatchOptions;
  /** By backend, by kind and name. */
  readonly #watched = new Map<string, Map<string, Watched>>();
  readonly #full = new Set<string>();
  /** When each list was last found to have changed. */
  readonly #changedAt = new Map<string, number>();

  constructor(options: DefinitionWatchOptions) {
    this.#options = options;
    Object.assign(options.metrics.toolDefinitions, { collect: () => this.#count() });
  }

  /** Backends show this now. Never throws, and takes its time in small pieces. */
  saw(list: ShownItems): void {
    const pins = this.#options.pins();
    if (pins === undefined) return;
    this.#look(pins, list).catch((error: unknown) =>
      this.#options.log.error('definitions could not be compared', { backend: list.backend, error }),
    );
  }

  async #look(pins: DefinitionPins, { backend, kind, items }: ShownItems): Promise<void> {
    let since = performance.now();
    for (const item of items) {
      const named = { backend, kind, name: item.key };
      const standing = pins.standing(named, item);
      if (standing === undefined) return;
      if (this.#isNews({ ...named, item, standing })) {
        this.#tell(pins, { ...named, item, standing });
        if (standing.reason === 'changed') this.#changed(named);
      }
      if (performance.now() - since < SLICE_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  }

  #isNews({ backend, kind, name, standing: { state, digest } }: Sighting): boolean {
    const names = this.#watched.get(backend) ?? new Map<string, Watched>();
    this.#watched.set(backend, names);
    const key = `${kind} ${name}`;
    const known = names.get(key);
    const now = this.#options.clock.now();
    const shown = `${state} ${digest}`;
    if (known === undefined) {
      if (state === 'approved' || state === 'allowed') return false;
      if (names.size >= MOST_NAMES) return this.#overflow(backend);
      names.set(key, { latest: shown, seen: new Map([[shown, now]]) });
      return true;
    }
    const lately = known.seen.get(shown);
    const isNews = shown !== known.latest && (lately === undefined || now - lately > SHOWN_LATELY_MS);
    known.latest = shown;
    const [oldest] = known.seen;
    if (lately === undefined && known.seen.size >= MOST_DEFINITIONS && oldest !== undefined) {
      if (now - oldest[1] <= SHOWN_LATELY_MS) return this.#overflow(backend);
      known.seen.delete(oldest[0]);
    }
    // The one that was not shown for the longest time comes first.
    known.seen.delete(shown);
    known.seen.set(shown, now);
    return isNews;
  }

  #changed({ backend, kind }: Named): void {
    const now = this.#options.clock.now();
    const list = `${kind} ${backend}`;
    const before = this.#changedAt.get(list);
    if (before !== undefined && now - before < BETWEEN_CHANGES_MS) return;
    this.#changedAt.set(list, now);
    this.#options.onChanged({ backend, kind });
  }

  /** Says once that this backend changes more than is told. */
  #overflow(backend: string): false {
    if (!this.#full.has(backend)) {
      this.#full.add(backend);
      this.#options.log.error('a backend changes more definitions than are told of', {
        event: 'tool_changes_untold',
        backend,
      });
    }
    return false;
  }

  #tell(pins: DefinitionPins, sighting: Sighting): void {
    const { backend, kind, name, item, standing } = sighting;
    const { metrics, audit, log } = this.#options;
    const { state, reason = 'approved' } = standing;
    const digest = shortDigest(standing.digest);
    // A backend could write a credential that it saw into what it says of itself.
    const detail = redact(
      standing.reason === undefined ? digest : `${digest}\n${pins.difference(sighting, item)}`,
    );
    metrics.toolChanges.inc({ backend, state });
    const said = { action: 'tool.change', backend, kind: KIND[kind], item: name, reason, detail } as const;
    audit.record({ ...said, outcome: OUTCOMES[state] });
    const fields = { event: 'tool_change', backend, kind: KIND[kind], tool: name, state, reason, detail };
    if (standing.reason === undefined) log.info('a backend shows an approved definition again', fields);
    else log.warn('a backend shows a definition that was not approved', fields);
  }

  /** Distinct definitions that live sessions were shown last, by how they stand now. */
  #count(): void {
    const { pins, shown, metrics } = this.#options;
    const gauge = metrics.toolDefinitions;
    gauge.reset();
    const present = pins();
    if (present === undefined) return;
    const counted = new Set<string>();
    for (const { backend, kind, items } of shown()) {
      for (const item of items) {
        const standing = present.standing({ backend, kind, name: item.key }, item);
        if (standing === undefined) break;
        const id = JSON.stringify([backend, kind, item.key, standing.digest]);
        if (counted.has(id)) continue;
        counted.add(id);
        gauge.inc({ backend, state: standing.state });
      }
    }
  }
}

/** As much as tells definitions apart; all of it would be taken for a secret in a log. */
function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

const KIND = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'template',
} as const;

const OUTCOMES: Readonly<Record<Standing['state'], AuditEvent['outcome']>> = {
  approved: 'allowed',
  allowed: 'allowed',
  flagged: 'allowed',
  quarantined: 'denied',
};
