import { readFileSync, statSync } from 'node:fs';
import type { Logger } from '../../shared/log.ts';
import { conceal } from '../../shared/redact.ts';

/** The sidecar's own token, for agents that send none. It lives in memory only. */
export interface HeldToken {
  /** The value of an Authorization header; undefined as long as there is no usable token. */
  current(): string | undefined;
}

const SCHEME = 'Bearer ';
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** A token that stays the same, from the environment. */
export function heldTokenFromValue(token: string): HeldToken {
  const authorization = toAuthorization(token);
  conceal(token.trim());
  return { current: () => authorization };
}

export interface TokenFileOptions {
  readonly file: string;
  readonly log: Logger;
  /** How long a look at the file counts; 1 s when absent. */
  readonly recheckMs?: number;
}

/**
 * A token in a file that somebody renews, such as a projected service account token,
 * which Kubernetes replaces by swapping a symbolic link. The file is looked at when
 * a request needs the token, and read again when it is another one. A file that is
 * gone or holds no token leaves the request without one, never with an old one.
 */
export function heldTokenFromFile(options: TokenFileOptions): HeldToken {
  const { file, log, recheckMs = 1_000 } = options;
  let seen: string | undefined;
  let release = () => {};
  let authorization: string | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return { current };

  function current(): string | undefined {
    const now = performance.now();
    if (now - lookedAt >= recheckMs) {
      lookedAt = now;
      look();
    }
    return authorization;
  }

  function look(): void {
    const found = identify(file);
    if (found === seen) return;
    seen = found;
    const token = found === '' ? '' : read(file).trim();
    authorization = toAuthorization(token);
    release();
    release = conceal(token);
    if (authorization === undefined) log.error('no usable token in the token file', { file });
    else log.info('token read', { file });
  }
}

/** The bare token of a file that somebody renews; undefined as long as it holds none. */
export function bareTokenFromFile(options: TokenFileOptions): () => string | undefined {
  const held = heldTokenFromFile(options);
  return () => held.current()?.slice(SCHEME.length);
}

/** Another inode, time or size is another token; empty when there is no such file. */
function identify(file: string): string {
  try {
    const { ino, mtimeMs, size } = statSync(file);
    return `${ino} ${mtimeMs} ${size}`;
  } catch {
    return '';
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The header's value; undefined for what is no token (RFC 6750 §2.1). */
export function toAuthorization(token: string): string | undefined {
  const trimmed = token.trim();
  return TOKEN.test(trimmed) ? `${SCHEME}${trimmed}` : undefined;
}
