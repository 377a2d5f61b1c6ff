import type { BackendHealth } from '../backend/health.ts';
import type { BackendLink } from '../session/backend-link.ts';
import { type Outage, outages } from '../session/backend-outages.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { ListSyncMessage } from './admin-messages.ts';
import { type Timestamp, timestamp } from './admin-values.ts';

export interface ExplainOptions {
  /** How the credential of a backend is obtained, as configured. */
  readonly strategy: (backend: string) => string;
  readonly health: (backend: string) => BackendHealth | undefined;
  readonly lists: readonly ListSyncMessage[];
}

interface SessionBackendMessage {
  readonly name: string;
  readonly state: 'OPEN' | 'CONNECTING' | 'MISSING' | 'IDLE' | 'NOT_CONFIGURED';
  readonly sinceTime: Timestamp | null;
  readonly reason: string;
  readonly message: string;
  readonly credentialStrategy: string;
  readonly identityOutcome: string;
  readonly identityTime: Timestamp | null;
  readonly resumable: boolean;
  readonly stateLost: boolean;
}

/** What its owner knows of a live session, and what is wrong with it in words. Nothing of a credential, and no id of anything. */
export function explainLive(session: LiveSession, options: ExplainOptions) {
  const missing = outages(session);
  const backends = session.body.desired.map((name) => explainBackend(session, { name, missing, options }));
  const { body, streams, calls } = session;
  const all = [...streams.values()];
  return {
    state: 'LIVE',
    findings: [...backends.flatMap(findingsOf), ...breakers(session, options), ...refusedLists(options)],
    backends,
    streams: {
      calls: [...calls.values()].map(({ method }) => method),
      attached: all.filter(({ attached }) => attached).length,
      resumable: all.filter(({ attached }) => !attached).length,
      listening: all.some(({ attached, listening }) => attached && listening),
    },
    protocolVersion: body.protocolVersion,
    logLevel: body.logLevel ?? '',
    subscriptions: body.subscriptions.length,
    unanswered: body.asked?.length ?? 0,
    lists: options.lists,
  };
}

interface BackendParts {
  readonly name: string;
  readonly missing: Readonly<Record<string, Outage>>;
  readonly options: ExplainOptions;
}

function explainBackend(
  session: LiveSession,
  { name, missing, options }: BackendParts,
): SessionBackendMessage {
  const link = session.links.get(name);
  const outage = missing[name];
  const fault = link?.outage?.fault;
  return {
    name: `backends/${name}`,
    state: stateOf(link),
    sinceTime: fault === undefined || link?.outage === undefined ? null : timestamp(link.outage.since),
    reason: outage?.reason ?? '',
    message: outage?.message ?? '',
    credentialStrategy: options.strategy(name),
    identityOutcome: link?.lastIdentity?.outcome ?? '',
    identityTime: link?.lastIdentity === undefined ? null : timestamp(link.lastIdentity.at),
    resumable: link?.resumable ?? false,
    stateLost: link?.stateLost ?? false,
  };
}

function stateOf(link: BackendLink | undefined): SessionBackendMessage['state'] {
  if (link === undefined) return 'NOT_CONFIGURED';
  if (link.session !== undefined) return 'OPEN';
  if (link.opening) return 'CONNECTING';
  return link.outage?.fault === undefined ? 'IDLE' : 'MISSING';
}

function findingsOf(backend: SessionBackendMessage): string[] {
  const { name, state, reason, message, sinceTime, identityOutcome, stateLost } = backend;
  const own = name.slice('backends/'.length);
  const findings: string[] = [];
  if (state === 'NOT_CONFIGURED') findings.push(`"${own}" is not configured any more.`);
  if (state === 'MISSING') {
    const since = sinceTime === null ? '' : ` since ${new Date(sinceTime.seconds * 1000).toISOString()}`;
    findings.push(`"${own}" is missing${since} (${reason}): ${message}`);
  }
  if (state !== 'MISSING' && identityOutcome !== '' && identityOutcome !== 'accepted')
    findings.push(`"${own}" was not reached under the last credential (${identityOutcome}).`);
  if (stateLost) findings.push(`"${own}" has lost what it held for the session; the next result says so.`);
  return findings;
}

function breakers({ body }: LiveSession, { health }: ExplainOptions): string[] {
  return body.desired
    .filter((name) => health(name)?.state === 'open')
    .map((name) => `"${name}" failed too often for this replica and is left alone for a while.`);
}

function refusedLists({ lists }: ExplainOptions): string[] {
  return lists
    .filter(({ state }) => state === 'NACKED')
    .map(({ list, sidecar }) => `The sidecar "${sidecar}" refused ${list}: the replica answers it.`);
}
