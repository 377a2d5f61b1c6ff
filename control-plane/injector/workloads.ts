import { at, isList, isMap, type Json, type Path } from './json.ts';

/** A pod, or the template of pods, somewhere in an object. */
export interface PodTemplate {
  /** Of the pod or template: what has `metadata` and `spec`. */
  readonly path: Path;
  readonly workload: Workload;
}

/** What an outcome is said of. */
export interface Workload {
  readonly kind: string;
  /** Empty where it has none yet, as a pod that a controller is about to name. */
  readonly name: string;
  readonly namespace: string;
}

/** An object that has no template of pods, or none that is known here. */
export interface NoTemplate {
  readonly workload: Workload;
  readonly reason: 'unsupported_kind' | 'no_pod_template';
}

interface Kind {
  readonly group: string;
  readonly template: Path;
}

const KINDS: Readonly<Record<string, Kind>> = {
  Pod: { group: '', template: [] },
  ReplicationController: { group: '', template: ['spec', 'template'] },
  Deployment: { group: 'apps', template: ['spec', 'template'] },
  StatefulSet: { group: 'apps', template: ['spec', 'template'] },
  DaemonSet: { group: 'apps', template: ['spec', 'template'] },
  ReplicaSet: { group: 'apps', template: ['spec', 'template'] },
  Job: { group: 'batch', template: ['spec', 'template'] },
  CronJob: { group: 'batch', template: ['spec', 'jobTemplate', 'spec', 'template'] },
};

/** Every pod or template that an object holds, and every object of a list that holds none. */
export function templatesOf(object: Json): readonly (PodTemplate | NoTemplate)[] {
  return templatesAt(object, { path: [], kind: '', apiVersion: '' });
}

interface Place {
  readonly path: Path;
  /** What an item of a typed list is, which need not say so itself. */
  readonly kind: string;
  readonly apiVersion: string;
}

function templatesAt(object: Json, place: Place): readonly (PodTemplate | NoTemplate)[] {
  const kind = textAt(object, 'kind') || place.kind;
  const apiVersion = textAt(object, 'apiVersion') || place.apiVersion;
  const items = at(object, ['items']);
  if (kind.endsWith('List') && isList(items)) {
    const inside = { kind: kind.slice(0, -'List'.length), apiVersion };
    return items.flatMap((item, index) =>
      templatesAt(item, { ...inside, path: [...place.path, 'items', index] }),
    );
  }
  const name = textAt(object, 'metadata', 'name') || textAt(object, 'metadata', 'generateName');
  const workload = { kind, name, namespace: textAt(object, 'metadata', 'namespace') };
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  if (known === undefined || known.group !== group) return [{ workload, reason: 'unsupported_kind' }];
  if (!isMap(at(object, [...known.template, 'spec']))) return [{ workload, reason: 'no_pod_template' }];
  return [{ workload, path: [...place.path, ...known.template] }];
}

function textAt(object: Json, ...path: readonly string[]): string {
  const found = at(object, path);
  return typeof found === 'string' ? found : '';
}
