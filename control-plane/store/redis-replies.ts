import type { QuarantineReason, RecordHeader, StoredEvent } from './session-store.ts';

/** Reads what the scripts answer: an array of byte strings, the first of which says what it is. */

export type Reply = readonly Buffer[];

export function kindOf(reply: Reply): string {
  return text(reply, 0);
}

/** The eight parts after the kind. */
export function headerOf(reply: Reply): RecordHeader {
  return {
    version: number(reply, 1),
    epoch: number(reply, 2),
    owner: text(reply, 3),
    takenAt: number(reply, 4),
    expiresAt: number(reply, 5),
    idleExpiresAt: number(reply, 6),
    schema: number(reply, 7),
    keyId: text(reply, 8),
  };
}

export function sealedOf(reply: Reply): { summary: string; body: string } {
  return { summary: text(reply, 9), body: text(reply, 10) };
}

const REASONS: ReadonlySet<string> = new Set<QuarantineReason>([
  'malformed',
  'wrong_type',
  'oversized',
  'future_schema',
]);

export function corruptionOf(reply: Reply): QuarantineReason {
  const why = text(reply, 1);
  return REASONS.has(why) ? (why as QuarantineReason) : 'malformed';
}

/** The events of one page, after the newest `seq` in second place. */
export function eventsOf(reply: Reply): readonly StoredEvent[] {
  const events: StoredEvent[] = [];
  for (let at = 2; at < reply.length; ) {
    const pieces = number(reply, at + 2);
    const data = reply.slice(at + 3, at + 3 + pieces);
    events.push({
      seq: number(reply, at),
      answer: text(reply, at + 1) === '1',
      data: data.length === 1 && data[0] !== undefined ? data[0] : Buffer.concat(data),
    });
    at += 3 + pieces;
  }
  return events;
}

export function text(reply: Reply, at: number): string {
  const part = reply[at];
  if (part === undefined) throw new Error('Redis gave a reply with a part missing.');
  return part.toString();
}

export function number(reply: Reply, at: number): number {
  return Number(text(reply, at));
}
