import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ConfigError, type Parsed, parseConfig } from '../shared/config/parse.ts';
import type { Environment } from '../shared/config/variables.ts';
import { ReadFiles } from '../shared/config/watched-files.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../shared/log.ts';
import { resolveTracing } from '../shared/telemetry/tracing-config.ts';
import { resolveAdmin } from './config-admin.ts';
import { resolveAdmission } from './config-admission.ts';
import { resolveAudit } from './config-audit.ts';
import { childEnvironment, resolveBackends } from './config-backends.ts';
import { resolveCallLimits } from './config-call-limits.ts';
import { resolveConnect } from './config-connect.ts';
import { ConfigContext } from './config-context.ts';
import { resolveIdentity } from './config-identity.ts';
import { resolveGrpcListener } from './config-listen.ts';
import { ConfigFile } from './config-schema.ts';
import { overrideStore, resolveKeys, resolveStore } from './config-store.ts';
import { resolveVirtualServers } from './config-virtual-servers.ts';
import type { LimitSettings, Settings } from './settings.ts';

export type { Address, BackendSettings, Settings } from './settings.ts';

/** What the command line says; it wins over the file. */
export interface Overrides {
  readonly replica?: string | undefined;
  readonly state?: string | undefined;
  readonly store?: string | undefined;
  /** The address of the mesh stream, `host:port`. */
  readonly listen?: string | undefined;
  /** The address of health and metrics, `host:port`. */
  readonly ops?: string | undefined;
  /** The address of the pages for logins, `host:port`. */
  readonly connect?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly logFormat?: string | undefined;
  /** All replicas share this state folder, so its keys will do for any store: `outrigger up` knows that, nobody else does. */
  readonly sharedState?: boolean | undefined;
}

export interface LoadOptions {
  readonly file: string;
  readonly env: Environment;
  /** Relative paths of the command line start here. */
  readonly cwd: string;
  readonly overrides?: Overrides;
  /** Where it is noted what was read: the file, and the files that it names. */
  readonly files?: ReadFiles;
  /** The file of approved definitions need not be there: it is about to be written. */
  readonly unwrittenPins?: boolean;
}

/** Where a replica's settings come from, so that they can be read again. */
export interface SettingsSource {
  /** How messages name the file. */
  readonly file: string;
  /** Throws `ConfigError`. What it read, or tried to, is in `files` in any case. */
  load(files: ReadFiles): Settings;
}

/** By a replica's command line and this process's environment. Throws `ConfigError`. */
export function settingsSource(argv: readonly string[]): SettingsSource {
  const { config, ...overrides } = readCommandLine(argv);
  if (config === undefined) throw new ConfigError(['--config FILE is required']);
  const options = { file: config, env: process.env, cwd: process.cwd(), overrides };
  return { file: config, load: (files) => loadSettings({ ...options, files }) };
}

/** Reads, expands, checks and resolves a file. Throws `ConfigError` with every problem found. */
export function loadSettings(options: LoadOptions): Settings {
  return loadConfig(options).settings;
}

export interface LoadedConfig {
  readonly settings: Settings;
  /** What `outrigger up` starts beside the mesh. */
  readonly up: ConfigFile['up'];
}

/** What `--store` says, for a URL with a password: everybody on a machine can read a command line. */
export const STORE_VARIABLE = 'OUTRIGGER_STORE';

export function loadConfig(options: LoadOptions): LoadedConfig {
  const { overrides = {}, files = new ReadFiles() } = options;
  const given = { ...overrides, store: overrides.store ?? options.env[STORE_VARIABLE] };
  const parsed = readConfig(options, files);
  const file = override(parsed, given);
  const context = new ConfigContext({
    env: options.env,
    folder: dirname(resolve(options.cwd, options.file)),
    files,
  });
  const stateFolder = stateFolderOf(options, file.state);
  const store = resolveStore(file.store, stateFolder, context);
  const identity = resolveIdentity(file, context);
  const grpc = resolveGrpcListener(file.listen.grpc, identity, context);
  const settings: Settings = {
    replica: file.replica ?? localName(),
    stateFolder,
    listen: {
      grpc: grpc.address,
      ops: context.address(['listen', 'ops'], file.listen.ops),
      advertise: grpc.advertise,
    },
    meshTls: grpc.tls,
    log: file.log,
    store,
    keys: resolveKeys(
      file.keys,
      { madeIfAbsent: store.kind !== 'redis' || overrides.sharedState === true },
      context,
    ),
    identity,
    admission: resolveAdmission(file, context, { unwrittenPins: options.unwrittenPins === true }),
    advertise: { resource: file.advertise.resource, scopes: file.advertise.scopes },
    connect: resolveConnect(file, context),
    backends: resolveBackends(file, context),
    virtualServers: resolveVirtualServers(file, context),
    limits: resolveLimits(file, context),
    overload: file.overload,
    callLimits: resolveCallLimits(file.callLimits, Object.keys(file.mcpServers), context),
    audit: resolveAudit(file.audit, context),
    tracing: resolveTracing(file.tracing, {
      secret: (path, source) => context.secret(path, source),
      problem: (path, message) => context.problem(path, message),
    }),
    admin: resolveAdmin(file.admin, { identity, tls: grpc.tls !== undefined }, context),
  };
  if (context.problems.length > 0) throw parsed.refuse(context.problems);
  const processes = file.up.processes.map((each) => ({
    ...each,
    env: childEnvironment(each.env, options.env),
  }));
  return { settings, up: { ...file.up, processes } };
}

