import { createHash } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import { request } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import type { Caller } from '../identity/caller.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { Item } from '../virtual-server/item.ts';
import { MAX_ITEMS, MAX_PAGES, parseListPage } from '../virtual-server/list-page.ts';
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
const NEVER = new AbortController().signal;

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
  const items: Item[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES && items.length <= MAX_ITEMS; page += 1) {
    const answer = await readPage(calls, list, cursor);
    items.push(...answer.items);
    cursor = answer.nextCursor;
    if (cursor === undefined) return items;
  }
  throw new MeshError('backend_protocol_error', `The backend "${link.name}" has a list without end.`, {
    backend: link.name,
  });
}

async function readPage(
  calls: CallEnvironment,
  { session, caller, link, kind }: BackendList,
  cursor: string | undefined,
) {
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
  if (scanned.result === undefined) return { items: [], nextCursor: undefined };
  return parseListPage(kind, slice(bytes, scanned.result));
}
