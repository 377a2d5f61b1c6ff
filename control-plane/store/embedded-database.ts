import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { EventWindow } from './event-window.ts';
import { MAX_PART_BYTES } from './limits.ts';
import type { RecordState } from './rules.ts';
import { type QuarantineReason, RECORD_SCHEMA, type RecordKey } from './session-store.ts';

/** The embedded store's tables, as SCHEMA.md documents them. */

export type SessionPath = [principal: string, name: string];
export type StreamPath = [principal: string, name: string, stream: string];
export type EventPath = [principal: string, name: string, stream: string, seq: number];
export type ChangePath = [origin: string, n: number];

export interface Parts {
  readonly summary: string;
  readonly body: string;
}

export interface VaultRow {
  readonly version: string;
  readonly sealed: string;
  readonly until: number;
}

export interface EmbeddedDatabase {
  readonly root: RootDatabase;
  /** What is read from the file is not trusted to be what was written: see `readState`. Each row's LMDB version is its revision. */
  readonly records: Database<unknown, SessionPath>;
  readonly parts: Database<unknown, SessionPath>;
  readonly streams: Database<EventWindow, StreamPath>;
  readonly events: Database<{ readonly answer: boolean; readonly data: Uint8Array }, EventPath>;
  readonly witnesses: Database<{ readonly binding: string; readonly record: SessionPath }, string>;
  readonly tables: Database<{ readonly sealed: string; readonly until: number }, string>;
  /** As `records`: see `isVaultRow`. */
  readonly vault: Database<unknown, string>;
  readonly changes: Database<{ readonly name: string; readonly at: number }, ChangePath>;
  readonly quarantine: Database<
    {
      readonly why: QuarantineReason;
      readonly until: number;
      readonly record: unknown;
      readonly parts: unknown;
    },
    SessionPath
  >;
}

/** After every string that a path may hold. */
export const END = '\uffff';

export function pathOf({ principal, name }: RecordKey): SessionPath {
  return [principal, name];
}

/** Opens the folder, making it if need be; nobody but this user can read it. */
export async function openDatabase(folder: string): Promise<EmbeddedDatabase> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const path = join(folder, 'sessions');
  await mkdir(path, { recursive: true, mode: 0o700 });
  // Without overlapping syncs a write is on the disk before its promise resolves, and before anybody sees it.
  // Each write of ours is a transaction by itself. The one that LMDB's binding would put around all
  // writes of a turn has a promise that nobody holds: a full disk would be an unhandled rejection.
  const root = open({ path, maxDbs: 12, overlappingSync: false, eventTurnBatching: false });
  await Promise.all(['data.mdb', 'lock.mdb'].map((file) => chmod(join(path, file), 0o600)));
  // Readers of processes that were killed would keep old pages alive.
  root.readerCheck();
  return {
    root,
    records: root.openDB({ name: 'records', useVersions: true }),
    parts: root.openDB({ name: 'parts' }),
    streams: root.openDB({ name: 'streams' }),
    events: root.openDB({ name: 'events' }),
    witnesses: root.openDB({ name: 'witnesses' }),
    tables: root.openDB({ name: 'tables' }),
    vault: root.openDB({ name: 'vault', useVersions: true }),
    changes: root.openDB({ name: 'changes' }),
    quarantine: root.openDB({ name: 'quarantine' }),
  };
}

const HEADER_NUMBERS = ['version', 'epoch', 'takenAt', 'expiresAt', 'idleExpiresAt', 'schema'] as const;

/** A stored row as a record's state, or why it is none. */
export function readState(row: unknown): RecordState | QuarantineReason {
  if (!isObject(row)) return 'wrong_type';
  if (!isState(row)) return 'malformed';
  return row.header.schema > RECORD_SCHEMA ? 'future_schema' : row;
}

export function readParts(row: unknown): Parts | QuarantineReason {
  if (!isObject(row)) return 'malformed';
  const { summary, body } = row;
  if (typeof summary !== 'string' || typeof body !== 'string') return 'malformed';
  if (summary.length > MAX_PART_BYTES || body.length > MAX_PART_BYTES) return 'oversized';
  return { summary, body };
}

export function isVaultRow(row: unknown): row is VaultRow {
  if (!isObject(row)) return false;
  const { version, sealed, until } = row;
  return typeof version === 'string' && typeof sealed === 'string' && Number.isFinite(until);
}

function isState(row: object): row is RecordState {
  const { header, idleTtlMs, touchedAt, writes, witness }: { [field: string]: unknown } = { ...row };
  return (
    isObject(header) &&
    HEADER_NUMBERS.every((field) => Number.isSafeInteger(header[field])) &&
    typeof header['owner'] === 'string' &&
    typeof header['keyId'] === 'string' &&
    Number.isSafeInteger(idleTtlMs) &&
    Number.isSafeInteger(touchedAt) &&
    Array.isArray(writes) &&
    typeof witness === 'string'
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
