import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT_USAGE, ExitError } from '../../shared/lifecycle.ts';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../../shared/log.ts';
import { isLoopback } from '../http/address.ts';

/** Where MCP is spoken: a TCP address, or a Unix socket. */
export type Target =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly path: string }
  | { readonly kind: 'unix'; readonly socketPath: string; readonly path: string };

export interface ConnectSettings {
  readonly target: Target;
  /** For people: as it was written, without a query. */
  readonly url: string;
  /** Shown to the sidecar with every request: its file, or the token itself. */
  readonly token: { readonly file: string } | { readonly value: string } | undefined;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export interface LoadOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths start here. */
  readonly cwd: string;
}

const DEFAULT_URL = 'http://127.0.0.1:4280/mcp';

/** The settings of this process's command line and environment. Throws `ExitError`. */
export function settingsFromCommandLine(argv: readonly string[]): ConnectSettings {
  return loadSettings({ argv, env: process.env, cwd: process.cwd() });
}

/** Flags win over the environment; an empty variable counts as absent. Throws `ExitError` with every problem found. */
export function loadSettings({ argv, env, cwd }: LoadOptions): ConnectSettings {
  const flags = readFlags(argv);
  const problems: string[] = [];
  const url = flags.url ?? (env['OUTRIGGER_URL'] || DEFAULT_URL);
  const target = parseTarget(url);
  if (target === undefined) {
    problems.push('--url: expected http://127.0.0.1:4280/mcp, or unix:/path to the socket of a sidecar');
  } else if (target.kind === 'tcp' && !isLoopback(target) && flags['allow-non-loopback'] !== true) {
    problems.push('--url: expected a loopback address; --allow-non-loopback sends everything in clear text');
  }
  const level = pick(LOG_LEVELS, flags['log-level'] ?? 'info');
  if (level === undefined) problems.push(`--log-level: expected one of ${LOG_LEVELS.join(', ')}`);
  const format = pick(LOG_FORMATS, flags['log-format'] ?? 'text');
  if (format === undefined) problems.push(`--log-format: expected one of ${LOG_FORMATS.join(', ')}`);
  if (target === undefined || level === undefined || format === undefined || problems.length > 0) {
    throw new ExitError(problems.join('\n'), EXIT_USAGE);
  }
  const [shown = ''] = url.split('?');
  return { target, url: shown, token: findToken(flags['token-file'], { env, cwd }), log: { level, format } };
}

/** A token is never an argument: everybody on the machine can read those. */
function findToken(
  flag: string | undefined,
  { env, cwd }: Pick<LoadOptions, 'env' | 'cwd'>,
): ConnectSettings['token'] {
  const value = env['OUTRIGGER_TOKEN'];
  const file = flag ?? (value ? undefined : env['OUTRIGGER_TOKEN_FILE']);
  if (file) return { file: resolve(cwd, file) };
  return value ? { value } : undefined;
}

function parseTarget(written: string): Target | undefined {
  if (written.startsWith('unix:')) {
    const socketPath = written.slice('unix:'.length);
    return socketPath.startsWith('/') ? { kind: 'unix', socketPath, path: '/mcp' } : undefined;
  }
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url?.protocol !== 'http:' || url.username !== '' || url.password !== '') return undefined;
  return {
    kind: 'tcp',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    path: url.pathname === '/' ? '/mcp' : `${url.pathname}${url.search}`,
  };
}

function pick<Value extends string>(values: readonly Value[], written: string): Value | undefined {
  return values.find((value) => value === written);
}

function readFlags(argv: readonly string[]) {
  const option = { type: 'string' } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        url: option,
        'token-file': option,
        'allow-non-loopback': { type: 'boolean' },
        'log-level': option,
        'log-format': option,
      },
    });
    // Not repeated: it may be a token.
    if (positionals.length > 0) throw new Error('expected options, and found something else');
    return values;
  } catch (error) {
    throw new ExitError(error instanceof Error ? error.message : String(error), EXIT_USAGE);
  }
}
