import { ANONYMOUS_BINDING, bindingKeyOf } from '../identity/binding-key.ts';
import type { RecordCrypto } from '../session/record-crypto.ts';
import { adminName, type RecordNames } from '../session/record-names.ts';
import { parseSessionId } from '../session/session-id.ts';
import type { SessionManager } from '../session/session-manager.ts';
import type { SessionSummary } from '../session/session-record.ts';
import type { SessionListing, SessionStore } from '../store/session-store.ts';
import { invalid, notFound } from './admin-fault.ts';
import { type Filter, type FilterFields, parseFilter } from './admin-filter.ts';
import type { ListSessionsRequest, PrincipalMessage, SessionMessage } from './admin-messages.ts';
import { pageSizeOf, readPageToken, writePageToken } from './admin-pages.ts';
import { timestamp } from './admin-values.ts';

export interface AdminSessionsOptions {
  readonly store: SessionStore;
  readonly crypto: Pick<RecordCrypto, 'openSummary'>;
  readonly names: RecordNames;
  readonly manager: SessionManager;
  /** As sessions are made with. */
  readonly limits: { readonly sessionIdleMs: number; readonly sessionAbsoluteMs: number };
}

/** A stored session, opened as far as admins may. */
export interface StoredSession {
  readonly listing: SessionListing;
  /** Undefined where it is sealed under a key that this replica was not given. */
  readonly summary: SessionSummary | undefined;
}

const NAME = /^sessions\/([a-z2-7]{26})$/;
/** Sessions read from the store at a time. */
const BATCH = 250;
/** Reads for one page of a filtered list; a page that is not full then leads to the next one. */
const MOST_BATCHES = 40;
/** Sessions that one watch follows. */
const MOST_WATCHED = 5_000;

const FIELDS: FilterFields = {
  texts: ['subject', 'issuer', 'tenant', 'client', 'virtual_server', 'backend', 'replica'],
  ages: ['age'],
};

/** The sessions of all replicas, from the store: what the header says, and the summary that is sealed for admins. */
export class AdminSessions {
  readonly #options: AdminSessionsOptions;

  constructor(options: AdminSessionsOptions) {
    this.#options = options;
  }

  /** A page. One that was filtered may be short; the end is where there is no next one. */
  async list(
    request: ListSessionsRequest,
  ): Promise<{ sessions: readonly SessionMessage[]; nextPageToken: string }> {
    const list = `sessions ${request.filter}`;
    const size = pageSizeOf(request);
    let cursor = readPageToken(list, request.pageToken);
    const admits = await this.#filter(request.filter);
    const sessions: SessionMessage[] = [];
    for (let batch = 0; batch < MOST_BATCHES; batch += 1) {
      // Never more than there is room for: the store's own cursor is where the next page begins.
      const page = await this.#page(cursor, size - sessions.length);
      sessions.push(...page.sessions.filter(admits).map((each) => this.message(each)));
      cursor = page.next;
      if (cursor === undefined || sessions.length === size) break;
    }
    return { sessions, nextPageToken: cursor === undefined ? '' : writePageToken(list, cursor) };
  }

  /** All that a filter takes, up to a bound, for watches. */
  async all(filter: string): Promise<readonly SessionMessage[]> {
    const admits = await this.#filter(filter);
    const found: SessionMessage[] = [];
    for await (const session of this.#scan()) {
      if (admits(session)) found.push(this.message(session));
      if (found.length === MOST_WATCHED) break;
    }
    return found;
  }

