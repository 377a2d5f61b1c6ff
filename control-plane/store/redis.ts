import { randomBytes } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import type { StoreHooks } from './hooks.ts';
import {
  checkAppend,
  checkKey,
  checkNewRecord,
  checkTable,
  checkToken,
  checkUpdate,
  MAX_PART_BYTES,
} from './limits.ts';
import { readCursor, writeCursor } from './page-cursor.ts';
import { RedisAlarms } from './redis-alarms.ts';
import { type ConnectionOptions, createSubscriber, redisTarget } from './redis-connection.ts';
import { RedisInvalidations } from './redis-invalidations.ts';
import { RedisKeys } from './redis-keys.ts';
import { RedisLink, type ScriptCall, unavailable } from './redis-link.ts';
import { RedisPulse } from './redis-pulse.ts';
import {
  corruptionOf,
  eventsOf,
  headerOf,
  kindOf,
  number,
  type Reply,
  sealedOf,
  text,
} from './redis-replies.ts';
import {
  APPEND_EVENTS,
  CLOSE,
  CREATE,
  GET_STRING,
  INDEX_ALL,
  LIST_PRINCIPAL,
  LOAD,
  PUT_TABLE,
  QUARANTINE,
  READ_EVENTS,
  TOUCH,
  UPDATE,
} from './redis-scripts.ts';
import { RedisSentinels } from './redis-sentinels.ts';
import type {
  EventAppend,
  EventPage,
  EventRead,
  InvalidationListener,
  NewRecord,
  QuarantineReason,
  RecordHeader,
  RecordKey,
  RecordUpdate,
  SessionListing,
  SessionRecord,
  SessionStore,
  StoredEvent,
  TouchOutcome,
  UpdateOutcome,
} from './session-store.ts';
import type { RedisStoreSettings } from './settings.ts';

const DEFAULT_COMMAND_TIMEOUT_MS = 500;
/** Sessions that could not be entered in the index of all yet; the pulse tries again. */
const MAX_UNINDEXED = 10_000;
/** How many names a look at the index of all takes at once. */
const INDEX_PAGE = 256;

/**
 * The session store on Redis 7.0 or newer (or Valkey): a single server, Sentinel
 * or Cluster. Every operation is one script on the server's clock. Opens at once,
 * Redis or no Redis, and is `ready` when it can be asked.
 */
export class RedisSessionStore implements SessionStore {
  readonly #keys: RedisKeys;
  readonly #hooks: StoreHooks;
  readonly #commands: RedisLink;
  /** Writes that wait for replicas have a connection of their own, as WAIT holds up what comes after it. */
  readonly #writes: RedisLink;
  readonly #waitReplicas: number;
  readonly #alarms: RedisAlarms;
  readonly #invalidations: RedisInvalidations;
  readonly #pulse: RedisPulse;
  readonly #sentinels: RedisSentinels | undefined;
  readonly #unindexed = new Map<string, number>();

