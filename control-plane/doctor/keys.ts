import { statSync } from 'node:fs';
import type { Finding } from '../../shared/findings.ts';
import { type Keys, keyFileIn, keysIn } from '../keys.ts';
import type { Settings } from '../settings.ts';
import { NEW_KEYS } from './configuration.ts';
import { count } from './surroundings.ts';

/** 32 random bytes have about 30 different ones; fewer than this do not happen by chance. */
const FEWEST_DIFFERENT = 16;
const OTHERS = 0o077;

/** The keys that name and seal session records: there, random, and nobody else's to read. */
export function checkKeys({ keys, stateFolder }: Settings): Finding[] {
  if (keys !== undefined) return [strength(keys, 'configuration')];
  const of = keyFileIn(stateFolder);
  try {
    const made = keysIn(stateFolder);
    if (made === undefined)
      return [{ check: 'keys', of, status: 'ok', detail: 'made by the first replica that starts' }];
    const findings = [strength(made, of)];
    if ((statSync(of).mode & OTHERS) === 0) return findings;
    const detail = 'others on this machine can read it';
    return [...findings, { check: 'keys', of, status: 'failed', detail, remedy: `chmod 600 ${of}` }];
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'it is no key file';
    const remedy =
      'let the user of the replicas read it, or bring it back from a backup: without it stored sessions are lost';
    return [{ check: 'keys', of, status: 'failed', detail: `cannot be read (${why})`, remedy }];
  }
}

function strength({ server, index }: Keys, of: string): Finding {
  const indexes = [index.current, ...(index.previous === undefined ? [] : [index.previous])];
  const weak = [...server.map(({ key }) => key), ...indexes].filter(
    (key) => new Set(key).size < FEWEST_DIFFERENT,
  );
  const finding = { check: 'keys', of } as const;
  if (weak.length > 0) {
    const detail = `${weak.length} of ${server.length + indexes.length} keys are no random bytes`;
    return { ...finding, status: 'failed', detail, remedy: NEW_KEYS };
  }
  if (server.some(({ key }) => indexes.some((other) => Buffer.from(key).equals(other)))) {
    const detail = 'the index key is a server key as well: who learns one has both';
    return { ...finding, status: 'failed', detail, remedy: NEW_KEYS };
  }
  return {
    ...finding,
    status: 'ok',
    detail: `${count(server.length, 'server key')}, the first writes; an index key`,
  };
}
