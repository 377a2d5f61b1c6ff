import { createHash } from 'node:crypto';
import { request } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { NEVER } from '../../shared/never.ts';
import type { Caller } from '../identity/caller.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { Item } from '../virtual-server/item.ts';
import { readWholeList } from '../virtual-server/list-page.ts';
import { WeakPool } from '../virtual-server/weak-pool.ts';
import { type CallEnvironment, callBackend, connect } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import type { LiveSession } from './live-session.ts';

/** One list of one backend, for one caller. */
export interface BackendList {
  readonly session: LiveSession;
  readonly caller: Caller;
  readonly link: BackendLink;
  readonly kind: ListKind;
}

export const LIST_METHODS: Readonly<Record<ListKind, string>> = {
  tools: 'tools/list',
  resources: 'resources/list',
  resourceTemplates: 'resources/templates/list',
  prompts: 'prompts/list',
};
const CAPABILITIES: Readonly<Record<ListKind, string>> = {
  tools: 'tools',
  resources: 'resources',
  resourceTemplates: 'resources',
  prompts: 'prompts',
};

/**
 * All pages of one backend's list, under its caller's credential; the same array for the same list,
 * whichever session it was read in. Rejects with `BackendFault` or `MeshError`.
 */
export async function readList(calls: CallEnvironment, list: BackendList): Promise<readonly Item[]> {
  const items = await readPages(calls, list);
  const hash = createHash('sha256');
  for (const item of items) hash.update(item.hash);
  return lists.get(hash.digest('base64url'), () => items);
}

const lists = new WeakPool<readonly Item[]>();

async function readPages(calls: CallEnvironment, list: BackendList): Promise<readonly Item[]> {
  const { session, caller, link, kind } = list;
  const backend = await connect(session, link, caller);
  if (backend.facts.capabilities[CAPABILITIES[kind]] === undefined) return [];
  return readWholeList({ backend: link.name, kind, ask: (cursor) => readPage(calls, list, cursor) });
}

async function readPage(
  calls: CallEnvironment,
  { session, caller, link, kind }: BackendList,
  cursor: string | undefined,
): Promise<Buffer | undefined> {
  const method = LIST_METHODS[kind];
  const params = cursor === undefined ? {} : { params: [Buffer.from(JSON.stringify({ cursor }))] };
  const { bytes, scanned } = await callBackend(calls, {
    session,
    link,
    caller,
    method,
    signal: NEVER,
    build: (id) => request({ id: Buffer.from(String(id)), method, ...params }),
    onMessage: () => {},
  });
  // A backend that claims a capability without its method has nothing of it.
  return scanned.result === undefined ? undefined : slice(bytes, scanned.result);
}
