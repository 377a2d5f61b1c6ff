import { MeshError } from '../../shared/errors.ts';
import type { EventAppend, NewRecord, RecordKey, RecordUpdate, VaultWrite } from './session-store.ts';

/** The caps that every store keeps, and the checks on what it is asked to write. */

/** A sealed part of a record, and a piece of an event in Redis, in bytes. */
export const MAX_PART_BYTES = 64 * 1024;
/** A sealed routing table, in bytes. */
export const MAX_TABLE_BYTES = 1024 * 1024;
/** One event: the message limit of 4 MiB and room for its seal, in bytes. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024 + MAX_PART_BYTES;
/** Events kept of one stream beside its answers. */
export const MAX_STREAM_EVENTS = 256;
/** Their bytes. */
export const MAX_STREAM_BYTES = 1024 * 1024;
/** Streams kept of one session; the one longest unwritten goes first. */
export const MAX_STREAMS = 128;
/** How long a stream is kept after its last event. */
export const STREAM_TTL_MS = 5 * 60_000;
/** The least time between two takeovers of one session. */
export const TAKEOVER_INTERVAL_MS = 1000;
/** The most by which a session in use may outlive its idle time, so that not every touch of it is a write. */
export const MAX_SLACK_MS = 10_000;
/** The same as a share of the idle time. */
export const SLACK_SHARE = 0.01;
/** How many writes a record remembers by id. */
export const REMEMBERED_WRITES = 8;
/** How long a record that was set aside is kept. */
export const QUARANTINE_TTL_MS = 24 * 60 * 60_000;
/** The sessions of one principal that a listing looks at. */
export const MAX_PRINCIPAL_SESSIONS = 4096;

const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;
const WRITE_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Names out of configuration: replicas and keys. */
const CONFIGURED = /^[\x21-\x7e]{1,256}$/;

/** What a write adds to an idle time of this many milliseconds; touches within it find nothing to write. */
export function slackMs(idleTtlMs: number): number {
  return Math.min(MAX_SLACK_MS, Math.floor(idleTtlMs * SLACK_SHARE));
}

export function checkKey(key: RecordKey): void {
  checkToken(key.principal);
  checkToken(key.name);
}

/** Names become parts of keys, so their alphabet is closed. */
export function checkToken(token: string): void {
  if (!TOKEN.test(token)) throw malformed();
}

export function checkNewRecord(record: NewRecord): void {
  checkKey(record.key);
  checkToken(record.witness.id);
  checkToken(record.witness.binding);
  checkConfigured(record.keyId);
  checkWriter(record.writeId, record.owner);
  checkPart(record.summary);
  checkPart(record.body);
}

export function checkUpdate(update: RecordUpdate): void {
  checkKey(update.key);
  checkWriter(update.writeId, update.takeover?.owner);
  if (update.keyId !== undefined) checkConfigured(update.keyId);
  checkPart(update.summary);
  checkPart(update.body);
}

export function checkAppend(append: EventAppend): void {
  checkKey(append.key);
  checkToken(append.stream);
  for (const event of append.events) {
    if (!Number.isSafeInteger(event.seq) || event.seq < 1) throw malformed();
    if (event.data.byteLength > MAX_EVENT_BYTES) throw tooLarge();
  }
}

export function checkTable(id: string, sealed: string): void {
  checkToken(id);
  if (Buffer.byteLength(sealed) > MAX_TABLE_BYTES) throw tooLarge();
}

export function checkVaultWrite({ id, expected, version, sealed }: VaultWrite): void {
  checkToken(id);
  if (!WRITE_ID.test(version) || (expected !== null && !WRITE_ID.test(expected))) throw malformed();
  checkPart(sealed);
}

function checkWriter(writeId: string, owner: string | undefined): void {
  if (!WRITE_ID.test(writeId)) throw malformed();
  if (owner !== undefined) checkConfigured(owner);
}

function checkConfigured(text: string): void {
  if (!CONFIGURED.test(text)) throw malformed();
}

function checkPart(part: string | undefined): void {
  if (part !== undefined && Buffer.byteLength(part) > MAX_PART_BYTES) throw tooLarge();
}

function tooLarge(): MeshError {
  return new MeshError('message_too_large', 'The session has grown beyond what can be stored.');
}

function malformed(): MeshError {
  return new MeshError('internal', 'The session store was given something malformed.');
}