  private constructor(settings: RedisStoreSettings, hooks: StoreHooks) {
    const {
      durability = 'local',
      waitReplicas = 1,
      commandTimeoutMs = DEFAULT_COMMAND_TIMEOUT_MS,
    } = settings;
    const connection: ConnectionOptions = {
      target: redisTarget(settings),
      tls: settings.tls,
      commandTimeoutMs,
    };
    this.#keys = new RedisKeys(settings.prefix ?? 'outrigger');
    this.#hooks = hooks;
    this.#waitReplicas = durability === 'replicated' ? waitReplicas : 0;
    this.#alarms = new RedisAlarms(hooks);
    const link = {
      ...connection,
      onReady: () => this.#pulse.beat(),
      onFault: this.#alarms.onFault,
    };
    this.#commands = new RedisLink(link);
    this.#writes = this.#waitReplicas > 0 ? new RedisLink(link) : this.#commands;
    const { target } = connection;
    this.#sentinels =
      target.kind === 'sentinel' ? new RedisSentinels({ ...connection, ...target }) : undefined;
    this.#invalidations = new RedisInvalidations({
      channel: this.#keys.invalidations,
      origin: randomBytes(9).toString('base64url'),
      subscriber: (attempt) => createSubscriber(connection, attempt),
    });
    this.#pulse = new RedisPulse({
      link: this.#commands,
      generation: this.#keys.generation,
      mustNotEvict: this.#waitReplicas > 0,
      alarms: this.#alarms,
      onFlushed: () => this.#invalidations.tell(null),
      beforeBeat: () => this.#followPrimary(),
      onBeat: () => this.#indexLate(),
    });
  }

  /**
   * Resolves when Redis has answered once, or did not within the command timeout:
   * then the store is there, and not ready. Rejects with a sentence for people
   * when Redis may evict sessions that `replicated` promises to keep.
   */
  static async open(settings: RedisStoreSettings, hooks: StoreHooks): Promise<RedisSessionStore> {
    const store = new RedisSessionStore(settings, hooks);
    await store.#pulse.first(settings.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS);
    const refusal = store.#pulse.refusal;
    if (refusal === undefined) return store;
    await store.stop();
    throw new Error(refusal);
  }

  get ready(): boolean {
    const usable = this.#waitReplicas === 0 || this.#pulse.trusted;
    return usable && this.#pulse.healthy && this.#commands.ready && this.#writes.connected;
  }

  async create(record: NewRecord): Promise<{ kind: 'created'; header: RecordHeader } | { kind: 'exists' }> {
    checkNewRecord(record);
    const { key, witness } = record;
    const [reply] = await Promise.all([
      this.#write('create', {
        script: CREATE,
        keys: [this.#keys.record(key), this.#keys.index(key.principal), this.#keys.barrier(key.principal)],
        args: [
          key.name,
          this.#durable,
          record.writeId,
          record.owner,
          record.idleTtlMs,
          record.absoluteTtlMs,
          record.schema,
          record.keyId,
          record.summary,
          record.body,
          witness.id,
        ],
      }),
      this.#read('create', {
        script: PUT_TABLE,
        keys: [this.#keys.witness(witness.id)],
        args: [`${witness.binding} ${key.principal} ${key.name}`, record.absoluteTtlMs],
      }),
    ]);
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    if (kindOf(reply) !== 'created') return { kind: 'exists' };
    const header = headerOf(reply);
    await this.#indexAll(key, header.expiresAt);
    return { kind: 'created', header };
  }

  async load(key: RecordKey): Promise<SessionRecord | null> {
    checkKey(key);
    const reply = await this.#read('load', this.#loading(key, true));
    if (kindOf(reply) === 'lost') this.#alarms.sessionLost();
    if (await this.#missing(key, reply)) return null;
    return { header: headerOf(reply), ...sealedOf(reply) };
  }

  async touch(key: RecordKey, epoch: number): Promise<TouchOutcome> {
    checkKey(key);
    const reply = await this.#read('touch', {
      script: TOUCH,
      keys: [this.#keys.record(key), this.#keys.index(key.principal)],
      args: [key.name, epoch],
    });
    if (await this.#missing(key, reply)) return { kind: 'gone' };
    return { kind: kindOf(reply) === 'fenced' ? 'fenced' : 'ok', header: headerOf(reply) };
  }

  async update(update: RecordUpdate): Promise<UpdateOutcome> {
    checkUpdate(update);
    const { key } = update;
    const changed = { kid: update.keyId, summary: update.summary, body: update.body };
    const reply = await this.#write('update', {
      script: UPDATE,
      keys: [this.#keys.record(key), this.#keys.index(key.principal), this.#keys.barrier(key.principal)],
      args: [
        key.name,
        this.#durable,
        update.writeId,
        update.version,
        update.epoch,
        this.#keys.invalidations,
        this.#invalidations.message(key.name),
        update.takeover?.owner ?? '',
        ...Object.entries(changed).flatMap(([field, value]) => (value === undefined ? [] : [field, value])),
      ],
    });
    if (await this.#missing(key, reply)) return { kind: 'gone' };
    const kind = kindOf(reply);
    const header = headerOf(reply);
    if (kind === 'conflict' || kind === 'fenced' || kind === 'too_soon') return { kind, header };
    if (update.takeover !== undefined) await this.#indexAll(key, header.expiresAt);
    return { kind: 'ok', header };
  }

  async close(key: RecordKey): Promise<boolean> {
    checkKey(key);
    const reply = await this.#write('close', {
      script: CLOSE,
      keys: [
        this.#keys.record(key),
        this.#keys.index(key.principal),
        this.#keys.barrier(key.principal),
        this.#keys.streams(key),
      ],
      args: [key.name, this.#durable, this.#keys.invalidations, this.#invalidations.message(key.name)],
    });
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    await this.#unindexAll([member(key)]);
    if (kindOf(reply) !== 'closed') return false;
    await this.#besides(() => this.#commands.client.unlink(this.#keys.witness(text(reply, 1))));
    return true;
  }

  async quarantine(key: RecordKey, why: QuarantineReason): Promise<void> {
    checkKey(key);
    this.#alarms.quarantined(key, why);
    await this.#read('quarantine', {
      script: QUARANTINE,
      keys: [
        this.#keys.record(key),
        this.#keys.index(key.principal),
        this.#keys.streams(key),
        this.#keys.quarantine(key),
      ],
      args: [key.name, this.#keys.invalidations, this.#invalidations.message(key.name)],
    });
    await this.#unindexAll([member(key)]);
  }

  async witness(id: string): Promise<string | null> {
    checkToken(id);
    const reply = await this.#read('witness', {
      script: GET_STRING,
      keys: [this.#keys.witness(id)],
      args: [],
    });
    if (kindOf(reply) !== 'found') return null;
    const [binding, principal, name] = text(reply, 1).split(' ');
    if (binding === undefined || principal === undefined || name === undefined) return null;
    // A session that has expired has no witness either, whatever is left of it.
    const record = await this.#read('witness', this.#loading({ principal, name }, false));
    return kindOf(record) === 'found' ? binding : null;
  }

  async listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]> {
    checkToken(principal);
    const reply = await this.#read('listPrincipal', {
      script: LIST_PRINCIPAL,
      keys: [this.#keys.index(principal)],
      args: [this.#keys.recordPrefix(principal)],
    });
    const sessions: { name: string; touchedAt: number }[] = [];
    for (let at = 1; at < reply.length; at += 2) {
      sessions.push({ name: text(reply, at), touchedAt: number(reply, at + 1) });
    }
    return sessions.sort((a, b) => a.touchedAt - b.touchedAt);
  }

  async list(page: { cursor?: string; limit: number }): Promise<{
    sessions: readonly SessionListing[];
    next: string | undefined;
  }> {
    const [score, after] = page.cursor === undefined ? ['-inf', ''] : readCursor(page.cursor);
    if (score !== '-inf' && !/^\d{1,15}$/.test(score))
      throw new MeshError('invalid_request', 'The page token is not one of ours.');
    const sessions: SessionListing[] = [];
    for (let offset = 0; ; offset += INDEX_PAGE) {
      const entries = await this.#indexed(score, offset);
      // The sort key of an entry never changes, so a page goes on where the last one ended.
      const fresh = entries.filter((entry) => entry.score !== score || entry.member > after);
      for (const [at, { key, session }] of (await this.#peek(fresh)).entries()) {
        if (session !== undefined) sessions.push({ key, ...session });
        const here = fresh[at];
        const more = at + 1 < fresh.length || entries.length === INDEX_PAGE;
        if (sessions.length === page.limit && here !== undefined) {
          return { sessions, next: more ? writeCursor([here.score, here.member]) : undefined };
        }
      }
      if (entries.length < INDEX_PAGE) return { sessions, next: undefined };
    }
  }

  async putTable(id: string, sealed: string, ttlMs: number): Promise<void> {
    checkTable(id, sealed);
    await this.#read('putTable', { script: PUT_TABLE, keys: [this.#keys.table(id)], args: [sealed, ttlMs] });
  }

  async getTable(id: string): Promise<string | null> {
    checkToken(id);
    const reply = await this.#read('getTable', {
      script: GET_STRING,
      keys: [this.#keys.table(id)],
      args: [],
    });
    return kindOf(reply) === 'found' ? text(reply, 1) : null;
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    checkAppend(append);
    const { key, stream, epoch, events } = append;
    const reply = await this.#read('appendEvents', {
      script: APPEND_EVENTS,
      keys: [this.#keys.record(key), this.#keys.streams(key), this.#stream(append)],
      args: [stream, epoch, ...events.flatMap(eventArguments)],
    });
    if (await this.#missing(key, reply)) return 'gone';
    return kindOf(reply) === 'fenced' ? 'fenced' : 'ok';
  }

  async readEvents(read: EventRead): Promise<EventPage> {
    checkKey(read.key);
    checkToken(read.stream);
    const events: StoredEvent[] = [];
    let after = read.after;
    for (;;) {
      const reply = await this.#read('readEvents', {
        script: READ_EVENTS,
        keys: [this.#keys.record(read.key), this.#stream(read)],
        args: [after],
      });
      if (kindOf(reply) === 'damaged')
        await this.#besides(() => this.#commands.client.unlink(this.#stream(read)));
      if (kindOf(reply) !== 'ok') return { events: [], dropped: 0, last: 0 };
      const page = eventsOf(reply);
      events.push(...page);
      const last = number(reply, 1);
      after = page.at(-1)?.seq ?? last;
      if (after >= last) return { events, dropped: Math.max(0, last - read.after - events.length), last };
    }
  }

  watch(listener: InvalidationListener): () => void {
    return this.#invalidations.watch(listener);
  }

  async now(): Promise<number> {
    return this.#pulse.now();
  }

  async stop(): Promise<void> {
    this.#pulse.stop();
    this.#invalidations.stop();
    this.#sentinels?.stop();
    this.#commands.stop();
    this.#writes.stop();
  }

  get #durable(): string {
    return this.#waitReplicas > 0 ? '1' : '0';
  }

  #loading(key: RecordKey, body: boolean): ScriptCall {
    return {
      script: LOAD,
      keys: [this.#keys.record(key), this.#keys.index(key.principal)],
      args: [key.name, body ? '1' : '0'],
    };
  }

  #stream({ key, stream }: EventRead | EventAppend): string {
    return `${this.#keys.streams(key)}:${stream}`;
  }

  /** True when there is no record to speak of; one that cannot be trusted is set aside first. */
  async #missing(key: RecordKey, reply: Reply): Promise<boolean> {
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    return ['corrupt', 'gone', 'lost'].includes(kindOf(reply));
  }

  #read(operation: string, call: ScriptCall): Promise<Reply> {
    return this.#timed(operation, () => this.#commands.run(call));
  }

  #write(operation: string, call: ScriptCall): Promise<Reply> {
    if (this.#waitReplicas === 0) return this.#read(operation, call);
    return this.#timed(operation, () => this.#writes.runReplicated(call, this.#waitReplicas));
  }

  async #timed<T>(operation: string, run: () => Promise<T>): Promise<T> {
    // Until the server is known not to evict, nothing may rest on it.
    if (this.#waitReplicas > 0 && !this.#pulse.trusted)
      throw unavailable('Redis is not known to keep what it is given.');
    const started = performance.now();
    try {
      return await run();
    } finally {
      this.#hooks.onLatency?.(operation, performance.now() - started);
    }
  }

  async #followPrimary(): Promise<void> {
    for (const connection of new Set([this.#commands, this.#writes, this.#invalidations])) {
      const { client } = connection;
      if (client?.status === 'ready' && (await this.#sentinels?.disown(client))) connection.reconnect();
    }
  }

  /** What may fail without harm: leftovers expire, and the index is repaired by its readers. */
  async #besides(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await this.#commands.ask(work);
      return true;
    } catch {
      return false;
    }
  }

  async #indexAll(key: RecordKey, expiresAt: number): Promise<void> {
    const call = { script: INDEX_ALL, keys: [this.#keys.all], args: [expiresAt, member(key)] };
    const done = await this.#commands.run(call).catch(() => undefined);
    if (done === undefined && this.#unindexed.size < MAX_UNINDEXED)
      this.#unindexed.set(member(key), expiresAt);
    else this.#unindexed.delete(member(key));
  }

  async #indexLate(): Promise<void> {
    for (const [entry, expiresAt] of [...this.#unindexed].slice(0, INDEX_PAGE)) {
      await this.#indexAll(keyOf(entry), expiresAt);
    }
  }

  async #unindexAll(members: readonly string[]): Promise<void> {
    for (const entry of members) this.#unindexed.delete(entry);
    if (members.length > 0) await this.#besides(() => this.#commands.client.zrem(this.#keys.all, ...members));
  }

  async #indexed(score: string, offset: number): Promise<readonly { member: string; score: string }[]> {
    const flat = await this.#timed('list', () =>
      this.#commands.ask(() =>
        this.#commands.client.zrangebyscore(
          this.#keys.all,
          score,
          '+inf',
          'WITHSCORES',
          'LIMIT',
          offset,
          INDEX_PAGE,
        ),
      ),
    );
    const entries: { member: string; score: string }[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      entries.push({ member: flat[at] ?? '', score: flat[at + 1] ?? '' });
    }
    return entries;
  }

  /** The sessions behind these entries, in order; entries without one are taken out of the index. */
  async #peek(entries: readonly { member: string }[]) {
    const peeked = await Promise.all(
      entries.map(async (entry) => {
        const key = keyOf(entry.member);
        const reply = await this.#read('list', this.#loading(key, false));
        const found = kindOf(reply) === 'found';
        return {
          key,
          session: found ? { header: headerOf(reply), summary: sealedOf(reply).summary } : undefined,
        };
      }),
    );
    await this.#unindexAll(
      peeked.filter(({ session }) => session === undefined).map(({ key }) => member(key)),
    );
    return peeked;
  }
}

function member({ principal, name }: RecordKey): string {
  return `${principal}:${name}`;
}

function keyOf(entry: string): RecordKey {
  const [principal = '', name = ''] = entry.split(':');
  return { principal, name };
}

function eventArguments({ seq, answer, data }: StoredEvent): readonly (string | number | Uint8Array)[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < data.byteLength; at += MAX_PART_BYTES)
    pieces.push(data.subarray(at, at + MAX_PART_BYTES));
  return [seq, answer ? '1' : '0', pieces.length, ...pieces];
}
