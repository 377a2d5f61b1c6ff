import type { Finding, SidecarReport } from '../../shared/findings.ts';
import { VERSION } from '../../shared/version.ts';
import { allPages } from '../cli/admin/asking.ts';
import { targetOf } from '../cli/admin/target.ts';
import { id, type Row, rows, text, toPlain } from '../cli/admin/values.ts';
import { AdminCallError, AdminConnection } from '../rpc/admin-client.ts';
import { clockFinding, skewOf } from './clock.ts';
import type { DoctorOptions } from './command-line.ts';
import type { Surroundings } from './surroundings.ts';

/** A replica to ask. */
export interface ReplicaTarget {
  readonly address: string;
  /** Whether it is a fault that nobody answers. */
  readonly mustAnswer: boolean;
  /** How it is known, where the command line says nothing of it. */
  readonly tls?: SidecarReport['tls'];
  /** Whether it speaks TLS by a name that only the command line can say. */
  readonly unknownTls?: boolean;
}

interface Asking {
  readonly options: DoctorOptions;
  readonly env: Surroundings['env'];
}

/** Whether a replica answers, and what its mesh says of itself to an admin. */
export async function checkReplica(target: ReplicaTarget, { options, env }: Asking): Promise<Finding[]> {
  const finding = { check: 'control-plane', of: target.address } as const;
  if (target.unknownTls === true && options.ca === undefined) {
    const remedy = '--address HOST:PORT --ca FILE asks it, by a name that is in its certificate';
    return [{ ...finding, status: 'skipped', detail: 'it speaks TLS, so it was not asked', remedy }];
  }
  const known = options.ca === undefined ? target.tls : undefined;
  const given = {
    ...options,
    address: target.address,
    ...(known === undefined ? {} : { ca: known.ca }),
    ...(known?.serverId === undefined ? {} : { serverId: known.serverId }),
  };
  const shown = targetOf(given, env);
  let admin: AdminConnection | undefined;
  try {
    admin = new AdminConnection(shown);
    const asked = Date.now();
    const { replicas } = await all(admin, 'ListReplicas', 'replicas');
    const heard = Date.now();
    const [backends, sidecars] = await Promise.all([
      all(admin, 'ListBackends', 'backends'),
      all(admin, 'ListSidecars', 'sidecars'),
    ]);
    const found = rows(replicas);
    const detail = `answers, and lets you ask: ${found.map(({ name }) => id(name)).join(', ')}`;
    return [
      { ...finding, status: 'ok', detail },
      ...replicaFindings(found),
      ...clockOf(found, { of: `the store of ${target.address}`, asked, heard }),
      ...rows(backends['backends']).flatMap(backendFindings),
      ...rows(sidecars['sidecars']).flatMap(sidecarFindings),
    ];
  } catch (error) {
    if (!(error instanceof AdminCallError)) throw error;
    return [{ ...finding, ...refusal(error, { ...target, tokenShown: shown.token !== undefined }) }];
  } finally {
    admin?.close();
  }
}

async function all(admin: AdminConnection, method: string, field: string): Promise<Row> {
  const answer = toPlain(await allPages(admin, { method, field, request: {} }));
  return typeof answer === 'object' && answer !== null && !Array.isArray(answer) ? (answer as Row) : {};
}

type Outcome = Pick<Finding, 'status' | 'detail' | 'remedy'>;

function refusal(
  { status, message }: AdminCallError,
  { mustAnswer, tokenShown }: Pick<ReplicaTarget, 'mustAnswer'> & { readonly tokenShown: boolean },
): Outcome {
  const unseen = 'it answers; replicas, versions, sidecars and backends were not looked at: ';
  switch (status) {
    case 'UNAVAILABLE':
    case 'DEADLINE_EXCEEDED':
      if (!mustAnswer) return { status: 'skipped', detail: 'no replica runs here now', remedy: START };
      return { status: 'failed', detail: `nobody answers: ${message}`, remedy: REACH };
    case 'UNIMPLEMENTED':
      return { status: 'skipped', detail: `${unseen}the admin API is off`, remedy: TURN_ON };
    case 'UNAUTHENTICATED':
      return { status: tokenShown ? 'failed' : 'skipped', detail: `${unseen}${message}`, remedy: TOKEN };
    case 'PERMISSION_DENIED':
      return { status: tokenShown ? 'failed' : 'skipped', detail: `${unseen}${message}`, remedy: ROLE };
    default:
      return { status: 'failed', detail: message, remedy: REACH };
  }
}

