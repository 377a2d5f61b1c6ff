import type { MeshError } from '../../shared/errors.ts';
import type { Principal } from '../identity/principal.ts';
import type { Catalogue, ListKind, ListPages, Route } from '../virtual-server/catalogue.ts';
import type { BackendItems } from '../virtual-server/item.ts';
import type { Outage } from './backend-outages.ts';
import type { MergeRules } from './virtual-server.ts';

/** When a list of one backend was last asked for, and what came of it. */
export interface Reading {
  readonly at: number;
  readonly stale: boolean;
  /** When the backend said that it has changed, by the moments of `SharedReads`; undefined where it only may have, or in this session alone. */
  readonly saidAt: number | undefined;
  readonly failure: MeshError | undefined;
}

/** A list as it is shown now. */
export interface KnownList {
  readonly pages: ListPages;
  /** The missing backends and why, as raw JSON; undefined where none is. */
  readonly missing: string | undefined;
  /** For how long nothing has to be read, in milliseconds. Infinite where all changes are heard. */
  readonly freshForMs: number;
}

/** What one authorization context sees through a session. Lists are named by `listKey`. */
export interface ListView {
  readonly principal: Principal;
  /** Last known items; a backend's list that was never read is absent. */
  readonly items: Map<string, BackendItems>;
  readonly readings: Map<string, Reading>;
  readonly flights: Map<string, Promise<void>>;
  /** Backends that a list has waited for in vain; no other waits for them until one of their lists comes. */
  readonly slow: Set<string>;
  /** The versions that the client has been given. */
  readonly served: Map<ListKind, string>;
  catalogue: Catalogue | undefined;
  /** What the catalogue was merged by. */
  rules: MergeRules | undefined;
  admitted: AdmittedCalls | undefined;
}

/** Tools that calls of a context were admitted to whatever their arguments, as one catalogue and one revision of the rules have it. */
export interface AdmittedCalls {
  readonly catalogue: Catalogue;
  readonly revision: number;
  /** By the names that the client knows; the catalogue has them all. */
  readonly routes: Map<string, Route>;
}

export function newView(principal: Principal): ListView {
  return {
    principal,
    items: new Map(),
    readings: new Map(),
    flights: new Map(),
    slow: new Set(),
    served: new Map(),
    catalogue: undefined,
    rules: undefined,
    admitted: undefined,
  };
}

/** The same view, not knowing of some backends; what they, or others, still answer to the old one is lost with it. */
export function without(view: ListView, backends: ReadonlySet<string>): ListView {
  const kept = ([key]: readonly [string, unknown]) => !backends.has(key.split(' ')[0] ?? '');
  const readings = [...view.readings].filter(kept).map(([key, reading]): [string, Reading] => {
    const stale = reading.stale || view.flights.has(key);
    return [key, { ...reading, stale }];
  });
  return {
    ...newView(view.principal),
    items: new Map([...view.items].filter(kept)),
    readings: new Map(readings),
    served: view.served,
  };
}

export function listKey(backend: string, kind: ListKind): string {
  return `${backend} ${kind}`;
}

/** Backends that have not given this list yet. */
export function waitedFor(view: ListView, kind: ListKind): Record<string, Outage> {
  const late: Record<string, Outage> = {};
  for (const id of view.flights.keys()) {
    const [name = '', of] = id.split(' ');
    const message = `The backend "${name}" has not given its list yet.`;
    if (of === kind) late[name] = { status: 'unavailable', reason: 'backend_timeout', message };
  }
  return late;
}

/** Backends whose last read of this list failed, and why. */
export function failures(view: ListView, kind: ListKind): Record<string, Outage> {
  const failed: Record<string, Outage> = {};
  for (const [id, { failure }] of view.readings) {
    const [name = '', of] = id.split(' ');
    if (failure !== undefined && of === kind) {
      failed[name] = { status: 'unavailable', reason: failure.reason, message: failure.message };
    }
  }
  return failed;
}
