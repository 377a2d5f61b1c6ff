import { slice } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import type { ReplySink } from '../rpc/exchange.ts';
import { formatEventId, type LoggedEvent } from './event-log.ts';

/** What the first event of a stream holds for the replicas; the client gets it without data. */
export interface Opening {
  /** The raw ids of the requests that are answered on it. */
  readonly ids: readonly string[];
  readonly retryMs: number;
}

export function writeOpening({ ids, retryMs }: Opening): Buffer {
  return Buffer.from(JSON.stringify({ ids, retryMs }));
}

export function readOpening(data: Buffer): Opening {
  return JSON.parse(data.toString('utf8')) as Opening;
}

/** An event that a stream gives again; without an id where the log does not have it. */
export type ReplayedEvent = LoggedEvent & { readonly unlogged?: true };

export interface Replay {
  readonly id: string;
  readonly epoch: number;
  readonly after: number;
  readonly events: readonly ReplayedEvent[];
}

/** Writes the later events of a stream to its reader and returns the last number that it now has. */
export function replay(reply: ReplySink, stream: Replay): number {
  let last = stream.after;
  for (const event of stream.events) {
    if (event.seq <= stream.after || isOpening(event)) continue;
    if (event.seq > last + 1) reply.event([gapNotice(event.seq - last - 1)]);
    const eventId = formatEventId({ stream: stream.id, epoch: stream.epoch, seq: event.seq });
    reply.event([event.data], event.unlogged ? undefined : eventId);
    last = event.seq;
  }
  return last;
}

/** The raw ids of the requests whose answers a stored stream still owes. Those of several come in any order. */
export function owedRequests(events: readonly LoggedEvent[]): readonly string[] {
  const [first, ...rest] = events;
  if (first === undefined || !isOpening(first)) return [];
  const answers = rest.filter(({ answer }) => answer);
  const { ids } = readOpening(first.data);
  if (answers.length >= ids.length) return [];
  const answered = new Set(answers.map(({ data }) => answeredId(data)));
  return ids.filter((id) => !answered.has(id));
}

function answeredId(data: Buffer): string {
  const { id } = scanMessage(data);
  return id === undefined ? '' : slice(data, id).toString('utf8');
}

/** What is said where nothing of a stream is left. */
export function notKept(): Buffer {
  return warning('The earlier messages of this stream are no longer kept');
}

const OPENING = Buffer.from('{"ids":');

function isOpening(event: LoggedEvent): boolean {
  return event.seq === 1 && event.data.subarray(0, OPENING.length).equals(OPENING);
}

/** What the buffer could not keep is said, not skipped in silence. */
function gapNotice(missing: number): Buffer {
  return warning(`${missing} earlier message(s) of this stream are no longer kept`);
}

function warning(data: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      jsonrpc: '2.0',
      method: 'notifications/message',
      params: { level: 'warning', logger: 'outrigger', data },
    }),
  );
}
