/** The revisions of MCP with sessions that both programs speak, oldest first. */
export const PROTOCOL_VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;

export type ProtocolVersion = (typeof PROTOCOL_VERSIONS)[number];

export const NEWEST_VERSION: ProtocolVersion = '2025-11-25';

export function isSupportedVersion(version: string): version is ProtocolVersion {
  return (PROTOCOL_VERSIONS as readonly string[]).includes(version);
}

/** Whether a stream begins with an event that has an id and no data (MCP 2025-11-25, Transports). Older clients would try to parse it. */
export function startsWithPriming(version: string): boolean {
  return version >= '2025-11-25';
}

/** Whether requests may run as tasks (MCP 2025-11-25, Tasks). */
export function hasTasks(version: string): boolean {
  return version >= '2025-11-25';
}

/** Only 2025-03-26 has arrays of messages. */
export function allowsBatches(version: string): boolean {
  return version === '2025-03-26';
}
