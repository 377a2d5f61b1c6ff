/** Rows that targets speak of. */
export const DIRECT = 'direct';
export const BARE_PROXY = 'bare proxy';
export const TWO_BARE_HOPS = 'two bare hops';
export const NGINX = 'nginx';
export const MCP_PROXY = 'mcp-proxy';
export const MCP_HUB = 'mcp-hub';
export const OUTRIGGER = 'outrigger';
export const OUTRIGGER_TWO = 'outrigger (2 replicas)';
export const OUTRIGGER_REDIS = 'outrigger (Redis)';
export const OUTRIGGER_SECURED = 'outrigger (JWT + Redis + policy)';
export const OUTRIGGER_AUDITED = 'outrigger (JWT + Redis + policy + audit)';
export const GOOD_NEIGHBOUR = 'beside a good backend';
export const BAD_NEIGHBOUR = 'beside a bad backend';

/** The process of the mesh that runs beside every agent, and so must be small. */
export const SIDECAR = 'sidecar';
