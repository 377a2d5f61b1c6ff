/** The revisions of MCP with sessions that both programs speak, oldest first. */
export const PROTOCOL_VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;

export type ProtocolVersion = (typeof PROTOCOL_VERSIONS)[number];

export const NEWEST_VERSION: ProtocolVersion = '2025-11-25';

export function isSupportedVersion(version: string): version is ProtocolVersion {
  return (PROTOCOL_VERSIONS as readonly string[]).includes(version);
}
