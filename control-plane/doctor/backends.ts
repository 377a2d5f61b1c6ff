import type { Finding } from '../../shared/findings.ts';
import { BackendFault, type BackendFaultKind } from '../backend/backend.ts';
import { callerOf, type ProbeResult, probeBackends } from '../probe-backends.ts';
import type { BackendSettings, Settings } from '../settings.ts';
import type { DoctorOptions } from './command-line.ts';
import type { Surroundings } from './surroundings.ts';

interface Asked {
  readonly settings: Settings;
  readonly backend: BackendSettings;
  readonly options: DoctorOptions;
  readonly around: Surroundings;
}

/** A whole handshake with one backend, under the credential that a session would have. */
export async function checkBackends({ settings, backend, options, around }: Asked): Promise<Finding[]> {
  const { program, log, cwd } = around;
  const tokenFile = options.callerTokenFile;
  const caller = tokenFile === undefined ? undefined : await callerOf(settings, { tokenFile, log, cwd });
  const results = await probeBackends({
    ...{ settings, backends: [backend], caller, program, log },
    evenWithout: true,
    client: 'outrigger doctor',
    ask: ({ session }) => Promise.resolve(session.facts.protocolVersion),
  });
  return results.map((result) => findingOf(result, backend));
}

function findingOf(result: ProbeResult<string>, backend: BackendSettings): Finding {
  const finding = { check: 'backend', of: backend.name } as const;
  const { strategy } = backend.credential;
  switch (result.kind) {
    case 'answer':
      return { ...finding, status: 'ok', detail: `speaks MCP ${result.answer} (credential: ${strategy})` };
    case 'needs_caller':
      return {
        ...finding,
        status: 'skipped',
        detail: `it is there; its credential (${strategy}) is each caller's own, so there was no handshake`,
        remedy: '--caller-token-file FILE asks it under the token of a caller',
      };
    case 'problem': {
      const kind = result.error instanceof BackendFault ? result.error.kind : undefined;
      const remedy = kind === undefined ? CREDENTIAL : (REMEDIES[kind] ?? remedyFor(backend));
      return { ...finding, status: 'failed', detail: result.problem, remedy };
    }
  }
}

const CREDENTIAL =
  'see that the provider of its credential can be reached, and that the client and scopes under credential are those it knows';

const REMEDIES: Readonly<Partial<Record<BackendFaultKind, string>>> = {
  unauthorized: 'put a credential that the backend takes under credential of its entry',
  forbidden: 'let the backend permit what this credential stands for, or give it another under credential',
  rate_limited: 'ask again later, or raise what the backend allows',
  timeout: 'see why it is slow to start, or give it longer: timeouts.initialize of its entry',
  protocol:
    'see that its url, with the path, is that of an MCP server, and its type the right one (http or sse)',
  interrupted: 'look into its own log: it answers, and fails',
  busy: 'raise limits.stdioChildren, or end sessions',
};

function remedyFor({ kind }: BackendSettings): string {
  return kind === 'stdio'
    ? 'run its command by hand, in its cwd: what it writes to standard error says what it lacks'
    : 'start it, and see that its url names the host and port it listens on and that this machine reaches them';
}
