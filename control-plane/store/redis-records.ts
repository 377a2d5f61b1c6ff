import type { RedisAccess } from './redis-access.ts';
import type { RedisAlarms } from './redis-alarms.ts';
import type { RedisIndex } from './redis-index.ts';
import type { RedisInvalidations } from './redis-invalidations.ts';
import type { RedisKeys } from './redis-keys.ts';
import type { Arguments, ScriptCall } from './redis-link.ts';
import { CLOSE, CREATE, LOAD, QUARANTINE, TOUCH, UPDATE } from './redis-record-scripts.ts';
import { corruptionOf, headerOf, kindOf, type Reply, sealedOf, text } from './redis-replies.ts';
import type { RedisStrings } from './redis-strings.ts';
import type { CreateOutcome } from './rules.ts';
import type {
  NewRecord,
  QuarantineReason,
  RecordKey,
  RecordUpdate,
  SessionRecord,
  TouchOutcome,
  UpdateOutcome,
} from './session-store.ts';
import type { RecordPart } from './store-parts.ts';
import { Together } from './together.ts';

export interface RedisRecordsOptions {
  readonly access: RedisAccess;
  readonly keys: RedisKeys;
  readonly strings: RedisStrings;
  readonly index: RedisIndex;
  readonly invalidations: RedisInvalidations;
  readonly alarms: RedisAlarms;
}

/** The session records in Redis, with their witnesses. */
export class RedisRecords implements RecordPart {
  readonly #access: RedisAccess;
  readonly #keys: RedisKeys;
  readonly #strings: RedisStrings;
  readonly #index: RedisIndex;
  readonly #invalidations: RedisInvalidations;
  readonly #alarms: RedisAlarms;
  readonly #touches: Together<Arguments, Reply>;

  constructor({ access, keys, strings, index, invalidations, alarms }: RedisRecordsOptions) {
    this.#access = access;
    this.#keys = keys;
    this.#strings = strings;
    this.#index = index;
    this.#invalidations = invalidations;
    this.#alarms = alarms;
    this.#touches = new Together((each) => access.readEach('touch', TOUCH, each));
  }

  async create(record: NewRecord): Promise<CreateOutcome> {
    const { key, witness } = record;
    const [reply] = await Promise.all([
      this.#access.write('create', {
        script: CREATE,
        keys: [this.#keys.record(key), this.#keys.index(key.principal), this.#keys.barrier(key.principal)],
        args: [
          key.name,
          this.#access.durable,
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
      this.#strings.put({
        operation: 'create',
        key: this.#keys.witness(witness.id),
        value: `${witness.binding} ${key.principal} ${key.name}`,
        ttlMs: record.absoluteTtlMs,
      }),
    ]);
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    if (kindOf(reply) !== 'created') return { kind: 'exists' };
    const header = headerOf(reply);
    await this.#index.enter(key, header.expiresAt);
    return { kind: 'created', header };
  }

  async load(key: RecordKey): Promise<SessionRecord | null> {
    const reply = await this.#access.read('load', this.#loading(key, true));
    if (kindOf(reply) === 'lost') this.#alarms.sessionLost();
    if (await this.missing(key, reply)) return null;
    return { header: headerOf(reply), ...sealedOf(reply) };
  }

  async touch(key: RecordKey, epoch: number): Promise<TouchOutcome> {
    const reply = await this.#touches.ask({
      keys: [this.#keys.record(key), this.#keys.index(key.principal)],
      args: [key.name, epoch],
    });
    if (await this.missing(key, reply)) return { kind: 'gone' };
    return { kind: kindOf(reply) === 'fenced' ? 'fenced' : 'ok', header: headerOf(reply) };
  }

  async update(update: RecordUpdate): Promise<UpdateOutcome> {
    const { key } = update;
    const changed = { kid: update.keyId, summary: update.summary, body: update.body };
    const reply = await this.#access.write('update', {
      script: UPDATE,
      keys: [this.#keys.record(key), this.#keys.index(key.principal), this.#keys.barrier(key.principal)],
      args: [
        key.name,
        this.#access.durable,
        update.writeId,
        update.version,
        update.epoch,
        this.#keys.invalidations,
        this.#invalidations.message(key.name),
        update.takeover?.owner ?? '',
        ...Object.entries(changed).flatMap(([field, value]) => (value === undefined ? [] : [field, value])),
      ],
    });
    if (await this.missing(key, reply)) return { kind: 'gone' };
    const kind = kindOf(reply);
    const header = headerOf(reply);
    if (kind === 'conflict' || kind === 'fenced' || kind === 'too_soon') return { kind, header };
    if (update.takeover !== undefined) await this.#index.enter(key, header.expiresAt);
    return { kind: 'ok', header };
  }

  async close(key: RecordKey): Promise<boolean> {
    const reply = await this.#access.write('close', {
      script: CLOSE,
      keys: [
        this.#keys.record(key),
        this.#keys.index(key.principal),
        this.#keys.barrier(key.principal),
        this.#keys.streams(key),
      ],
      args: [key.name, this.#access.durable, this.#keys.invalidations, this.#invalidations.message(key.name)],
    });
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    await this.#index.leave([key]);
    if (kindOf(reply) !== 'closed') return false;
    const witness = this.#keys.witness(text(reply, 1));
    await this.#access.besides((link) => link.ask(() => link.client.unlink(witness)));
    return true;
  }

  async quarantine(key: RecordKey, why: QuarantineReason): Promise<void> {
    this.#alarms.quarantined(key, why);
    await this.#access.read('quarantine', {
      script: QUARANTINE,
      keys: [
        this.#keys.record(key),
        this.#keys.index(key.principal),
        this.#keys.streams(key),
        this.#keys.quarantine(key),
      ],
      args: [key.name, this.#keys.invalidations, this.#invalidations.message(key.name)],
    });
    await this.#index.leave([key]);
  }

  async witness(id: string): Promise<string | null> {
    const entry = await this.#strings.get('witness', this.#keys.witness(id));
    const [binding, principal, name] = entry?.split(' ') ?? [];
    if (binding === undefined || principal === undefined || name === undefined) return null;
    // A session that has expired has no witness either, whatever is left of it.
    const record = await this.peek('witness', { principal, name });
    return record === undefined ? null : binding;
  }

  /** A live record without its body, for another operation; one that cannot be trusted is left to its own reader. */
  async peek(operation: string, key: RecordKey): Promise<Omit<SessionRecord, 'body'> | undefined> {
    const reply = await this.#access.read(operation, this.#loading(key, false));
    if (kindOf(reply) !== 'found') return undefined;
    return { header: headerOf(reply), summary: sealedOf(reply).summary };
  }

  /** True when there is no record to speak of; one that cannot be trusted is set aside first. */
  async missing(key: RecordKey, reply: Reply): Promise<boolean> {
    if (kindOf(reply) === 'corrupt') await this.quarantine(key, corruptionOf(reply));
    return ['corrupt', 'gone', 'lost'].includes(kindOf(reply));
  }

  #loading(key: RecordKey, body: boolean): ScriptCall {
    return {
      script: LOAD,
      keys: [this.#keys.record(key), this.#keys.index(key.principal)],
      args: [key.name, body ? '1' : '0'],
    };
  }
}
