/** The legacy-era revisions of MCP that the mesh speaks, oldest first. */
export const PROTOCOL_VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;

/** Whether a stream begins with an event that has an id and no data (MCP 2025-11-25, Transports). Older clients would try to parse it. */
export function startsWithPriming(protocolVersion: string): boolean {
  return protocolVersion >= '2025-11-25';
}

/** Only 2025-03-26 has arrays of messages. */
export function allowsBatches(protocolVersion: string): boolean {
  return protocolVersion === '2025-03-26';
}

export function isSupported(protocolVersion: string): boolean {
  return (PROTOCOL_VERSIONS as readonly string[]).includes(protocolVersion);
}
