import type { Naming } from '../virtual-server/naming.ts';
import { hidden, type ShapeSettings, type Shapes, shapesFrom } from '../virtual-server/shape.ts';

/** A configured virtual server, as sessions need it. The same object for as long as its configuration is the same. */
export interface VirtualServer {
  readonly name: string;
  /** Names of backends, in the order in which lists show them. */
  readonly backends: readonly string[];
  readonly naming: Naming;
  /** Of the backends whose items are not shown as they are. */
  readonly shapes: readonly ShapeSettings[];
  readonly instructions: string | undefined;
}

/** By which the backends of a session are merged. */
export interface MergeRules {
  readonly naming: Naming;
  readonly shapes: Shapes;
}

/**
 * The rules for a session that was made with these backends; for one list of them the
 * same object as long as the virtual server is the same. What the virtual server has no more shows nothing: a filter
 * must not end with what it was written for.
 */
export function mergeRules(server: VirtualServer | undefined, desired: readonly string[]): MergeRules {
  const current = server ?? GONE;
  const known = made.get(current) ?? new WeakMap<readonly string[], MergeRules>();
  made.set(current, known);
  const rules = known.get(desired) ?? makeRules(current, desired);
  known.set(desired, rules);
  return rules;
}

const GONE: VirtualServer = {
  name: '',
  backends: [],
  naming: { mode: 'prefix', order: [] },
  shapes: [],
  instructions: undefined,
};

const made = new WeakMap<VirtualServer, WeakMap<readonly string[], MergeRules>>();

function makeRules({ backends, naming, shapes }: VirtualServer, desired: readonly string[]): MergeRules {
  const gone = desired.filter((backend) => !backends.includes(backend)).map(hidden);
  return { naming, shapes: shapesFrom(gone.length === 0 ? shapes : [...shapes, ...gone]) };
}
