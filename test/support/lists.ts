import { setTimeout as sleep } from 'node:timers/promises';
import type { McpClient } from './mcp-client.ts';
import type { Sidecar } from './mesh.ts';
import { metric, until } from './story.ts';

export const LISTS = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'] as const;

/** Lists that the sidecar answered by itself, and exchanges that crossed the mesh. */
async function listCounts(sidecar: Sidecar): Promise<{ local: number; crossed: number }> {
  return {
    local: await metric(sidecar, 'outrigger_sidecar_lists_answered_total'),
    crossed: await metric(sidecar, 'outrigger_sidecar_exchanges_total'),
  };
}

/** Asks until the sidecar answers by itself. */
export async function granted(client: McpClient, sidecar: Sidecar, method = 'tools/list'): Promise<void> {
  await until(`the sidecar answers ${method}`, async () => {
    const before = await listCounts(sidecar);
    await client.request(method);
    if ((await listCounts(sidecar)).local > before.local) return true;
    await sleep(100);
    return false;
  });
}

/** What an action added to the counts. */
export async function listsAdded(sidecar: Sidecar, action: () => Promise<unknown>) {
  const before = await listCounts(sidecar);
  await action();
  const after = await listCounts(sidecar);
  return { local: after.local - before.local, crossed: after.crossed - before.crossed };
}

/** The names in a list, as this client sees it now. */
export async function namesIn(
  client: McpClient,
  method: (typeof LISTS)[number] = 'tools/list',
): Promise<string[]> {
  const reply = await client.request(method);
  const result = (reply.answer?.result ?? {}) as Record<string, unknown>;
  const items = Object.values(result).find((value) => Array.isArray(value));
  if (items === undefined) throw new Error(`no list: ${reply.status} ${reply.body}`);
  return items.map(({ name }: { name: string }) => name);
}
