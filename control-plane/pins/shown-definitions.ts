import { request } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { NEWEST_VERSION } from '../../shared/protocol-versions.ts';
import { VERSION } from '../../shared/version.ts';
import type { Backend, BackendSession } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { BackendTimeouts } from '../settings.ts';
import type { Item } from '../virtual-server/item.ts';
import { readWholeList } from '../virtual-server/list-page.ts';
import { NAMED_KINDS, type NamedKind } from '../virtual-server/naming.ts';

/** What a backend shows, by kind and by its own names; of several with one name the first, which is the one that clients see. */
export type Shown = Readonly<Record<NamedKind, ReadonlyMap<string, Item>>>;

export interface Asked {
  readonly backend: Backend;
  readonly credential: Credential;
  readonly timeouts: BackendTimeouts;
  readonly signal: AbortSignal;
}

/** A client that can do everything is shown everything. */
const PARAMS = Buffer.from(
  JSON.stringify({
    protocolVersion: NEWEST_VERSION,
    capabilities: {
      roots: { listChanged: true },
      sampling: { context: {}, tools: {} },
      elicitation: { form: {}, url: {} },
    },
    clientInfo: { name: 'outrigger pins', version: VERSION },
  }),
);

/** Asks a backend in a session of its own, which it ends. Rejects with `BackendFault` or `MeshError`. */
export async function shownDefinitions(asked: Asked): Promise<Shown> {
  const { backend, credential, timeouts, signal } = asked;
  const session = await backend.open({
    initializeParams: PARAMS,
    credential,
    events: { message: () => {}, lost: () => {} },
    timeoutMs: timeouts.initializeMs,
    lifeMs: Number.POSITIVE_INFINITY,
    signal,
  });
  try {
    const [tools, prompts] = NAMED_KINDS;
    let id = 0;
    const nextId = () => {
      id += 1;
      return id;
    };
    return {
      tools: await listed(asked, { session, kind: tools, nextId }),
      prompts: await listed(asked, { session, kind: prompts, nextId }),
    };
  } finally {
    await session.close({ terminate: true, credential });
  }
}

interface Listing {
  readonly session: BackendSession;
  readonly kind: NamedKind;
  readonly nextId: () => number;
}

async function listed(
  { backend, credential, timeouts, signal }: Asked,
  { session, kind, nextId }: Listing,
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
