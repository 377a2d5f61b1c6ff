import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { EXIT_USAGE, ExitError, type Program } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/log.ts';
import { NEWEST_VERSION } from '../shared/protocol-versions.ts';
import { redact } from '../shared/redact.ts';
import { VERSION } from '../shared/version.ts';
import { type Backend, BackendFault, type BackendSession } from './backend/backend.ts';
import { createBoundedFetch } from './backend/bounded-fetch.ts';
import { BackendRegistry } from './backend/registry.ts';
import { createStrategy } from './credentials/create.ts';
import type { Credential, CredentialStrategy } from './credentials/strategy.ts';
import type { Caller } from './identity/caller.ts';
import { createVerifier } from './identity/verifier.ts';
import type { BackendSettings, BackendTimeouts, Settings } from './settings.ts';

/** Questions of people, rather than of clients, to the configured backends: each in a session of its own, reached as a replica reaches it. */
export interface ProbeOptions<Answer> {
  readonly settings: Settings;
  /** Some of those of the settings. */
  readonly backends: readonly BackendSettings[];
  /** Under whose credentials; undefined: under those that are nobody's own. */
  readonly caller: Caller | undefined;
  /** Whether a backend that needs a caller's credential is asked without any where there is no caller; it says then whether it is there. */
  readonly evenWithout?: boolean;
  /** How the backends are told who asks. */
  readonly client: string;
  readonly program: Pick<Program, 'defer' | 'stopping'>;
  readonly log: Logger;
  ask(probe: Probe): Promise<Answer>;
}

/** A session with one backend. */
export interface Probe {
  readonly backend: Backend;
  readonly session: BackendSession;
  readonly credential: Credential;
  readonly timeouts: BackendTimeouts;
  readonly signal: AbortSignal;
}

/** What came of one backend: its answer; why there is none; or that its credential is each caller's own, and there is no caller. */
export type ProbeResult<Answer> =
  | { readonly kind: 'answer'; readonly backend: string; readonly answer: Answer }
  | { readonly kind: 'problem'; readonly backend: string; readonly problem: string; readonly error: unknown }
  | { readonly kind: 'needs_caller'; readonly backend: string; readonly strategy: string };

/** Asks all at once; the results are in the order of the backends. What it opens the program closes. */
export function probeBackends<Answer>(options: ProbeOptions<Answer>): Promise<ProbeResult<Answer>[]> {
  const { settings, backends, program, log } = options;
  const registry = new BackendRegistry({
    backends,
    messageBytes: settings.limits.messageBytes,
    stdioChildren: settings.limits.stdioChildren,
    tokenGraceMs: settings.identity.tokenGraceMs,
    stateFolder: settings.stateFolder,
    log,
  });
  program.defer('backends', () => registry.stop());
  const providers = createBoundedFetch();
  program.defer('credential providers', () => providers.stop());
  return Promise.all(
    backends.map(async (each): Promise<ProbeResult<Answer>> => {
      const { name } = each;
      try {
        const backend = registry.get(name);
        if (backend === undefined) throw new Error('it is not configured');
        const strategy = strategyOf(each, providers.fetch);
        const { caller } = options;
        const needsCaller = caller === undefined && strategy.unattended === undefined;
        const signal = program.stopping;
        if (needsCaller) {
          if (options.evenWithout === true) await openToAnybody({ backend, settings: each, signal }, options);
          return { kind: 'needs_caller', backend: name, strategy: strategy.name };
        }
        const credential = await credentialFrom(strategy, { caller, backend: name, signal });
        const answer = await inSession({ backend, credential, timeouts: each.timeouts, signal }, options);
        return { kind: 'answer', backend: name, answer };
      } catch (error) {
        const problem = redact(error instanceof Error ? error.message : String(error));
        return { kind: 'problem', backend: name, problem, error };
      }
    }),
  );
}

/** The caller whose token it is, verified as a live one. `-` is standard input. Throws `ExitError`. */
export async function callerOf(
  settings: Settings,
  { tokenFile, log, cwd }: { readonly tokenFile: string; readonly log: Logger; readonly cwd: string },
): Promise<Caller> {
  const token = readToken(tokenFile, cwd);
  try {
    return await createVerifier(settings.identity, { clock: systemClock, log }).verify(`Bearer ${token}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ExitError(`--token-file: the token is refused: ${redact(why)}`);
  }
}

/** That it asks who is there is the answer of a backend that is. */
async function openToAnybody(
  asked: { readonly backend: Backend; readonly settings: BackendSettings; readonly signal: AbortSignal },
  { client }: Pick<ProbeOptions<unknown>, 'client'>,
): Promise<void> {
  const { backend, settings, signal } = asked;
  const probe = { backend, credential: {}, timeouts: settings.timeouts, signal };
  try {
    await inSession(probe, { client, ask: () => Promise.resolve() });
  } catch (error) {
    const asksWho = error instanceof BackendFault && ASKS_WHO.has(error.kind);
    if (!asksWho) throw error;
  }
}

const ASKS_WHO: ReadonlySet<BackendFault['kind']> = new Set(['unauthorized', 'forbidden']);

async function inSession<Answer>(
  asked: Omit<Probe, 'session'>,
  { client, ask }: Pick<ProbeOptions<Answer>, 'client' | 'ask'>,
): Promise<Answer> {
  const { backend, credential, timeouts, signal } = asked;
  const session = await backend.open({
    initializeParams: Buffer.from(JSON.stringify(paramsOf(client))),
    credential,
    events: { message: () => {}, lost: () => {} },
    timeoutMs: timeouts.initializeMs,
    lifeMs: Number.POSITIVE_INFINITY,
    signal,
  });
  try {
    return await ask({ ...asked, session });
  } finally {
    await session.close({ terminate: true, credential });
  }
}

/** A client that can do everything is shown everything. */
function paramsOf(name: string): object {
  return {
    protocolVersion: NEWEST_VERSION,
    capabilities: {
      roots: { listChanged: true },
      sampling: { context: {}, tools: {} },
      elicitation: { form: {}, url: {} },
    },
    clientInfo: { name, version: VERSION },
  };
}

type Fetch = Parameters<typeof createStrategy>[1]['fetch'];

function strategyOf({ name, credential }: BackendSettings, fetch: Fetch): CredentialStrategy {
  return createStrategy(credential, { backend: name, clock: systemClock, fetch, onIssue: () => {} });
}

/** The caller's own, or one that is nobody's. */
function credentialFrom(
  strategy: CredentialStrategy,
  { caller, ...rest }: { caller: Caller | undefined; backend: string; signal: AbortSignal },
): Credential | Promise<Credential> {
  if (caller !== undefined) return strategy.obtain({ caller, ...rest });
  return strategy.unattended?.() ?? {};
}

function readToken(tokenFile: string, cwd: string): string {
  try {
    return readFileSync(tokenFile === '-' ? 0 : resolve(cwd, tokenFile), 'utf8').trim();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ExitError(`--token-file: cannot be read (${code})`, EXIT_USAGE);
  }
}
