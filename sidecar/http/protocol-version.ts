import { allowsBatches, isSupportedVersion } from '../../shared/protocol-versions.ts';

/**
 * The `MCP-Protocol-Version` header (MCP 2025-06-18, Streamable HTTP). The edge
 * only refuses what no replica could serve, and absent means the negotiated one;
 * which version a session negotiated is the replica's knowledge, and decides the
 * semantics.
 */
export function isAcceptableVersion(version: string | undefined): boolean {
  return version === undefined || isSupportedVersion(version);
}

/**
 * Arrays exist in 2025-03-26 alone, which has no version header: one without the
 * header, or with exactly this value in it, crosses, and the replica judges it by
 * the version that the session negotiated. The edge keeps no session state, so it
 * decides the same after its restart.
 */
export function mayCarryBatch(version: string | undefined): boolean {
  return version === undefined || allowsBatches(version);
}
