import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { type Visit, type Visited, visitWith } from './visit.ts';

/** `@modelcontextprotocol/client` (v2) as it comes: the handshake of 2025-11-25 and before. */
export function sdkV2(visit: Visit): Promise<Visited> {
  return run(visit, 'legacy');
}

/** The same client when it may speak 2026-07-28: it asks for that first, and falls back to initialize. */
export function sdkV2Negotiating(visit: Visit): Promise<Visited> {
  return run(visit, 'auto');
}

async function run(visit: Visit, mode: 'legacy' | 'auto'): Promise<Visited> {
  const client = new Client({ name: 'sdk-v2', version: '1.0.0' }, { versionNegotiation: { mode } });
  const transport = new StreamableHTTPClientTransport(new URL(visit.url), {
    requestInit: { headers: { ...visit.headers } },
  });
  try {
    await client.connect(transport);
    const visited = await visitWith(client, visit);
    await transport.terminateSession();
    return visited;
  } finally {
    await client.close();
  }
}
