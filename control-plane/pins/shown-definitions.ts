import { request } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import type { Probe } from '../probe-backends.ts';
import type { Item } from '../virtual-server/item.ts';
import { readWholeList } from '../virtual-server/list-page.ts';
import { NAMED_KINDS, type NamedKind } from '../virtual-server/naming.ts';

/** What a backend shows, by kind and by its own names; of several with one name the first, which is the one that clients see. */
export type Shown = Readonly<Record<NamedKind, ReadonlyMap<string, Item>>>;

/** Asks a backend in a session that it is given. Rejects with `BackendFault` or `MeshError`. */
export async function shownDefinitions(probe: Probe): Promise<Shown> {
  const [tools, prompts] = NAMED_KINDS;
  let id = 0;
  const nextId = () => {
    id += 1;
    return id;
  };
  return {
    tools: await listed(probe, { kind: tools, nextId }),
    prompts: await listed(probe, { kind: prompts, nextId }),
  };
}

interface Listing {
  readonly kind: NamedKind;
  readonly nextId: () => number;
}

async function listed(
  { backend, session, credential, timeouts, signal }: Probe,
  { kind, nextId }: Listing,
): Promise<ReadonlyMap<string, Item>> {
  if (session.facts.capabilities[kind] === undefined) return new Map();
  const method = `${kind}/list`;
  const items = await readWholeList({
    backend: backend.name,
    kind,
    async ask(cursor) {
      const id = nextId();
      const params = cursor === undefined ? {} : { params: [Buffer.from(JSON.stringify({ cursor }))] };
      const { bytes, scanned } = await session.call({
        id,
        pieces: request({ id: Buffer.from(String(id)), method, ...params }),
        method,
        credential,
        timeoutMs: timeouts.requestMs,
        maxTimeoutMs: timeouts.humanPacedMs,
        signal,
        onMessage: () => {},
      });
      return scanned.result === undefined ? undefined : slice(bytes, scanned.result);
    },
  });
  const shown = new Map<string, Item>();
  for (const item of items) if (!shown.has(item.key)) shown.set(item.key, item);
  return shown;
}
