import { isMap, type Json } from './json.ts';

/**
 * The status annotation: what was done to a template, so that exactly that can be
 * undone. It is JSON, and written by this program alone.
 */
export interface Status {
  /** `annotated`: marked for the webhook; `injected`: with a sidecar. */
  readonly state: 'annotated' | 'injected';
  /** Of the program that did it. */
  readonly version: string;
  /** Groups and lists that there were not (`absent`) or that were empty words (`null`), by their names in `places`. */
  readonly made: Readonly<Record<string, 'absent' | 'null'>>;
  /** The variables that containers were given, by `containers/name` or `initContainers/name`. */
  readonly env: Readonly<Record<string, readonly string[]>>;
  /** The annotation as it was before. */
  readonly before?: string | undefined;
}

export function writeStatus({ state, version, made, env, before }: Status): string {
  return JSON.stringify({ state, version, made, env, ...(before === undefined ? {} : { before }) });
}

/** Undefined for a text that is no status. */
export function readStatus(text: string): Status | undefined {
  let parsed: Json;
  try {
    parsed = JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
  if (!isMap(parsed)) return undefined;
  const { state, version, made, env, before } = parsed;
  if (state !== 'annotated' && state !== 'injected') return undefined;
  if (typeof version !== 'string' || (before !== undefined && typeof before !== 'string')) return undefined;
  if (!isMade(made) || !isEnvironment(env)) return undefined;
  return { state, version, made, env, before };
}

function isMade(value: Json | undefined): value is Status['made'] {
  return isMap(value) && Object.values(value).every((each) => each === 'absent' || each === 'null');
}

function isEnvironment(value: Json | undefined): value is Status['env'] {
  return (
    isMap(value) &&
    Object.values(value).every(
      (names) => Array.isArray(names) && names.every((name) => typeof name === 'string'),
    )
  );
}
