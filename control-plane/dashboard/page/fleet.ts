import type { BackendHealthView, Overview, ReplicaView, SidecarPage } from '../wire.ts';
import { element, state } from './dom.ts';
import { ago, memory, milliseconds, moment, number, own, span, words } from './format.ts';
import { type Row, Table } from './table.ts';

/** Lost replicas that the page goes on showing, and for how long. */
const MOST_LOST = 20;
const LOST_MS = 900_000;

/** Replicas, those among them that fell silent while somebody looked. */
export class Replicas {
  readonly #table: Table;
  readonly #seen = new Map<string, ReplicaView>();

  constructor(parent: HTMLElement) {
    this.#table = new Table(parent, {
      caption: 'Replicas of the control plane',
      columns: [
        'Replica',
        'State',
        'Sessions',
        'Sidecars',
        'Under way',
        'Memory',
        'Event loop',
        'Up',
        'Heard of',
        'Version',
        'Configuration',
      ],
      empty: 'The store cannot say which replicas there are.',
    });
  }

  show(overview: Overview): void {
    const { replicas, alone, now } = overview;
    for (const replica of replicas) this.#seen.set(replica.name, replica);
    const present = new Set(replicas.map(({ name }) => name));
    for (const [name, { heartbeatTime }] of this.#seen)
      if (now - (milliseconds(heartbeatTime) ?? 0) > LOST_MS) this.#seen.delete(name);
    const lost = [...this.#seen.values()].filter(({ name }) => !present.has(name));
    // Without the store nobody knows who is there.
    const shown = alone === '' ? lost.slice(-MOST_LOST) : [];
    const rows = [
      ...replicas.map((each) => row(each, overview, stateOf(each, overview))),
      ...shown.map((each) => row(each, overview, state('gone', 'bad'))),
    ];
    this.#table.show(rows.toSorted((a, b) => (a.key < b.key ? -1 : 1)));
  }

  clear(): void {
    this.#seen.clear();
    this.#table.show([]);
  }
}

function stateOf({ name, state: told }: ReplicaView, { unreachable }: Overview): HTMLElement {
  if (unreachable.includes(name)) return state('unreachable', 'bad');
  return state(words(told), told === 'SERVING' ? 'good' : 'warn');
}

function row(replica: ReplicaView, { stats, now, replica: asked }: Overview, how: HTMLElement): Row {
  const name = own(replica.name);
  const told = stats.find((each) => each.replica === name);
  const loop = milliseconds(told?.loopDelay);
  const started = milliseconds(replica.startTime);
  return {
    key: replica.name,
    cells: [
      name === asked ? `${name}, this one` : name,
      how,
      number(told?.sessions ?? replica.sessions),
      number(replica.streams),
      number(told?.exchanges ?? replica.exchanges),
      told === undefined ? '' : memory(told.residentBytes),
      loop === undefined ? '' : `${Math.round(loop)} ms`,
      started === undefined ? '' : span(Math.max(0, now - started)),
      ago(replica.heartbeatTime, now),
      replica.version,
      element('code', {}, replica.configDigest),
    ],
  };
}

const HEALTH = { HEALTHY: 'good', UNKNOWN: 'none', HALF_OPEN: 'warn', FAILING: 'warn', OPEN: 'bad' } as const;

/** How each backend fares, replica by replica. */
export class Backends {
  readonly #table: Table;

  constructor(parent: HTMLElement) {
    this.#table = new Table(parent, {
      caption: 'Backends, as each replica finds them',
      columns: [
        'Backend',
        'Replica',
        'State',
        'Since',
        'Last fault',
        'Sessions',
        'Missing in',
        'Kind',
        'Place',
        'Credential',
      ],
      empty: 'No backends are configured.',
    });
  }

  show({ backends, now }: Pick<Overview, 'backends' | 'now'>): void {
    const rows = backends.flatMap(({ name, kind, place, credentialStrategy, replicas }) =>
      replicas.map((told) => ({
        key: `${name} ${told.replica}`,
        cells: [
          own(name),
          told.replica,
          health(told),
          since(told, now),
          fault(told),
          number(told.sessionsOpen),
          missing(told),
          kind,
          place,
          words(credentialStrategy),
        ],
      })),
    );
    this.#table.show(rows);
  }
}

function health({ state: told }: BackendHealthView): HTMLElement {
  const kind = Object.hasOwn(HEALTH, told) ? HEALTH[told as keyof typeof HEALTH] : 'none';
  return state(told === 'OPEN' ? 'left alone' : told === 'UNKNOWN' ? 'not asked yet' : words(told), kind);
}

function since({ sinceTime }: BackendHealthView, now: number): HTMLElement | string {
  const said = ago(sinceTime, now);
  return said === '' ? '' : element('time', { title: moment(sinceTime) }, said);
}

function fault({ lastFault, consecutiveFailures }: BackendHealthView): string {
  if (lastFault === '') return '';
  return consecutiveFailures > 1 ? `${words(lastFault)}, ${consecutiveFailures} times` : words(lastFault);
}

function missing({ sessionsMissing }: BackendHealthView): HTMLElement | string {
  return sessionsMissing === 0 ? '0' : state(number(sessionsMissing), 'warn');
}

const SYNC = { SYNCED: 'good', STALE: 'warn', NOT_SENT: 'warn', NACKED: 'bad', DISCONNECTED: 'bad' } as const;

/** How far every sidecar is. */
export class Sidecars {
  readonly #table: Table;

  constructor(parent: HTMLElement) {
    this.#table = new Table(parent, {
      caption: 'Sidecars, and the lists that they answer by themselves',
      columns: ['Sidecar', 'State', 'Connected to', 'Under way', 'Lists', 'Virtual server'],
      empty: 'No sidecar has been here lately.',
    });
  }

  show({ sidecars }: SidecarPage): void {
    const rows = sidecars.map(({ name, state: told, streams, lists, virtualServer }) => ({
      key: name,
      cells: [
        own(name),
        state(words(told), Object.hasOwn(SYNC, told) ? SYNC[told as keyof typeof SYNC] : 'none'),
        streams
          .map(({ replica }) => replica)
          .toSorted()
          .join(', ') || 'nobody',
        number(streams.reduce((sum, { exchanges }) => sum + exchanges, 0)),
        Object.entries(lists)
          .map(([how, count]) => `${count} ${words(how)}`)
          .join(', ') || 'none',
        virtualServer || 'default',
      ],
    }));
    this.#table.show(rows);
  }
}
