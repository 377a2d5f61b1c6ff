import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { ExitError } from '../../shared/lifecycle.ts';
import type { Address } from '../config.ts';

/** An address that `up` needs, and what for. */
export interface Claim {
  readonly what: string;
  readonly address: Address;
}

/** Throws `ExitError`, one line an address, when somebody else already listens on one of them. */
export async function checkFree(claims: readonly Claim[]): Promise<void> {
  const taken: string[] = [];
  for (const { what, address } of claims) {
    // Any other error is the program's own to meet and to name.
    if (address.port === 0 || (await listenError(address)) !== 'EADDRINUSE') continue;
    taken.push(`port ${address.port} (${what}) is in use by ${holderOf(address.port)}`);
  }
  if (taken.length === 0) return;
  throw new ExitError(`${taken.join('\n')}\nend it, or choose other ports with --port-base`);
}

/** Why nobody could listen there at this moment, as the system's code; undefined where somebody could. */
export function listenError({ host, port }: Address): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

/** A port that is free at this moment. */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new ExitError(`no free port on ${host}`);
  return address.port;
}

export function showAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `node (pid 12)`, where this system tells and the process is ours to see; else `another process`. */
export function holderOf(port: number): string {
  try {
    const inodes = new Set(
      ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listeningInodes(file, port)),
    );
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (holdsOne(pid, inodes)) return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (pid ${pid})`;
    }
  } catch {
    // Not Linux, or gone meanwhile.
  }
  return 'another process';
}

const LISTEN = '0A';

function listeningInodes(file: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(`:${wanted}`) && fields[3] === LISTEN)
    .flatMap((fields) => fields[9] ?? []);
}

function holdsOne(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch {
    return false;
  }
}
