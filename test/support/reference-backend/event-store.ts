import type { EventId, EventStore, JSONRPCMessage, StreamId } from '@modelcontextprotocol/server';

const CAPACITY = 1000;

/**
 * The events of one session, in memory, so that a client can resume any of its streams with
 * `Last-Event-ID` (MCP 2025-11-25, Transports, Resumability). One store serves one session: an id of
 * another session is unknown here. Beyond 1,000 events the oldest are forgotten.
 */
export class SessionEvents implements EventStore {
  readonly #events = new Map<EventId, { streamId: StreamId; message: JSONRPCMessage }>();
  #sequence = 0;

  async storeEvent(streamId: StreamId, message: JSONRPCMessage): Promise<EventId> {
    this.#sequence += 1;
    const eventId = `${streamId}.${this.#sequence}`;
    this.#events.set(eventId, { streamId, message });
    const oldest = this.#events.keys().next().value;
    if (this.#events.size > CAPACITY && oldest !== undefined) this.#events.delete(oldest);
    return eventId;
  }

  async getStreamIdForEventId(eventId: EventId): Promise<StreamId | undefined> {
    return this.#events.get(eventId)?.streamId;
  }

  async replayEventsAfter(
    lastEventId: EventId,
    { send }: { send: (eventId: EventId, message: JSONRPCMessage) => Promise<void> },
  ): Promise<StreamId> {
    const last = this.#events.get(lastEventId);
    if (last === undefined) throw new Error('unknown event id');
    let after = false;
    for (const [eventId, event] of [...this.#events]) {
      // A priming event is stored as an empty message: it is a place to resume from, not content.
      if (after && event.streamId === last.streamId && 'jsonrpc' in event.message)
        await send(eventId, event.message);
      if (eventId === lastEventId) after = true;
    }
    return last.streamId;
  }
}
