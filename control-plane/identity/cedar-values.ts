import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, isString, readElements, readMembers } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';

/** Members by which Cedar's JSON form tells entities and extension values from records. */
const RESERVED: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr']);

/** Deeper values are left out of claims; messages are no deeper anyway. */
const DEEPEST = 32;

/** Larger arguments are not looked into. */
const LARGEST_ARGUMENTS = 64 * 1024;

type CedarRecord = Record<string, CedarValueJson>;

/** A parsed JSON value as Cedar has it. Undefined where it has no such value: null, a fraction, a number beyond 2^53. */
function claimValue(value: unknown, depth = 0): CedarValueJson | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (typeof value !== 'object' || value === null || depth >= DEEPEST) return undefined;
  if (Array.isArray(value)) {
    return value.map((each) => claimValue(each, depth + 1)).filter((each) => each !== undefined);
  }
  return claimRecord(value, depth);
}

/** The members of a JSON object that Cedar has values for. */
export function claimRecord(object: object, depth = 0): CedarRecord {
  const record: CedarRecord = {};
  for (const [name, member] of Object.entries(object)) {
    const value = RESERVED.has(name) ? undefined : claimValue(member, depth + 1);
    if (value !== undefined) define(record, name, value);
  }
  return record;
}

/**
 * The arguments of a call from their raw JSON. Nothing that a policy may look for
 * is left out but null: what Cedar has no number for is a decimal or a text, so that
 * a comparison with it is an error, and denies. Undefined where a policy and the
 * backend might not read the same: a member that occurs twice, or in two cases; a
 * reserved name; more than 64 KiB.
 */
export function argumentRecord(bytes: Buffer): CedarRecord | undefined {
  const whole = { start: 0, end: bytes.length };
  if (bytes.length > LARGEST_ARGUMENTS || !isObject(bytes, whole)) return undefined;
  try {
    return readRecord(bytes, whole);
  } catch (thrown) {
    if (thrown instanceof Ambiguous) return undefined;
    throw thrown;
  }
}

class Ambiguous extends Error {}

function readRecord(bytes: Buffer, object: Span): CedarRecord {
  const record: CedarRecord = {};
  const seen = new Set<string>();
  for (const { key, value } of readMembers(bytes, object)) {
    const name = decodeString(bytes, key);
    const folded = name.toLowerCase();
    if (seen.has(folded) || RESERVED.has(folded)) throw new Ambiguous(name);
    seen.add(folded);
    const member = readValue(bytes, value);
    if (member !== undefined) define(record, name, member);
  }
  return record;
}

function readValue(bytes: Buffer, span: Span): CedarValueJson | undefined {
  if (isString(bytes, span)) return decodeString(bytes, span);
  if (isObject(bytes, span)) return readRecord(bytes, span);
  if (isArray(bytes, span)) {
    const elements = readElements(bytes, span).map((each) => readValue(bytes, each));
    return elements.filter((each) => each !== undefined);
  }
  const text = slice(bytes, span).toString('latin1').trim();
  if (text === 'null') return undefined;
  return text === 'true' || text === 'false' ? text === 'true' : readNumber(text);
}

function readNumber(text: string): CedarValueJson {
  const number = Number(text);
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  return /^-?\d{1,12}\.\d{1,4}$/.test(text) ? { __extn: { fn: 'decimal', arg: text } } : text;
}

/** A member of any name, `__proto__` as well. */
function define(record: CedarRecord, name: string, value: CedarValueJson): void {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
}
