import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Server keys of 32 bytes, newest first: the first one writes, all of them read. */
export interface ServerKey {
  readonly id: string;
  readonly key: Uint8Array;
}

/** What a session has keys for. */
export type SessionPurpose = 'requests' | 'events' | 'tasks';

/** What is sealed that belongs to no session: logins at third parties, links to log in, what a browser carries between two pages. */
export type ApartPurpose = 'login' | 'ticket' | 'browser' | 'discovery';

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals parts of a session record as compact JWE (RFC 7516 §7.1) with `dir` and
 * A256GCM, the record's name in the protected header, so that a part cannot be
 * moved to another record. Written over node:crypto because it is synchronous and
 * a tenth of the price of the asynchronous WebCrypto path; any JOSE library opens
 * what it seals, which a test proves.
 */
export class RecordCrypto {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  /** The id of the key that seals. */
  readonly keyId: string;

  constructor(keys: readonly ServerKey[]) {
    const newest = keys[0];
    if (newest === undefined) throw new Error('record crypto needs at least one server key');
    this.keyId = newest.id;
    this.#keys = new Map(keys.map(({ id, key }) => [id, key]));
  }

  /** For admins: only the server key opens it. */
  sealSummary(name: string, plain: string): string {
    return seal(this.#derive(this.keyId, EMPTY, 'summary'), this.keyId, name, plain);
  }

  openSummary(name: string, sealed: string): string | undefined {
    return this.#open(name, sealed, EMPTY, 'summary');
  }

  /** Only the server key together with the client's secret opens it. */
  sealBody(name: string, secret: Uint8Array, plain: string): string {
    return seal(this.#derive(this.keyId, secret, 'body'), this.keyId, name, plain);
  }

  /** Undefined when it is not ours, not this record's, or not whole. */
  openBody(name: string, secret: Uint8Array, sealed: string): string | undefined {
    return this.#open(name, sealed, secret, 'body');
  }

  /** Routing tables belong to no session; their name is their content's keyed hash. */
  sealTable(name: string, plain: string): string {
    return seal(this.#derive(this.keyId, EMPTY, 'table'), this.keyId, name, plain);
  }

  openTable(name: string, sealed: string): string | undefined {
    return this.#open(name, sealed, EMPTY, 'table');
  }

  /** Only the server key opens it, for the same purpose and under the same name. */
  sealApart(purpose: ApartPurpose, name: string, plain: string): string {
    return seal(this.#derive(this.keyId, EMPTY, purpose), this.keyId, name, plain);
  }

  openApart(purpose: ApartPurpose, name: string, sealed: string): string | undefined {
    return this.#open(name, sealed, EMPTY, purpose);
  }

  /** A session's own key for what its client or the store carries on its behalf. It outlives a rotation as long as its key id is listed. */
  sessionKey(secret: Uint8Array, purpose: SessionPurpose, keyId = this.keyId): Uint8Array | undefined {
    return this.#keys.has(keyId) ? this.#derive(keyId, secret, purpose) : undefined;
  }

  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  #open(name: string, sealed: string, secret: Uint8Array, purpose: string): string | undefined {
    const header = readHeader(sealed);
    if (header === undefined || header.name !== name || !this.#keys.has(header.kid)) return undefined;
    return open(this.#derive(header.kid, secret, purpose), sealed);
  }

  #derive(keyId: string, salt: Uint8Array, purpose: string): Uint8Array {
    const key = this.#keys.get(keyId);
    if (key === undefined) throw new Error(`unknown server key ${keyId}`);
    return new Uint8Array(hkdfSync('sha256', key, salt, `outrigger ${purpose}`, 32));
  }
}

const EMPTY = new Uint8Array(0);

interface Header {
  readonly kid: string;
  readonly name: string;
}

function seal(key: Uint8Array, kid: string, name: string, plain: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'dir', enc: 'A256GCM', kid, name })).toString('base64url');
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(header, 'ascii'));
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  const parts = [iv, text, cipher.getAuthTag()].map((part) => part.toString('base64url'));
  return `${header}..${parts.join('.')}`;
}

function open(key: Uint8Array, sealed: string): string | undefined {
  const [header = '', encryptedKey, iv = '', text = '', tag = ''] = sealed.split('.');
  const tagBytes = Buffer.from(tag, 'base64url');
  const ivBytes = Buffer.from(iv, 'base64url');
  if (encryptedKey !== '' || tagBytes.length !== TAG_BYTES || ivBytes.length !== IV_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, ivBytes)
    .setAAD(Buffer.from(header, 'ascii'))
    .setAuthTag(tagBytes);
  try {
    return Buffer.concat([decipher.update(Buffer.from(text, 'base64url')), decipher.final()]).toString(
      'utf8',
    );
  } catch {
    return undefined;
  }
}

function readHeader(sealed: string): Header | undefined {
  const end = sealed.indexOf('.');
  if (end < 0) return undefined;
  try {
    const header: unknown = JSON.parse(Buffer.from(sealed.slice(0, end), 'base64url').toString('utf8'));
    if (typeof header !== 'object' || header === null) return undefined;
    const { alg, enc, kid, name } = header as Record<string, unknown>;
    if (alg !== 'dir' || enc !== 'A256GCM' || typeof kid !== 'string' || typeof name !== 'string')
      return undefined;
    return { kid, name };
  } catch {
    return undefined;
  }
}

/** Seals a small binary value: nonce, ciphertext, tag. For event data and request ids. */
export function sealBytes(key: Uint8Array, plain: Uint8Array, context: string): Buffer {
  return sealWith(key, plain, { iv: randomBytes(IV_BYTES), context });
}

/**
 * Seals a name: the same value has the same sealed form under one key and context, on
 * every replica. The nonce is a keyed hash of what is sealed, as in RFC 5297, so that
 * no two values share one. `openBytes` opens it.
 */
export function sealName(key: Uint8Array, plain: Uint8Array, context: string): Buffer {
  const nonceKey = createHmac('sha256', key).update('outrigger nonce').digest();
  const iv = createHmac('sha256', nonceKey).update(`${context}\0`).update(plain).digest();
  return sealWith(key, plain, { iv: iv.subarray(0, IV_BYTES), context });
}

function sealWith(
  key: Uint8Array,
  plain: Uint8Array,
  { iv, context }: { iv: Uint8Array; context: string },
): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined when the bytes were not sealed under this key and context. */
export function openBytes(key: Uint8Array, sealed: Buffer, context: string): Buffer | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES))
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([
      decipher.update(sealed.subarray(IV_BYTES, sealed.length - TAG_BYTES)),
      decipher.final(),
    ]);
  } catch {
    return undefined;
  }
}