/**
 * Variables that every file may use beside the environment's own:
 * `OUTRIGGER_NODE` is the running Node, `OUTRIGGER_HOME` the folder of this
 * package, `OUTRIGGER_STATE` the state folder unless the file names one.
 */
function readConfig(options: LoadOptions, files: ReadFiles): Parsed<ConfigFile> {
  const env = {
    OUTRIGGER_NODE: process.execPath,
    OUTRIGGER_HOME: fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, ''),
    OUTRIGGER_STATE: stateFolderOf(options, undefined),
    ...options.env,
  };
  return parseConfig(ConfigFile, readText(options, files), { file: options.file, env });
}

function readText(options: LoadOptions, files: ReadFiles): string {
  try {
    return files.read(resolve(options.cwd, options.file));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError([`${options.file}: cannot be read (${code})`]);
  }
}

function stateFolderOf(options: LoadOptions, inFile: string | undefined): string {
  const { cwd, overrides, file } = options;
  if (overrides?.state !== undefined) return resolve(cwd, overrides.state);
  return inFile === undefined ? resolve(cwd, '.outrigger') : resolve(cwd, dirname(file), inFile);
}

const NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;
const ADDRESS = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/;

function override(parsed: Parsed<ConfigFile>, given: Overrides): ConfigFile {
  const file = parsed.value;
  const problems: string[] = [];
  const check = (flag: string, value: string | undefined, pattern: RegExp, expected: string) => {
    if (value !== undefined && !pattern.test(value)) problems.push(`--${flag}: expected ${expected}`);
  };
  check('replica', given.replica, NAME, 'a name of lower-case letters, digits and -');
  check('listen', given.listen, ADDRESS, 'host:port');
  check('ops', given.ops, ADDRESS, 'host:port');
  check('connect', given.connect, ADDRESS, 'host:port');
  const level = LOG_LEVELS.find((each) => each === given.logLevel);
  if (given.logLevel !== undefined && level === undefined)
    problems.push(`--log-level: expected one of ${LOG_LEVELS.join(', ')}`);
  const format = LOG_FORMATS.find((each) => each === given.logFormat);
  if (given.logFormat !== undefined && format === undefined)
    problems.push(`--log-format: expected one of ${LOG_FORMATS.join(', ')}`);
  const store = given.store === undefined ? file.store : overrideStore(file.store, given.store);
  if (store === undefined || problems.length > 0) {
    if (store === undefined) problems.push('--store: expected embedded, memory or a redis:// URL');
    throw new ConfigError(problems);
  }
  return {
    ...file,
    replica: given.replica ?? file.replica,
    listen: {
      grpc: { ...file.listen.grpc, ...(given.listen === undefined ? {} : { address: given.listen }) },
      ops: given.ops ?? file.listen.ops,
    },
    log: { level: level ?? file.log.level, format: format ?? file.log.format },
    connect: file.connect && { ...file.connect, listen: given.connect ?? file.connect.listen },
    store,
  };
}

function resolveLimits({ limits }: ConfigFile, context: ConfigContext): LimitSettings {
  if (limits.sessionIdle > limits.sessionAbsolute) {
    context.problem(['limits', 'sessionIdle'], 'expected at most sessionAbsolute');
  }
  return {
    sessionIdleMs: limits.sessionIdle,
    sessionAbsoluteMs: limits.sessionAbsolute,
    liveSessions: limits.liveSessions,
    liveBytes: limits.liveMemory,
    sessionsPerPrincipal: limits.sessionsPerPrincipal,
    anonymousPerSidecar: limits.anonymousPerSidecar,
    initializePerMinute: limits.initializePerMinute,
    initializeBurst: limits.initializeBurst,
    restoreDeadlineMs: limits.restoreDeadline,
    restoresAtOnce: limits.restoresAtOnce,
    initializeAnswerMs: limits.initializeAnswer,
    messageBytes: limits.message,
    streamAfterMs: limits.streamAfter,
    leaseMs: limits.lease,
    drainMs: limits.drain,
    stdioChildren: limits.stdioChildren,
  };
}

/** A name from the host's, so that replicas of one store differ without being told to. */
function localName(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 40);
  return name === '' ? 'replica' : name;
}

function readCommandLine(argv: readonly string[]): Overrides & { readonly config?: string | undefined } {
  const option = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: option,
        replica: option,
        state: option,
        store: option,
        listen: option,
        ops: option,
        connect: option,
        'log-level': option,
        'log-format': option,
        'shared-state': { type: 'boolean' },
      },
    });
    const { 'log-level': logLevel, 'log-format': logFormat, 'shared-state': sharedState, ...rest } = values;
    return { ...rest, logLevel, logFormat, sharedState };
  } catch (error) {
    throw new ConfigError([error instanceof Error ? error.message : String(error)]);
  }
}