  /** Throws NOT_FOUND. */
  async get(name: string): Promise<StoredSession> {
    const [, wanted] = NAME.exec(name) ?? [];
    if (wanted === undefined) throw invalid('name: expected sessions/ and 26 letters and digits.');
    const live = this.#options.manager.named(wanted);
    if (live !== undefined) {
      const record = await this.#options.store.load(live.key);
      if (record !== null) return this.#open({ key: live.key, ...record });
    }
    for await (const session of this.#scan()) if (adminName(session.listing.key) === wanted) return session;
    throw notFound(`session "${name}"`);
  }

  /** The session of this id, if it is one of ours. Throws NOT_FOUND, which names nothing. */
  async lookup(sessionId: string): Promise<StoredSession> {
    const id = parseSessionId(sessionId);
    if (id !== undefined) {
      for await (const session of this.#scan()) {
        const caller = boundTo(session.summary);
        const keys = caller === undefined ? [] : this.#options.names.candidates(caller, id);
        if (keys.some(({ name }) => name === session.listing.key.name)) return session;
      }
    }
    throw notFound('session of this id');
  }

  /** Throws NOT_FOUND. */
  async terminate(name: string): Promise<void> {
    const { listing } = await this.get(name);
    if (!(await this.#options.manager.end(listing.key))) throw notFound(`session "${name}"`);
  }

  /** Returns how many there were. */
  async terminateAll(principal: PrincipalMessage): Promise<number> {
    const { issuer, subject, tenant } = principal;
    if (issuer === '' || subject === '') throw invalid('issuer and subject: expected both.');
    let count = 0;
    for await (const { listing, summary } of this.#scan()) {
      const theirs = summary?.issuer === issuer && summary.subject === subject && summary.tenant === tenant;
      if (theirs && (await this.#options.manager.end(listing.key))) count += 1;
    }
    return count;
  }

  message({ listing, summary = UNREADABLE }: StoredSession): SessionMessage {
    const { key, header } = listing;
    const { sessionIdleMs, sessionAbsoluteMs } = this.#options.limits;
    const { issuer, subject, tenant, client, virtualServer, backends } = summary;
    const createdAt = header.expiresAt - sessionAbsoluteMs;
    return {
      name: `sessions/${adminName(key)}`,
      principal: { issuer, subject, tenant },
      client,
      virtualServer,
      backends,
      replica: header.owner,
      epoch: header.epoch,
      restores: header.epoch - 1,
      createTime: timestamp(createdAt),
      takeTime: timestamp(header.takenAt),
      useTime: timestamp(Math.max(createdAt, header.idleExpiresAt - sessionIdleMs)),
      idleExpireTime: timestamp(header.idleExpiresAt),
      expireTime: timestamp(header.expiresAt),
    };
  }

  async #filter(text: string): Promise<(session: StoredSession) => boolean> {
    const filter: Filter = parseFilter(text, FIELDS);
    if (text.trim() === '') return () => true;
    const now = await this.#options.store.now();
    const { sessionAbsoluteMs } = this.#options.limits;
    return ({ listing: { header }, summary = UNREADABLE }) =>
      filter({
        texts: {
          subject: [summary.subject],
          issuer: [summary.issuer],
          tenant: [summary.tenant],
          client: [summary.client],
          virtual_server: [summary.virtualServer],
          backend: summary.backends,
          replica: [header.owner],
        },
        ages: { age: now - (header.expiresAt - sessionAbsoluteMs) },
      });
  }

  async #page(cursor: string | undefined, limit: number) {
    const page = await this.#options.store.list({ limit, ...(cursor === undefined ? {} : { cursor }) });
    return { sessions: page.sessions.map((each) => this.#open(each)), next: page.next };
  }

  async *#scan(): AsyncGenerator<StoredSession> {
    let cursor: string | undefined;
    do {
      const page = await this.#page(cursor, BATCH);
      yield* page.sessions;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  #open(listing: SessionListing): StoredSession {
    const text = this.#options.crypto.openSummary(listing.key.name, listing.summary);
    return { listing, summary: text === undefined ? undefined : (JSON.parse(text) as SessionSummary) };
  }
}

/** Sealed under a key that this replica does not have. */
const UNREADABLE: SessionSummary = {
  issuer: '',
  subject: '',
  tenant: '',
  client: '',
  virtualServer: '',
  backends: [],
};

function boundTo(summary: SessionSummary | undefined) {
  if (summary === undefined) return undefined;
  return summary.issuer === ''
    ? { kind: 'anonymous' as const, bindingKey: ANONYMOUS_BINDING }
    : { kind: 'identified' as const, bindingKey: bindingKeyOf(summary) };
}
