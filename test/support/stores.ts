import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreAlarm } from '../../control-plane/store/hooks.ts';
import { MemorySessionStore, SharedMemory } from '../../control-plane/store/memory.ts';
import { openStore } from '../../control-plane/store/open.ts';
import type { NewRecord, RecordKey, SessionStore } from '../../control-plane/store/session-store.ts';
import type { RedisStoreSettings, StoreSettings } from '../../control-plane/store/settings.ts';
import { MeshError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import { startCluster, startRedis, startSentinel } from './redis.ts';

/** One place where sessions are kept, and any number of replicas' stores on it. */
export interface StoreFixture {
  open(): Promise<SessionStore>;
  /** Lets time pass on the store's clock. */
  pass(ms: number): Promise<void>;
  readonly alarms: StoreAlarm[];
  [Symbol.asyncDispose](): Promise<void>;
}

export type StoreKind = 'memory' | 'embedded' | 'redis' | 'redis sentinel' | 'redis cluster';
export const STORE_KINDS: readonly StoreKind[] = [
  'memory',
  'embedded',
  'redis',
  'redis sentinel',
  'redis cluster',
];

/** No failover belongs to these tests, and a busy machine must not cause one. */
const CALM_MS = 30_000;

export async function startStores(kind: StoreKind): Promise<StoreFixture> {
  if (kind === 'memory') return memoryFixture();
  const alarms: StoreAlarm[] = [];
  const { settings, release } = await place(kind);
  const open: SessionStore[] = [];
  return {
    alarms,
    async open() {
      const store = await openStore(settings, { log: silentLogger, onAlarm: (alarm) => alarms.push(alarm) });
      open.push(store);
      // What it asks of its server at first may take longer on a busy machine.
      await eventually(() => store.ready, 'the store is ready', 15_000);
      return store;
    },
    pass: (ms) => sleep(ms),
    async [Symbol.asyncDispose]() {
      for (const store of open) await store.stop();
      await release();
    },
  };
}

function memoryFixture(): StoreFixture {
  const shared = new SharedMemory();
  let now = Date.now();
  return {
    alarms: [],
    open: async () => new MemorySessionStore({ clock: () => now, shared }),
    async pass(ms) {
      now += ms;
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function place(kind: StoreKind): Promise<{ settings: StoreSettings; release: () => Promise<void> }> {
  if (kind === 'embedded') {
    const path = await mkdtemp(join(tmpdir(), 'outrigger-store-'));
    return {
      settings: { kind: 'embedded', path },
      release: () => rm(path, { recursive: true, force: true }),
    };
  }
  // Generous, as these tests are about what is stored and this machine may be busy.
  const redis = { kind: 'redis', commandTimeoutMs: 5000 } as const satisfies RedisStoreSettings;
  if (kind === 'redis sentinel') {
    const group = await startSentinel({ downAfterMs: CALM_MS });
    const settings = { ...redis, sentinel: { nodes: group.sentinels, name: group.name } };
    return {
      settings: { ...settings, durability: 'replicated' },
      release: () => group[Symbol.asyncDispose](),
    };
  }
  if (kind === 'redis cluster') {
    const cluster = await startCluster();
    return {
      settings: { ...redis, cluster: { nodes: cluster.nodes } },
      release: () => cluster[Symbol.asyncDispose](),
    };
  }
  const server = await startRedis();
  return { settings: { ...redis, url: server.url }, release: () => server[Symbol.asyncDispose]() };
}

/** Waits for something that comes by itself; rejects after `withinMs`. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 10_000,
): Promise<void> {
  for (const giveUpAt = Date.now() + withinMs; Date.now() < giveUpAt; await sleep(10)) {
    if (await holds()) return;
  }
  throw new Error(`It did not happen: ${what}.`);
}

/** The reason with which the mesh refused, or what else happened. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    return `no refusal but ${JSON.stringify(await work)}`;
  } catch (error) {
    return error instanceof MeshError ? error.reason : String(error);
  }
}

/** A principal that no other test knows. */
export function freshPrincipal(): string {
  return `p${randomBytes(8).toString('hex')}`;
}

export function freshKey(principal = freshPrincipal()): RecordKey {
  return { principal, name: `n${randomBytes(8).toString('hex')}` };
}

export function freshWriteId(): string {
  return randomBytes(9).toString('base64url');
}

/** A record to create, with what matters to the test in place of the usual. */
export function newRecord(change: Partial<NewRecord> = {}): NewRecord {
  const key = change.key ?? freshKey();
  return {
    key,
    owner: 'replica-1',
    idleTtlMs: 60_000,
    absoluteTtlMs: 600_000,
    schema: 1,
    keyId: 'k1',
    summary: 'sealed summary',
    body: 'sealed body',
    witness: { id: `w${key.name}`, binding: 'binding' },
    writeId: freshWriteId(),
    ...change,
  };
}