const START = 'outrigger up, or outrigger control-plane, starts one';
const REACH =
  'start the replica, or name another (--address); where it speaks TLS, --ca FILE, and a name that is in its certificate';
const TURN_ON = 'say under admin in the configuration who is an admin';
const TOKEN = 'show a token with the admin role: --token-file, or $OUTRIGGER_ADMIN_TOKEN_FILE';
const ROLE = 'let the issuer give this token what admin in the configuration asks for, or show another';

function replicaFindings(replicas: readonly Row[]): Finding[] {
  const digests = new Set(replicas.map(({ configDigest }) => text(configDigest)));
  const several: Finding = {
    check: 'configuration',
    of: 'the replicas',
    status: 'warning',
    detail: `${digests.size} different configurations are in force`,
    remedy: 'outrigger config reload; outrigger replicas shows who has which',
  };
  return [...replicas.flatMap(stateOf), ...replicas.map(versionOf), ...(digests.size > 1 ? [several] : [])];
}

function stateOf({ name, state }: Row): Finding[] {
  const finding = { check: 'control-plane', of: text(name) } as const;
  if (state === 'DRAINED') {
    const remedy = `outrigger replicas undrain ${id(name)}`;
    return [{ ...finding, status: 'warning', detail: 'drained: it takes no sidecars', remedy }];
  }
  if (state !== 'NOT_READY') return [];
  const remedy = 'its /readyz says why; most often it cannot reach the store';
  return [{ ...finding, status: 'failed', detail: 'it is not ready', remedy }];
}

function versionOf({ name, version }: Row): Finding {
  const finding = { check: 'version', of: text(name) } as const;
  if (version === VERSION) return { ...finding, status: 'ok', detail: text(version) };
  return {
    ...finding,
    status: 'warning',
    detail: `it runs ${text(version)}, and this is ${VERSION}`,
    remedy: 'neighbouring versions run together for as long as a rollout takes: finish it',
  };
}

const SKEW_MS = 2_000;

/** Whoever answers has beaten just now, by the clock of the store. */
function clockOf(
  replicas: readonly Row[],
  { of, asked, heard }: { readonly of: string; readonly asked: number; readonly heard: number },
): Finding[] {
  const last = Math.max(...replicas.map(({ heartbeatTime }) => Date.parse(text(heartbeatTime))));
  if (!Number.isFinite(last)) return [];
  const skewMs = skewOf(last, { asked, heard, grainMs: 0 });
  return [
    clockFinding({ of, skewMs }, { boundMs: SKEW_MS, beyond: 'times that the mesh tells are not yours' }),
  ];
}

function backendFindings(backend: Row): Finding[] {
  return rows(backend['replicas'])
    .filter(({ state }) => state === 'OPEN' || state === 'FAILING')
    .map(({ replica, lastFault }) => ({
      check: 'backend',
      of: id(backend['name']),
      status: 'failed',
      detail: `it fails at replica ${text(replica)}: ${text(lastFault)}`,
      remedy: 'see that it runs and that this replica reaches it; outrigger backends shows since when',
    }));
}

const REMEDIES: Readonly<Record<string, string>> = {
  NACKED: 'its log says why it does not take its lists; requests go to the replica until it does',
  DISCONNECTED:
    'look at its log: it has no stream to any replica, and answers under its last grants for minutes only',
};

function sidecarFindings({ name, state }: Row): Finding[] {
  const remedy = REMEDIES[text(state)];
  if (remedy === undefined) return [];
  return [{ check: 'sidecar', of: id(name), status: 'warning', detail: text(state).toLowerCase(), remedy }];
}
