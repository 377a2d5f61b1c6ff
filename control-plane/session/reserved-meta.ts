import type { Splice } from '../../shared/json-rpc/envelope.ts';
import { type Message, type Span, slice } from '../../shared/json-rpc/message.ts';
import { isObject, type Member, peekFields, readMembers } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';

/** Keys that each hop sets for itself (MCP, General fields: `_meta`); all others belong to the two ends. */
const RESERVED = 'io.modelcontextprotocol/';
const RESERVED_BYTES = Buffer.from(RESERVED);
const META = fields(['_meta']);

/** What takes the reserved keys out of a message's `params._meta`; nothing where there are none. */
export function withoutReserved({ bytes, scanned: { meta } }: Message): readonly Splice[] {
  return meta === undefined || !slice(bytes, meta).includes(RESERVED_BYTES) ? [] : removals(bytes, meta);
}

/** The same for a raw result and its `_meta`. */
export function withoutReservedInResult(result: Buffer): readonly Splice[] {
  if (!result.includes(RESERVED_BYTES)) return [];
  const [meta] = peekFields(result, { start: 0, end: result.length }, META);
  return meta === undefined ? [] : removals(result, meta);
}

function removals(bytes: Buffer, meta: Span): Splice[] {
  if (!isObject(bytes, meta)) return [];
  const members = readMembers(bytes, meta);
  const isReserved = ({ key }: Member) => decodeString(bytes, key).startsWith(RESERVED);
  const lastKept = members.findLastIndex((member) => !isReserved(member));
  return members.flatMap((member, at): Splice[] => {
    if (!isReserved(member)) return [];
    const { key, value } = member;
    const next = members[at + 1];
    // With the comma behind it, and where nothing kept follows with the one before.
    if (next !== undefined && at < lastKept) return [cut(key.start, next.key.start)];
    return [cut(members[at - 1]?.value.end ?? meta.start + 1, value.end)];
  });
}

function cut(start: number, end: number): Splice {
  return { span: { start, end }, bytes: NOTHING };
}

const NOTHING = Buffer.alloc(0);
