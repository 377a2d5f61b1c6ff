import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isLoopbackHost } from '../shared/config/hosts.ts';
import { ConfigError, type Parsed, parseConfig } from '../shared/config/parse.ts';
import type { Environment, Problem } from '../shared/config/variables.ts';
import { ReadFiles } from '../shared/config/watched-files.ts';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../shared/log.ts';
import { resolveTracing, type TracingSettings } from '../shared/telemetry/tracing-config.ts';
import { ADDRESS, ConfigFile, NAME } from './config-schema.ts';
import { resolveTls } from './config-tls.ts';
import { readSecret, resolveToken, type TokenSource } from './config-token.ts';
import { isLoopback, type ListenAddress, parseListenAddress } from './http/address.ts';
import type { ReplicaAddresses } from './mesh/addresses.ts';
import type { TlsFiles } from './mesh/channel-security.ts';

/** Everything that a sidecar is told, resolved. Durations in milliseconds, sizes in bytes. */
export interface Settings {
  /** Stable across restarts: it orders the replicas and names the sidecar to admins. */
  readonly node: string;
  readonly virtualServer: string;
  readonly listen: {
    readonly mcp: ListenAddress;
    readonly ops: { readonly host: string; readonly port: number };
  };
  /** Replicas by address, or one name that resolves to all of them. */
  readonly controlPlane: ReplicaAddresses;
  /** How the replicas are reached; undefined: in plain text, on loopback. */
  readonly tls: TlsFiles | undefined;
  readonly token: TokenSource | undefined;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  /** Where traces go; undefined: none are made. */
  readonly tracing: TracingSettings | undefined;
  readonly limits: ConfigFile['limits'];
  readonly timeouts: ConfigFile['timeouts'];
  readonly overload: ConfigFile['overload'];
}

export interface LoadOptions {
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Relative paths of the command line start here. */
  readonly cwd: string;
  /** Where it is noted which files were read. */
  readonly files?: ReadFiles;
}

/** The settings of this process's command line and environment. Throws `ConfigError`. */
export function settingsFromCommandLine(argv: readonly string[], files: ReadFiles): Settings {
  return loadSettings({ argv, env: process.env, cwd: process.cwd(), files });
}

/** Reads, expands, checks and resolves; flags win over the file. Throws `ConfigError` with every problem found. */
export function loadSettings(options: LoadOptions): Settings {
  const flags = readFlags(options.argv);
  const parsed = readConfig(options, flags.config);
  const file = override(parsed.value, flags);
  const problems: Problem[] = [];
  const problem = (path: Problem['path'], message: string) => problems.push({ path, message });

  const mcp = parseListenAddress(file.listen.mcp);
  if (mcp === undefined) problem(['listen', 'mcp'], 'expected host:port, a port, or unix:/path');
  else checkExposure(mcp, file, problem);
  if (file.timeouts.headers > file.timeouts.request) {
    problem(['timeouts', 'headers'], 'expected at most timeouts.request');
  }
  const folder = flags.config === undefined ? options.cwd : dirname(resolve(options.cwd, flags.config));
  const tls = file.controlPlane.tls && resolveTls(file.controlPlane, { folder, problem });
  if (tls === undefined) checkPlainText(file.controlPlane, problem);
  const token = file.token && resolveToken(file.token, { folder, env: options.env, problem });
  const tracing = resolveTracing(file.tracing, {
    secret: (path, source) => readSecret(source, path, { folder, env: options.env, problem }),
    problem,
  });
  if (mcp === undefined || problems.length > 0) throw parsed.refuse(problems);
  const { virtualServer, allowedHosts, allowedOrigins, log, limits, timeouts, overload, controlPlane } = file;
  return {
    node: file.node ?? hostname(),
    virtualServer,
    listen: { mcp, ops: splitAddress(file.listen.ops) },
    controlPlane: replicaAddresses(controlPlane),
    tls,
    token,
    allowedHosts,
    allowedOrigins,
    log,
    tracing,
    limits,
    timeouts,
    overload,
  };
}

type Report = (path: Problem['path'], message: string) => void;

