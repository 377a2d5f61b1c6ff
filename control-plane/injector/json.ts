/** Kubernetes objects as what they are on the wire. */
export type Json = null | boolean | number | string | readonly Json[] | JsonMap;
export interface JsonMap {
  readonly [key: string]: Json;
}

export type Path = readonly (string | number)[];

export function isMap(value: Json | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** What stands at the path; undefined where nothing does. */
export function at(value: Json | undefined, path: Path): Json | undefined {
  let found = value;
  for (const key of path) {
    if (isList(found) && typeof key === 'number') found = found[key];
    else if (isMap(found) && typeof key === 'string' && Object.hasOwn(found, key)) found = found[key];
    else return undefined;
  }
  return found;
}

/** A group of texts, such as labels; empty where there is none. */
export function textsAt(value: Json | undefined, path: Path): Readonly<Record<string, string>> {
  const found = at(value, path);
  if (!isMap(found)) return {};
  return Object.fromEntries(
    Object.entries(found).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
