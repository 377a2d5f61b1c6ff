import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Finding } from '../../shared/findings.ts';
import { silentLogger } from '../../shared/log.ts';
import { openEmbeddedStore } from '../store/embedded.ts';
import { inspectRedis } from '../store/inspect.ts';
import type { EmbeddedStoreSettings, RedisStoreSettings, StoreSettings } from '../store/settings.ts';
import { clockFinding } from './clock.ts';

/** Whether sessions can be kept there, and will be. */
export function checkStore(settings: StoreSettings): Promise<Finding[]> {
  if (settings.kind === 'redis') return checkRedis(settings);
  if (settings.kind === 'embedded') return checkEmbedded(settings);
  return Promise.resolve([
    {
      check: 'store',
      of: 'memory',
      status: 'warning',
      detail: 'sessions live in one replica, and end with it',
      remedy: 'use store: embedded on one machine, or Redis for several',
    },
  ]);
}

/** The oldest server whose scripts have flags. */
const OLDEST_MAJOR = 7;
const SKEW_MS = 2_000;

async function checkRedis(settings: RedisStoreSettings): Promise<Finding[]> {
  const report = await inspectRedis(settings);
  if (report.kind === 'silent') {
    const { code, message } = report.fault;
    const refused = CREDENTIAL_CODES.has(code);
    const remedy = refused
      ? 'give the username and password that this server knows, with the rights of store/SCHEMA.md'
      : 'start Redis, and see that store names the host and port it listens on, and tls where it speaks TLS';
    return [{ check: 'store', of: placeOf(settings), status: 'failed', detail: message, remedy }];
  }
  return report.servers.flatMap((server) => {
    const of = `redis ${server.place}`;
    const worries = worriesOf(server, settings).map((each): Finding => ({ check: 'store', of, ...each }));
    const detail = `Redis ${server.version}, noeviction, persistence: ${server.persistence}`;
    const good: Finding = { check: 'store', of, status: 'ok', detail };
    const beyond = 'replicas alarm, and lives of sessions are told wrongly';
    const clock = clockFinding({ of, skewMs: server.skewMs }, { boundMs: SKEW_MS, beyond });
    return [...(worries.length === 0 ? [good] : worries), clock];
  });
}

const CREDENTIAL_CODES: ReadonlySet<string> = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM']);

/** Without a name or a password. */
function placeOf({ url, sentinel, cluster }: RedisStoreSettings): string {
  if (url !== undefined) return `redis ${new URL(url).host}`;
  const [first] = sentinel?.nodes ?? cluster?.nodes ?? [];
  return first === undefined ? 'redis' : `redis ${first.host}:${first.port}`;
}

type Server = Extract<Awaited<ReturnType<typeof inspectRedis>>, { kind: 'answered' }>['servers'][number];
type Worry = Pick<Finding, 'status' | 'detail' | 'remedy'>;

function worriesOf(server: Server, { durability, waitReplicas = 1 }: RedisStoreSettings): Worry[] {
  const { maxmemoryPolicy, persistence, version, primary, diskFails, replicas } = server;
  const replicated = durability === 'replicated';
  const worries: (Worry | false)[] = [
    maxmemoryPolicy !== 'noeviction' && {
      // Where writes are promised to last, no replica starts with such a server; elsewhere it is an alarm.
      status: replicated ? 'failed' : 'warning',
      detail: `maxmemory-policy is ${maxmemoryPolicy}: Redis may throw sessions away when its memory is full`,
      remedy:
        'redis-cli config set maxmemory-policy noeviction, and the same in redis.conf; give it memory for its sessions',
    },
    persistence === 'none' && {
      status: 'warning',
      detail: 'it keeps nothing on disk: every session ends when it restarts',
      remedy: 'redis-cli config set appendonly yes, and the same in redis.conf',
    },
    diskFails && {
      status: 'failed',
      detail: 'its last write to the disk failed, so it may refuse writes',
      remedy: 'free its disk, and look into its log; INFO persistence says when it writes again',
    },
    Number.parseInt(version, 10) < OLDEST_MAJOR && {
      status: 'failed',
      detail: `Redis ${version} is too old: its scripts have no flags`,
      remedy: `use Redis ${OLDEST_MAJOR}.0 or newer, or Valkey`,
    },
    !primary && {
      status: 'failed',
      detail: 'it is a replica, which takes no writes',
      remedy: 'name its primary, or use sentinel, which finds it',
    },
    replicated &&
      replicas < waitReplicas && {
        status: 'failed',
        detail: `${replicas} replicas are connected to it, and writes wait for ${waitReplicas}`,
        remedy: 'bring its replicas up, or set waitReplicas to how many there are',
      },
  ];
  return worries.filter((each) => each !== false);
}

async function checkEmbedded({ path }: EmbeddedStoreSettings): Promise<Finding[]> {
  const finding = { check: 'store', of: path } as const;
  const obstacle = obstacleTo(path);
  if (obstacle === 'absent')
    return [{ ...finding, status: 'ok', detail: 'made by the first replica that starts' }];
  if (obstacle !== undefined) return [{ ...finding, ...obstacle }];
  try {
    const store = await openEmbeddedStore({ kind: 'embedded', path }, { log: silentLogger });
    await store.stop();
    return [{ ...finding, status: 'ok', detail: 'opened, and writable' }];
  } catch (error) {
    const detail = `cannot be opened: ${error instanceof Error ? error.message : String(error)}`;
    const remedy = 'move the folder aside if it is damaged: its sessions are lost, a fresh one is made';
    return [{ ...finding, status: 'failed', detail, remedy }];
  }
}

/** Why the folder must not be opened, `absent` where it is not there and could be made. */
function obstacleTo(path: string): Worry | 'absent' | undefined {
  const remedy =
    'choose a folder under state (or store.path) that the user of the replicas owns and may write to';
  const place = nearest(path);
  if (!statSync(place).isDirectory()) return { status: 'failed', detail: `${place} is no folder`, remedy };
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return { status: 'failed', detail: `this user may not write to ${place}`, remedy };
  }
  if (place !== path) return 'absent';
  const { uid } = statSync(path);
  // What root made in it the replicas could not open.
  if (process.getuid === undefined || uid === process.getuid()) return undefined;
  const detail = `it belongs to another user (${uid}), so it was not opened`;
  return { status: 'warning', detail, remedy: 'run doctor as the user of the replicas' };
}

/** The folder, or the nearest above it that is there. */
function nearest(path: string): string {
  if (existsSync(path)) return path;
  const above = dirname(path);
  return above === path ? path : nearest(above);
}
