import { type Message, type Scanned, slice } from '../../shared/json-rpc/message.ts';

/** One line of the client. */
export interface ClientMessage {
  readonly bytes: Buffer;
  /** Undefined for an array of messages. */
  readonly scanned: Scanned | undefined;
  /** The raw ids of the requests in it: each is owed one answer. */
  readonly ids: readonly string[];
}

/** The raw id of a message; undefined where it has none. */
export function rawId({ bytes, scanned }: Message): string | undefined {
  return scanned.id === undefined ? undefined : slice(bytes, scanned.id).toString('utf8');
}
