import { createRequire } from 'node:module';

/**
 * Whether an object is what the API server's published schemas allow. They do not say
 * which keys there are, so of a misspelled one nothing is heard here.
 */
export function kubernetesFaults(object: object): string[] {
  const { apiVersion, kind, items } = object as { apiVersion: string; kind: string; items?: object[] };
  if (kind === 'List') return (items ?? []).flatMap(kubernetesFaults);
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const folder = group === '' ? version : `${GROUPS[group ?? ''] ?? group}/${version}`;
  const module = require(`kubernetes-models/${folder}/${kind}`) as Record<
    string,
    new (
      data: object,
    ) => Model
  >;
  const Kind = module[kind];
  if (Kind === undefined) return [`no schema for ${apiVersion} ${kind}`];
  try {
    new Kind(object).validate();
    return [];
  } catch (error) {
    return [`${kind}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

interface Model {
  validate(): void;
}

const require = createRequire(import.meta.url);
const GROUPS: Readonly<Record<string, string>> = {};
