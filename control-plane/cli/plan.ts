import { join } from 'node:path';
import { ConfigError } from '../../shared/config/parse.ts';
import { SIDECAR_NODE_FLAGS } from '../../shared/sidecar-node-flags.ts';
import { type Address, type LoadedConfig, STORE_VARIABLE } from '../config.ts';
import type { ChildSpec } from './child.ts';
import { type Claim, freePort, showAddress } from './ports.ts';
import { sidecarTracing } from './sidecar-tracing.ts';

/** What the command line of `up` says. */
export interface UpOptions {
  readonly config: string;
  readonly state?: string | undefined;
  readonly store?: string | undefined;
  readonly replicas?: number | undefined;
  /** The MCP port; the others follow it as 4281, 4290, … follow 4280. 0 takes free ones. */
  readonly portBase: number;
  readonly logLevel?: string | undefined;
  readonly logFormat?: string | undefined;
}

/** Where the programs are, and what they get from this one. */
export interface UpSurroundings {
  /** The `outrigger` command, by its path. */
  readonly command: string;
  /** The guard for helper processes, by its path. */
  readonly guard: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Every process of one mesh on one machine, in the order of their start. */
export interface Plan {
  readonly helpers: readonly ChildSpec[];
  readonly replicas: readonly PlannedProgram[];
  readonly sidecar: PlannedProgram;
  readonly claims: readonly Claim[];
}

export interface PlannedProgram {
  readonly spec: ChildSpec;
  /** Of the mesh stream, or of MCP for the sidecar. */
  readonly address: Address;
  readonly ops: Address;
}

const HOST = '127.0.0.1';
/** A helper has no sessions to bring to an end. */
const HELPER_GRACE_MS = 5_000;
/** More than a program allows itself beside its drain: it ends by its own bound first. */
const SLACK_MS = 7_000;

export async function planUp(
  options: UpOptions,
  loaded: LoadedConfig,
  around: UpSurroundings,
): Promise<Plan> {
  const count = options.replicas ?? loaded.up.replicas;
  if (count < 1 || count > 9) throw new ConfigError(['--replicas: expected a number from 1 to 9']);
  if (loaded.settings.meshTls !== undefined) {
    throw new ConfigError([
      `${options.config}: listen.grpc.tls: everything is on loopback here: leave it out`,
    ]);
  }
  const at = (offset: number) => portAt(options.portBase, offset);
  const graceMs = loaded.settings.limits.drainMs + SLACK_MS;
  const store = options.store === undefined ? {} : { [STORE_VARIABLE]: options.store };
  const forReplicas = { ...around, env: { ...around.env, ...store } };
  const replicas: PlannedProgram[] = [];
  for (let index = 0; index < count; index += 1) {
    const [grpc, ops] = [await at(10 + 10 * index), await at(11 + 10 * index)];
    const logins = loaded.settings.connect === undefined ? undefined : await at(12 + 10 * index);
    const name = String.fromCharCode('a'.charCodeAt(0) + index);
    replicas.push(
      program(`replica ${name}`, { around: forReplicas, graceMs, address: grpc, ops }, [
        'control-plane',
        ...['--config', options.config, '--state', loaded.settings.stateFolder, '--shared-state'],
        ...['--replica', name],
        ...(logins === undefined ? [] : ['--connect', showAddress(logins)]),
        // The file's level is theirs to follow.
        ...(options.logLevel === undefined ? [] : ['--log-level', options.logLevel]),
        ...['--log-format', loaded.settings.log.format],
      ]),
    );
  }
  const [mcp, ops] = [await at(0), await at(1)];
  const told = { ...around.env, ...sidecarTracing(loaded.settings.tracing) };
  const place = {
    around: { ...around, env: told },
    graceMs,
    address: mcp,
    ops,
    nodeFlags: SIDECAR_NODE_FLAGS,
  };
  const sidecar = program('sidecar', place, [
    'sidecar',
    ...replicas.flatMap(({ address }) => ['--control-plane', showAddress(address)]),
    ...['--node', 'local'],
    ...logFlags(loaded),
  ]);
  const claims = [
    { what: 'MCP', address: mcp },
    { what: 'health of the sidecar', address: ops },
    ...replicas.flatMap(({ spec, address, ops: health }) => [
      { what: spec.name, address },
      { what: `health of ${spec.name}`, address: health },
    ]),
  ];
  return { helpers: helpers(loaded, around), replicas, sidecar, claims };
}

async function portAt(base: number, offset: number): Promise<Address> {
  return { host: HOST, port: base === 0 ? await freePort(HOST) : base + offset };
}

interface Placement {
  readonly around: UpSurroundings;
  readonly graceMs: number;
  readonly address: Address;
  readonly ops: Address;
  readonly nodeFlags?: readonly string[];
}

function program(name: string, place: Placement, args: readonly string[]): PlannedProgram {
  const { around, graceMs, address, ops, nodeFlags = [] } = place;
  const listen = ['--listen', showAddress(address), '--ops', showAddress(ops)];
  return {
    address,
    ops,
    spec: {
      name,
      args: [...nodeFlags, around.command, ...args, ...listen],
      env: around.env,
      readyUrl: `http://${showAddress(ops)}/readyz`,
      graceMs,
    },
  };
}

/** The programs speak as the supervisor does: it passes their lines on. */
function logFlags({ settings }: LoadedConfig): string[] {
  return ['--log-level', settings.log.level, '--log-format', settings.log.format];
}

function helpers({ up }: LoadedConfig, { guard }: UpSurroundings): ChildSpec[] {
  return up.processes.map(({ name, command, args, env, ready }) => ({
    name,
    args: [guard, command, ...args],
    env,
    readyUrl: ready?.url,
    graceMs: HELPER_GRACE_MS,
  }));
}

/** The folders of the state folder that the configuration asks for. */
export function stateFolders({ settings, up }: LoadedConfig): string[] {
  return up.folders.map((name) => join(settings.stateFolder, name));
}
