import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { type Visit, type Visited, visitWith } from './visit.ts';

/** `@modelcontextprotocol/sdk` (v1) over Streamable HTTP; it ends its session with DELETE. */
export async function sdkV1(visit: Visit): Promise<Visited> {
  const client = new Client({ name: 'sdk-v1', version: '1.0.0' });
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
