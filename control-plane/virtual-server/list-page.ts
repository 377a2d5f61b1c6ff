import { createHash } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import {
  isArray,
  isObject,
  isString,
  peekFields,
  readElements,
  readFields,
} from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { type Fields, fields } from '../../shared/json-rpc/walker.ts';
import type { Item, ListKind } from './item.ts';
import { WeakPool } from './weak-pool.ts';

/** Pages to read of one list of one backend. More is a cursor without end. */
const MAX_PAGES = 100;

/** Items to take from one list of one backend. */
const MAX_ITEMS = 5_000;

export interface ListPage {
  readonly items: readonly Item[];
  /** The backend's cursor for the next page; the empty string is one. */
  readonly nextCursor: string | undefined;
  /** Items that no client could have read. */
  readonly dropped: number;
}

/**
 * Reads one page, a backend's raw list result. An item that breaks its schema
 * drops alone, because strict clients refuse a whole list for it. Schemas inside of
 * items are data and are not looked into. Throws MeshError `backend_protocol_error`
 * where the result is no list.
 */
export function parseListPage(kind: ListKind, result: Buffer): ListPage {
  const [list, cursor] = readPage(kind, result);
  if (list === undefined || !isArray(result, list)) throw notAList();
  const items: Item[] = [];
  let dropped = 0;
  for (const span of readElements(result, list)) {
    const item = parseItem(kind, slice(result, span));
    if (item === undefined) dropped++;
    else items.push(item);
  }
  return { items, nextCursor: readCursor(result, cursor), dropped };
}

export interface WholeList {
  readonly backend: string;
  readonly kind: ListKind;
  /** Resolves to the raw result of one page; undefined where the backend has no such list. */
  readonly ask: (cursor: string | undefined) => Promise<Buffer | undefined>;
}

/** All items, page after page. Rejects with MeshError `backend_protocol_error` for a list without end, and for what is no list. */
export async function readWholeList({ backend, kind, ask }: WholeList): Promise<readonly Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES && items.length <= MAX_ITEMS; page += 1) {
    const result = await ask(cursor);
    if (result === undefined) return items;
    const answer = parseListPage(kind, result);
    items.push(...answer.items);
    cursor = answer.nextCursor;
    if (cursor === undefined) return items;
  }
  const text = `The backend "${backend}" has a list without end.`;
  throw new MeshError('backend_protocol_error', text, { backend });
}

type Check = (bytes: Buffer, span: Span) => boolean;

interface Shape {
  readonly key: Fields;
  readonly members: Fields;
  readonly checks: readonly { readonly required: boolean; readonly holds: Check }[];
}

function shape(key: string, required: Record<string, Check>, optional: Record<string, Check>): Shape {
  return {
    key: fields([key]),
    members: fields([...Object.keys(required), ...Object.keys(optional)]),
    checks: [
      ...Object.values(required).map((holds) => ({ required: true, holds })),
      ...Object.values(optional).map((holds) => ({ required: false, holds })),
    ],
  };
}

const TYPE = fields(['type']);

/** Tools take and give objects (MCP 2025-11-25, Tool). */
function isObjectSchema(bytes: Buffer, span: Span): boolean {
  if (!isObject(bytes, span)) return false;
  const [type] = peekFields(bytes, span, TYPE);
  return type !== undefined && slice(bytes, type).equals(OBJECT_TYPE);
}

const OBJECT_TYPE = Buffer.from('"object"');
const TEXTS = { title: isString, description: isString };
const COMMON = { ...TEXTS, icons: isArray, _meta: isObject };
const RESOURCE = { ...COMMON, mimeType: isString, annotations: isObject };

const SHAPES: Readonly<Record<ListKind, Shape>> = {
  tools: shape(
    'name',
    { inputSchema: isObjectSchema },
    { ...COMMON, outputSchema: isObjectSchema, annotations: isObject },
  ),
  resources: shape('uri', { name: isString }, RESOURCE),
  resourceTemplates: shape('uriTemplate', { name: isString }, RESOURCE),
  prompts: shape('name', {}, { ...COMMON, arguments: isArray }),
};

const PAGES: Readonly<Record<ListKind, Fields>> = {
  tools: fields(['tools', 'nextCursor']),
  resources: fields(['resources', 'nextCursor']),
  resourceTemplates: fields(['resourceTemplates', 'nextCursor']),
  prompts: fields(['prompts', 'nextCursor']),
};

const pool = new WeakPool<Item>();

function readPage(kind: ListKind, result: Buffer): (Span | undefined)[] {
  const whole = { start: 0, end: result.length };
  if (!isObject(result, whole)) throw notAList();
  try {
    return readFields(result, whole, PAGES[kind]);
  } catch (thrown) {
    throw thrown instanceof JsonRpcFault ? notAList(thrown) : thrown;
  }
}

function readCursor(result: Buffer, span: Span | undefined): string | undefined {
  if (span === undefined || slice(result, span).equals(NULL)) return undefined;
  if (!isString(result, span)) throw notAList();
  return decodeString(result, span);
}

const NULL = Buffer.from('null');

/** An item that the process knows was sound when it came first. */
function parseItem(kind: ListKind, bytes: Buffer): Item | undefined {
  const hash = createHash('sha256').update(bytes).digest('base64url');
  return pool.get(`${kind} ${hash}`, () => readItem(kind, bytes, hash));
}

function readItem(kind: ListKind, bytes: Buffer, hash: string): Item | undefined {
  const whole = { start: 0, end: bytes.length };
  const { key, members, checks } = SHAPES[kind];
  if (!isObject(bytes, whole)) return undefined;
  const spans = peekFields(bytes, whole, members);
  const sound = checks.every(({ required, holds }, i) => {
    const span = spans[i];
    return span === undefined ? !required : holds(bytes, span);
  });
  const keySpan = sound ? readKey(bytes, key) : undefined;
  if (keySpan === undefined) return undefined;
  // A copy of its own: a slice would keep the whole page alive, and the pool of small buffers its neighbours.
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return { bytes: own, hash, key: decodeString(own, keySpan), keySpan };
}

/** The key decides where calls go, so it must read the same to everybody. */
function readKey(bytes: Buffer, key: Fields): Span | undefined {
  try {
    const [span] = readFields(bytes, { start: 0, end: bytes.length }, key);
    // Two bytes are the empty string.
    return span !== undefined && isString(bytes, span) && span.end - span.start > 2 ? span : undefined;
  } catch (thrown) {
    if (thrown instanceof JsonRpcFault) return undefined;
    throw thrown;
  }
}

function notAList(cause?: unknown): MeshError {
  return new MeshError('backend_protocol_error', 'The backend answered a list request with something else.', {
    cause,
  });
}
