import { REMEMBERED_WRITES, slackMs, TAKEOVER_INTERVAL_MS } from './limits.ts';
import type {
  NewRecord,
  RecordHeader,
  RecordUpdate,
  SessionStore,
  TouchOutcome,
  UpdateOutcome,
  VaultEntry,
  VaultWrite,
} from './session-store.ts';

/**
 * What a record's header allows, as pure functions of the stored state and the
 * store's time. The memory and the embedded store run these; the scripts of the
 * Redis store say the same in Lua, and one contract suite holds all three to it.
 */

export type CreateOutcome = Awaited<ReturnType<SessionStore['create']>>;

/** A write that happened, so that its retry can be told from a new one. */
export interface WriteMark {
  readonly id: string;
  readonly version: number;
  readonly epoch: number;
}

/** The plain part of a record as a store keeps it. */
export interface RecordState {
  readonly header: RecordHeader;
  readonly idleTtlMs: number;
  readonly touchedAt: number;
  /** Newest first. */
  readonly writes: readonly WriteMark[];
  readonly witness: string;
}

export function isExpired(state: RecordState, now: number): boolean {
  return now >= state.header.idleExpiresAt || now >= state.header.expiresAt;
}

function newState(record: NewRecord, now: number): RecordState {
  const expiresAt = now + record.absoluteTtlMs;
  return {
    header: {
      version: 1,
      epoch: 1,
      owner: record.owner,
      takenAt: now,
      expiresAt,
      idleExpiresAt: Math.min(now + record.idleTtlMs, expiresAt),
      schema: record.schema,
      keyId: record.keyId,
    },
    idleTtlMs: record.idleTtlMs,
    touchedAt: now,
    writes: [{ id: record.writeId, version: 1, epoch: 1 }],
    witness: record.witness.id,
  };
}

/** The outcome of a creation where `state` is, or nothing; and the state to write when there is one. */
export function decideCreate(
  state: RecordState | undefined,
  record: NewRecord,
  now: number,
): { readonly outcome: CreateOutcome; readonly next?: RecordState } {
  if (state === undefined) {
    const next = newState(record, now);
    return { outcome: { kind: 'created', header: next.header }, next };
  }
  const earlier = earlierWrite(state, record.writeId);
  return {
    outcome: earlier?.kind === 'ok' ? { kind: 'created', header: earlier.header } : { kind: 'exists' },
  };
}

/** What the write `writeId` answered the first time, if the record remembers it; the version is the one that it made, so that later writes are not overlooked. */
function earlierWrite(state: RecordState, writeId: string): UpdateOutcome | undefined {
  const mark = state.writes.find((write) => write.id === writeId);
  if (mark === undefined) return undefined;
  if (mark.epoch !== state.header.epoch) return { kind: 'fenced', header: state.header };
  return { kind: 'ok', header: { ...state.header, version: mark.version } };
}

/** The outcome of an update of a record that is there, and the state to write when there is one. */
export function decideUpdate(
  state: RecordState,
  update: RecordUpdate,
  now: number,
): { readonly outcome: UpdateOutcome; readonly next?: RecordState } {
  const { header } = state;
  const earlier = earlierWrite(state, update.writeId);
  if (earlier !== undefined) return { outcome: earlier };
  if (update.epoch !== header.epoch) return { outcome: { kind: 'fenced', header } };
  if (update.version !== header.version) return { outcome: { kind: 'conflict', header } };
  const { takeover } = update;
  const moves = takeover !== undefined && takeover.owner !== header.owner;
  if (moves && header.epoch > 1 && now - header.takenAt < TAKEOVER_INTERVAL_MS) {
    return { outcome: { kind: 'too_soon', header } };
  }
  const taken = takeover && {
    owner: takeover.owner,
    epoch: header.epoch + 1,
    takenAt: moves ? now : header.takenAt,
  };
  const touched = slide(state, now);
  const next = {
    ...touched.header,
    ...taken,
    version: header.version + 1,
    keyId: update.keyId ?? header.keyId,
  };
  const mark = { id: update.writeId, version: next.version, epoch: next.epoch };
  return {
    outcome: { kind: 'ok', header: next },
    next: { ...touched, header: next, writes: [mark, ...state.writes].slice(0, REMEMBERED_WRITES) },
  };
}

export function decideTouch(
  state: RecordState,
  epoch: number,
  now: number,
): { readonly outcome: TouchOutcome; readonly next?: RecordState } {
  if (epoch !== state.header.epoch) return { outcome: { kind: 'fenced', header: state.header } };
  if (isSlid(state, now)) return { outcome: { kind: 'ok', header: state.header } };
  const next = slide(state, now);
  return { outcome: { kind: 'ok', header: next.header }, next };
}

/** Whether what was written lately is enough for a touch now. */
function isSlid({ idleTtlMs, touchedAt, header }: RecordState, now: number): boolean {
  const ends = Math.min(now + idleTtlMs, header.expiresAt);
  return header.idleExpiresAt >= ends && now - touchedAt < slackMs(idleTtlMs);
}

/** Further by the slack, so that the touches until it is used up have nothing to write. */
function slide(state: RecordState, now: number): RecordState {
  const { idleTtlMs, header } = state;
  const idleExpiresAt = Math.min(now + idleTtlMs + slackMs(idleTtlMs), header.expiresAt);
  return { ...state, touchedAt: now, header: { ...header, idleExpiresAt } };
}

/** What becomes of a write to the vault where `entry` is, or nothing. `done`: the same write was made before. */
export function decideVaultWrite(
  entry: VaultEntry | undefined,
  { expected, version }: VaultWrite,
): 'write' | 'done' | 'conflict' {
  if (entry?.version === version) return 'done';
  return (entry?.version ?? null) === expected ? 'write' : 'conflict';
}
