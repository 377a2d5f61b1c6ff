/** Whether a stream begins with an event that has an id and no data (MCP 2025-11-25, Transports). Older clients would try to parse it. */
export function startsWithPriming(protocolVersion: string): boolean {
  return protocolVersion >= '2025-11-25';
}

/** Only 2025-03-26 has arrays of messages. */
export function allowsBatches(protocolVersion: string): boolean {
  return protocolVersion === '2025-03-26';
}
