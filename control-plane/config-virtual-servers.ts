import type { Path } from '../shared/config/variables.ts';
import type { ConfigContext } from './config-context.ts';
import type { ConfigFile } from './config-schema.ts';
import type { VirtualServerSettings } from './settings.ts';
import { KINDS } from './virtual-server/item.ts';
import { type GivenName, LEGAL_NAME, NAMED_KINDS, namespacedName } from './virtual-server/naming.ts';
import type { Edit, Filter, ShapeSettings } from './virtual-server/shape.ts';

type Entry = ConfigFile['mcpServers'][string];
type Section = ConfigFile['virtualServers'][string];
type Filters = Entry['filter'];

const EVERYTHING: Section = { naming: {}, filter: {} };

/** Without any, one virtual server `default` holds every backend. */
export function resolveVirtualServers(file: ConfigFile, context: ConfigContext): VirtualServerSettings[] {
  const all = Object.keys(file.mcpServers);
  for (const [name, entry] of Object.entries(file.mcpServers)) checkEdits(name, entry, context);
  const entries = Object.entries(file.virtualServers);
  const configured = entries.length > 0 ? entries : [['default', EVERYTHING] as const];
  return configured.map(([name, config]) => {
    const path = ['virtualServers', name];
    const backends = config.backends ?? all;
    checkList([...path, 'backends'], backends, all, context);
    const order = config.naming.order ?? [];
    checkList([...path, 'naming', 'order'], order, backends, context);
    checkKeys([...path, 'filter'], config.filter, backends, context);
    const names = resolveNames([...path, 'naming'], config.naming, backends, context);
    return {
      name,
      backends,
      naming: {
        mode: config.naming.mode ?? (backends.length === 1 ? 'none' : 'prefix'),
        order: [...order, ...backends.filter((each) => !order.includes(each))],
        ...(names.length === 0 ? {} : { names }),
      },
      shapes: backends.flatMap((backend) =>
        shapeOf(backend, file.mcpServers[backend], config.filter[backend]),
      ),
      instructions: config.instructions,
    };
  });
}

function checkList(
  path: Path,
  names: readonly string[],
  known: readonly string[],
  context: ConfigContext,
): void {
  for (const [at, name] of names.entries()) {
    if (!known.includes(name)) context.problem([...path, at], noSuchServer(known));
    else if (names.indexOf(name) !== at) context.problem([...path, at], `the name ${name} is used twice`);
  }
}

function checkKeys(path: Path, group: object, known: readonly string[], context: ConfigContext): void {
  for (const name of Object.keys(group)) {
    if (!known.includes(name)) context.problem([...path, name], noSuchServer(known));
  }
}

function noSuchServer(known: readonly string[]): string {
  return `no such server; known here: ${known.join(', ')}`;
}

/** The names of one backend's items must tell them apart, with the backend's prefix too. */
function checkEdits(backend: string, entry: Entry, context: ConfigContext): void {
  for (const kind of NAMED_KINDS) {
    const originals = new Map<string, string>();
    for (const [original, { name }] of Object.entries(entry[kind])) {
      if (name === undefined) continue;
      const path = ['mcpServers', backend, kind, original, 'name'];
      const other = originals.get(name);
      if (other !== undefined) context.problem(path, `${other} has this name already`);
      else if (!LEGAL_NAME.test(namespacedName(backend, name)))
        context.problem(path, 'too long: a name has at most 128 characters with its prefix');
      originals.set(name, original);
    }
  }
}

function resolveNames(
  path: Path,
  { mode, names = {} }: Section['naming'],
  backends: readonly string[],
  context: ConfigContext,
): GivenName[] {
  if (mode !== 'manual' && Object.keys(names).length > 0)
    context.problem([...path, 'names'], 'names are given in mode manual only');
  checkKeys([...path, 'names'], names, backends, context);
  const given = Object.entries(names).flatMap(([backend, group]) =>
    NAMED_KINDS.flatMap((kind) =>
      Object.entries(group[kind]).map(([original, visible]) => ({ kind, backend, original, visible })),
    ),
  );
  for (const { kind, backend, original, visible } of given) {
    const problem = (message: string) =>
      context.problem([...path, 'names', backend, kind, original], message);
    const first = given.find((each) => each.kind === kind && each.visible === visible);
    if (first?.backend !== backend || first.original !== original)
      problem(`${first?.original} of ${first?.backend} has this name already`);
    const prefix = backends.find((each) => visible.startsWith(namespacedName(each, '')));
    if (prefix !== undefined)
      problem(`names that begin with ${namespacedName(prefix, '')} are those of what is not named here`);
  }
  return given;
}

/** Nothing for a backend whose items are shown as they are. */
function shapeOf(backend: string, entry: Entry | undefined, filters: Filters | undefined): ShapeSettings[] {
  if (entry === undefined) return [];
  const shape: ShapeSettings = {
    backend,
    filters: [...filtersOf(entry.filter), ...filtersOf(filters ?? {})],
    edits: KINDS.flatMap((kind) =>
      Object.entries(entry[kind]).flatMap(([original, edit]) => editOf(kind, original, edit)),
    ),
    ...textsOf(entry.texts),
  };
  return shape.filters.length + shape.edits.length === 0 && shape.texts === undefined ? [] : [shape];
}

function textsOf({ hidden, longest }: Entry['texts']): Pick<ShapeSettings, 'texts'> {
  return hidden === 'keep' && longest === undefined ? {} : { texts: { hidden, longest } };
}

function filtersOf(filters: Filters): Filter[] {
  return KINDS.flatMap((kind) => {
    const filter = filters[kind];
    return filter === undefined ? [] : [{ kind, allow: filter.allow, deny: filter.deny }];
  });
}

function editOf(kind: Edit['kind'], original: string, values: Omit<Edit, 'kind' | 'original'>): Edit[] {
  const { name, title, description, annotations } = values;
  const set = Object.entries({ name, title, description, annotations }).filter(
    ([, value]) => value !== undefined,
  );
  return set.length === 0 ? [] : [{ kind, original, ...Object.fromEntries(set) }];
}
