import { invalid } from './admin-fault.ts';

/** google.protobuf.FieldMask, as requests have it. */
export interface FieldMask {
  readonly paths: readonly string[];
}

export interface Mask {
  readonly readMask: FieldMask | null;
  /** Those that such messages have. */
  readonly fields: readonly string[];
}

type Message = Readonly<Record<string, unknown>>;

/**
 * The fields of a message that a mask names (AIP-157), by their names in the proto
 * file; dots lead into messages. Without a mask, or with `*`, all. Throws
 * INVALID_ARGUMENT for a field that such messages do not have.
 */
export function masked(message: object, { readMask, fields }: Mask): object {
  const paths = readMask?.paths ?? [];
  if (paths.length === 0 || paths.includes('*')) return message;
  const kept: Record<string, unknown> = {};
  for (const path of paths) {
    const [head = '', ...rest] = path.split('.');
    const name = camel(head);
    if (!fields.includes(name)) throw invalid(`read_mask: there is no field "${head}".`);
    const value: unknown = Reflect.get(message, name);
    kept[name] = rest.length === 0 ? value : merged(kept[name], picked(value, rest.map(camel)));
  }
  return kept;
}

/** The fields that messages of one kind have. */
export function fieldsOf<T extends object>(
  fields: { readonly [Name in keyof T]-?: true },
): readonly string[] {
  return Object.keys(fields);
}

function picked(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value;
  if (Array.isArray(value)) return value.map((each) => picked(each, [name, ...rest]));
  return isMessage(value) && name in value ? { [name]: picked(value[name], rest) } : {};
}

/** Two selections of one field. */
function merged(one: unknown, other: unknown): unknown {
  if (Array.isArray(one) && Array.isArray(other)) return one.map((each, at) => merged(each, other[at]));
  return isMessage(one) && isMessage(other) ? { ...one, ...other } : other;
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
