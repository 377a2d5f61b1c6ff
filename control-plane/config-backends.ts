import { isForbiddenHost } from '../shared/config/hosts.ts';
import type { Environment, Path } from '../shared/config/variables.ts';
import { conceal } from '../shared/redact.ts';
import type { ConfigContext } from './config-context.ts';
import { resolveCredential, variablesOf } from './config-credentials.ts';
import type { ConfigFile } from './config-schema.ts';
import type {
  BackendSettings,
  BackendTimeouts,
  HttpBackendSettings,
  StdioBackendSettings,
} from './settings.ts';

type Entry = ConfigFile['mcpServers'][string];
type HttpEntry = Extract<Entry, { url: string }>;
type StdioEntry = Extract<Entry, { command: string }>;

export function resolveBackends(file: ConfigFile, context: ConfigContext): BackendSettings[] {
  const entries = Object.entries(file.mcpServers);
  if (entries.length === 0) context.problem(['mcpServers'], 'name at least one server');
  return entries.map(([name, entry]) => {
    const path = ['mcpServers', name];
    const common = {
      name,
      credential: resolveCredential(path, entry, context),
      timeouts: resolveTimeouts(entry, file.limits),
      limits: entry.limits,
      handshakes: entry.handshakes,
      replaySafe: new Set(
        Object.entries(entry.tools).flatMap(([tool, { replay }]) => (replay === 'safe' ? [tool] : [])),
      ),
      onStateLoss: entry.onStateLoss,
    };
    return 'url' in entry
      ? { ...common, ...resolveHttp(path, entry, context) }
      : { ...common, ...resolveStdio(path, entry, context) };
  });
}

function resolveTimeouts(entry: Entry, limits: ConfigFile['limits']): BackendTimeouts {
  return {
    initializeMs: entry.timeouts.initialize ?? limits.backendInitialize,
    requestMs: entry.timeouts.request ?? limits.requestTimeout,
    humanPacedMs: entry.timeouts.humanPaced ?? limits.humanPaced,
  };
}

function resolveHttp(
  path: Path,
  entry: HttpEntry,
  context: ConfigContext,
): Pick<HttpBackendSettings, 'kind' | 'url' | 'headers' | 'ca' | 'breaker'> {
  checkBackendUrl([...path, 'url'], entry.url, context);
  for (const value of Object.values(entry.headers)) conceal(value.replace(/^\S+\s+/, ''));
  const { url, headers, tls, breaker } = entry;
  return {
    kind: entry.type === 'sse' ? 'sse' : 'http',
    url,
    headers,
    ca: tls.ca === undefined ? undefined : context.file([...path, 'tls', 'ca'], tls.ca),
    breaker: { failures: breaker.failures, openMs: breaker.open },
  };
}

function checkBackendUrl(path: Path, written: string, context: ConfigContext): void {
  if (!URL.canParse(written)) {
    context.problem(path, 'expected an http or https URL');
    return;
  }
  const url = new URL(written);
  if (url.username !== '' || url.password !== '') {
    context.problem(path, 'a URL holds no credentials: use credential or headers');
  }
  if (isForbiddenHost(url.hostname)) {
    context.problem(path, 'link-local addresses and cloud metadata services are never a backend');
  }
}

/** What a child may inherit: nothing that could hold a secret. */
const INHERITED = [
  'HOME',
  'LANG',
  'LC_ALL',
  'LOGNAME',
  'PATH',
  'SHELL',
  'TERM',
  'TMPDIR',
  'TZ',
  'USER',
  // Windows
  'APPDATA',
  'COMSPEC',
  'HOMEDRIVE',
  'HOMEPATH',
  'LOCALAPPDATA',
  'PATHEXT',
  'PROGRAMFILES',
  'SYSTEMROOT',
  'TEMP',
  'USERNAME',
  'USERPROFILE',
];

/** A variable with such a name holds what its program must not say in our log. */
const SECRET_NAME = /key|token|secret|pass|credential|auth/i;

/** The whole environment of a program that is not ours. */
export function childEnvironment(
  own: Readonly<Record<string, string>>,
  around: Environment,
): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(own)) if (SECRET_NAME.test(name)) conceal(value);
  const inherited = INHERITED.flatMap((name) => {
    const value = around[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(inherited), ...own };
}

function resolveStdio(
  path: Path,
  entry: StdioEntry,
  context: ConfigContext,
): Pick<StdioBackendSettings, 'kind' | 'command' | 'args' | 'env' | 'cwd' | 'shared'> {
  return {
    kind: 'stdio',
    command: entry.command,
    args: entry.args,
    env: childEnvironment({ ...entry.env, ...variablesOf(path, entry, context) }, context.env),
    cwd: entry.cwd === undefined ? context.folder : context.path(entry.cwd),
    shared: entry.shared,
  };
}
