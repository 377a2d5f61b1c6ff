import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { ExitError } from '../shared/lifecycle.ts';

/**
 * The keys that name and seal session records. They come from configuration;
 * where the store belongs to one machine they are made once, in the state folder,
 * readable by its owner alone, and shared by the replicas of that machine.
 */
export interface Keys {
  /** 32 bytes each, newest first: the first one writes, all read. */
  readonly server: readonly { readonly id: string; readonly key: Uint8Array }[];
  /** 32 bytes each. Reads try both, writes use `current`. */
  readonly index: { readonly current: Uint8Array; readonly previous?: Uint8Array };
}

const KEY_BYTES = 32;

const FILE = 'keys.json';

/** The configured keys, or those of the state folder. Throws `ExitError` when the folder's cannot be read or made. */
export function loadKeys(configured: Keys | undefined, stateFolder: string): Keys {
  if (configured !== undefined) return configured;
  const file = keyFileIn(stateFolder);
  try {
    return readKeys(file) ?? makeKeys(stateFolder, file);
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'it is not a key file';
    throw new ExitError(`${file}: the keys of the embedded store cannot be read or made: ${why}`);
  }
}

/** The keys in a state folder; undefined where none were made yet. Throws where they cannot be read. */
export function keysIn(stateFolder: string): Keys | undefined {
  return readKeys(keyFileIn(stateFolder));
}

export function keyFileIn(stateFolder: string): string {
  return join(stateFolder, FILE);
}

/** 32 bytes from their base64, base64url or hex form; undefined when it is none of these. */
export function decodeKey(text: string): Uint8Array | undefined {
  const trimmed = text.trim();
  const encoding = /^[0-9a-f]{64}$/i.test(trimmed) ? 'hex' : 'base64';
  if (encoding === 'base64' && !/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return undefined;
  const key = Buffer.from(trimmed, encoding);
  return key.length === KEY_BYTES ? new Uint8Array(key) : undefined;
}

const KeyText = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const key = decodeKey(dataset.value);
    if (key !== undefined) return key;
    addIssue({ message: 'not a key' });
    return NEVER;
  }),
);
const KeyFile = v.strictObject({ server: v.strictObject({ id: v.string(), key: KeyText }), index: KeyText });

function readKeys(file: string): Keys | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const { server, index } = v.parse(KeyFile, JSON.parse(text));
  return { server: [server], index: { current: index } };
}

/**
 * Replicas that start together must end up with the same keys: each writes its
 * own file and links it to the name, which only the first can do; all then read.
 */
function makeKeys(stateFolder: string, file: string): Keys {
  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  const fresh = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const key = () => randomBytes(KEY_BYTES).toString('base64url');
  const made = { server: { id: `local-${randomBytes(4).toString('hex')}`, key: key() }, index: key() };
  writeFileSync(fresh, `${JSON.stringify(made)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  try {
    linkSync(fresh, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  const keys = readKeys(file);
  if (keys === undefined) throw new Error('the key file disappeared');
  return keys;
}
