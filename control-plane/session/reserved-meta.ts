import type { Splice } from '../../shared/json-rpc/envelope.ts';
import { type Message, type Span, slice } from '../../shared/json-rpc/message.ts';
import { isObject, isString, type Member, peekFields, readMembers } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { TaskNaming } from './related-tasks.ts';

/** Keys that each hop sets for itself (MCP, General fields: `_meta`); all others belong to the two ends. */
const RESERVED = 'io.modelcontextprotocol/';
/** Without the slash: some writers of JSON escape it. */
const RESERVED_BYTES = Buffer.from(RESERVED.slice(0, -1));
/** The task that a message belongs to, by the id that its reader knows (MCP 2025-11-25, Tasks). */
const RELATED_TASK = `${RESERVED}related-task`;
/** What a created task says to the model: from one end to the other. */
const IMMEDIATE_RESPONSE = `${RESERVED}model-immediate-response`;
const META = fields(['_meta']);

/**
 * What takes the reserved keys out of a message's `params._meta`; nothing where there
 * are none. A related task stays where its reader knows the task, under the id that it knows.
 */
export function withoutReserved(
  { bytes, scanned: { meta } }: Message,
  naming?: TaskNaming,
): readonly Splice[] {
  if (meta === undefined || !slice(bytes, meta).includes(RESERVED_BYTES)) return [];
  return replacements(bytes, meta, naming);
}

/** The same for a raw result and its `_meta`. */
export function withoutReservedInResult(result: Buffer, naming?: TaskNaming): readonly Splice[] {
  if (!result.includes(RESERVED_BYTES)) return [];
  const [meta] = peekFields(result, { start: 0, end: result.length }, META);
  return meta === undefined ? [] : replacements(result, meta, naming);
}

/** Whether the message belongs to a task, and so may outlive the call on whose stream it came. */
export function isTaskRelated({ bytes, scanned: { meta } }: Message): boolean {
  return meta !== undefined && slice(bytes, meta).includes('related-task');
}

function replacements(bytes: Buffer, meta: Span, naming: TaskNaming | undefined): Splice[] {
  if (!isObject(bytes, meta)) return [];
  const members = readMembers(bytes, meta).map((member) => ({ ...member, ...fate(bytes, member, naming) }));
  const lastKept = members.findLastIndex(({ kept }) => kept);
  return members.flatMap(({ key, value, kept, renamed }, at): Splice[] => {
    if (kept) return renamed === undefined ? [] : [renamed];
    const next = members[at + 1];
    // With the comma behind it, and where nothing kept follows with the one before.
    if (next !== undefined && at < lastKept) return [cut(key.start, next.key.start)];
    return [cut(members[at - 1]?.value.end ?? meta.start + 1, value.end)];
  });
}

interface Fate {
  readonly kept: boolean;
  /** The id of a related task as the reader knows it. */
  readonly renamed?: Splice;
}

function fate(bytes: Buffer, { key, value }: Member, naming: TaskNaming | undefined): Fate {
  const name = decodeString(bytes, key);
  if (!name.startsWith(RESERVED) || name === IMMEDIATE_RESPONSE) return { kept: true };
  if (name !== RELATED_TASK || naming === undefined || !isObject(bytes, value)) return { kept: false };
  // Nothing is asked of a task here, but readers differ on which of two ids counts.
  const ids = readMembers(bytes, value).filter((member) => decodeString(bytes, member.key) === 'taskId');
  const [id] = ids;
  if (id === undefined || ids.length > 1 || !isString(bytes, id.value)) return { kept: false };
  const known = naming(decodeString(bytes, id.value));
  return known === undefined ? { kept: false } : { kept: true, renamed: { span: id.value, bytes: known } };
}

function cut(start: number, end: number): Splice {
  return { span: { start, end }, bytes: NOTHING };
}

const NOTHING = Buffer.alloc(0);