/** Who else could reach the listener, and act in the name of whoever uses it? */
function checkExposure(mcp: ListenAddress, file: ConfigFile, problem: Report): void {
  if (!isLoopback(mcp) && !file.allowNonLoopback) {
    problem(['listen', 'mcp'], 'expected a loopback address; allowNonLoopback: true opens it to the network');
  }
  if (file.token !== undefined && mcp.kind === 'tcp' && !file.allowSharedLoopback) {
    problem(
      ['token'],
      'whoever reaches this listener would act under it: listen on unix:/path, or say allowSharedLoopback: true',
    );
  }
}

/** Callers' tokens cross the mesh stream: in plain text on this machine only. */
function checkPlainText({ addresses = [], dns }: ConfigFile['controlPlane'], problem: Report): void {
  const written = dns === undefined ? addresses : [dns];
  if (written.every((each) => isLoopbackHost(splitAddress(each).host))) return;
  problem(['controlPlane'], 'plain text is for loopback addresses: say tls, with ca, cert and key');
}

function replicaAddresses({ addresses, dns }: ConfigFile['controlPlane']): ReplicaAddresses {
  if (dns === undefined) return addresses ?? [];
  const { host, port } = splitAddress(dns);
  return { dns: host, port };
}

function splitAddress(written: string): { host: string; port: number } {
  const colon = written.lastIndexOf(':');
  return { host: written.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(written.slice(colon + 1)) };
}

/** The configuration itself, for a sidecar that is injected: there is no file in its container but those of its image. */
const CONFIG_VARIABLE = 'OUTRIGGER_SIDECAR_CONFIG';

function readConfig(options: LoadOptions, file: string | undefined): Parsed<ConfigFile> {
  if (file === undefined) {
    const inline = options.env[CONFIG_VARIABLE];
    const name = inline === undefined ? 'defaults' : `$${CONFIG_VARIABLE}`;
    return parseConfig(ConfigFile, inline ?? '{}', { file: name, env: options.env });
  }
  let text: string;
  try {
    text = (options.files ?? new ReadFiles()).read(resolve(options.cwd, file));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError([`${file}: cannot be read (${code})`]);
  }
  return parseConfig(ConfigFile, text, { file, env: options.env });
}

type Flags = ReturnType<typeof readFlags>;

function readFlags(argv: readonly string[]) {
  const option = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: option,
        node: option,
        'virtual-server': option,
        listen: option,
        ops: option,
        'control-plane': { type: 'string', multiple: true },
        'allow-non-loopback': { type: 'boolean' },
        'log-level': option,
        'log-format': option,
      },
    });
    return values;
  } catch (error) {
    throw new ConfigError([error instanceof Error ? error.message : String(error)]);
  }
}

function override(file: ConfigFile, flags: Flags): ConfigFile {
  const problems: string[] = [];
  const check = (flag: keyof Flags, pattern: RegExp, expected: string) => {
    const given = flags[flag];
    const values = typeof given === 'string' ? [given] : Array.isArray(given) ? given : [];
    if (values.some((value) => !pattern.test(value))) problems.push(`--${flag}: expected ${expected}`);
  };
  check('node', NAME, 'a name');
  check('virtual-server', NAME, 'a name');
  check('ops', ADDRESS, 'host:port');
  check('control-plane', ADDRESS, 'host:port');
  check('log-level', new RegExp(`^(?:${LOG_LEVELS.join('|')})$`), `one of ${LOG_LEVELS.join(', ')}`);
  check('log-format', new RegExp(`^(?:${LOG_FORMATS.join('|')})$`), `one of ${LOG_FORMATS.join(', ')}`);
  if (problems.length > 0) throw new ConfigError(problems);
  const addresses = flags['control-plane'];
  return {
    ...file,
    node: flags.node ?? file.node,
    virtualServer: flags['virtual-server'] ?? file.virtualServer,
    listen: { mcp: flags.listen ?? file.listen.mcp, ops: flags.ops ?? file.listen.ops },
    controlPlane: addresses === undefined ? file.controlPlane : { addresses, tls: file.controlPlane.tls },
    allowNonLoopback: flags['allow-non-loopback'] ?? file.allowNonLoopback,
    log: {
      level: LOG_LEVELS.find((each) => each === flags['log-level']) ?? file.log.level,
      format: LOG_FORMATS.find((each) => each === flags['log-format']) ?? file.log.format,
    },
  };
}
