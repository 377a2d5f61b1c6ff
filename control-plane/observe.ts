import type { DurationCounts } from '../shared/durations.ts';
import type { Logger } from '../shared/log.ts';
import type { Tracer } from '../shared/telemetry/tracer.ts';
import type { ConnectEvent } from './connect/connect.ts';
import type { StrategyEnvironment } from './credentials/issuing-strategy.ts';
import type { IdentityBinding } from './identity/caller.ts';
import type { PolicyError } from './identity/cedar-engine.ts';
import type { Metrics } from './ops/metrics.ts';
import type { ExchangeCounter } from './rpc/exchange.ts';
import type { Refusal } from './session/admission.ts';
import { type Audit, NO_AUDIT } from './session/audit.ts';
import type { SessionObserver } from './session/session-observer.ts';
import type { StoreHooks } from './store/hooks.ts';

export interface Watching {
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly audit: Audit;
  /** Where traces are written. */
  readonly tracer?: Tracer | undefined;
}

/** What the strategy of one backend tells of the provider it asks. */
export function observeIssues(
  { metrics, log, audit, tracer }: Watching,
  of: { readonly backend: string; readonly strategy: string },
): StrategyEnvironment['onIssue'] {
  return ({ outcome, durationMs, caller, cause }) => {
    metrics.credentialIssues.observe({ ...of, outcome }, durationMs / 1_000);
    const attributes = { 'outrigger.backend': of.backend, 'outrigger.credential.strategy': of.strategy };
    const span = tracer?.step('obtain credential', { attributes, sinceMs: durationMs });
    span?.end(outcome === 'ok' ? undefined : outcome);
    audit.record({ action: 'credential.obtain', outcome: ISSUES[outcome], caller, ...of });
    if (outcome === 'ok') log.debug('a credential was issued', { ...of, durationMs });
    else log.warn('no credential was issued', { ...of, reason: outcome, durationMs, error: cause });
  };
}

const ISSUES = { ok: 'allowed', refused: 'denied', unavailable: 'failed' } as const;

/** What comes of people who log in by browser. */
export function observeLogins({ metrics, log, audit }: Watching): (event: ConnectEvent) => void {
  return ({ kind, bindingKey, backend, session, cause }) => {
    metrics.logins.inc({ result: kind });
    const facts = { event: `login_${kind}`, backend, session };
    if (cause !== undefined) log.warn('a login came to nothing', { ...facts, error: cause });
    else if (kind === 'wrong_principal' || kind === 'replayed' || kind === 'wrong_state')
      log.warn('a login was not let through', facts);
    else log.info('somebody logs in or out', facts);
    const outcome = LOGINS[kind];
    if (outcome === undefined) return;
    const principal = bindingKey === undefined ? undefined : bindingOf(bindingKey);
    const action = kind === 'disconnected' ? 'login.end' : 'login.make';
    audit.record({ action, outcome, reason: kind, principal, backend, session: session || undefined });
  };
}

/** Who has only signed in has not done anything yet. */
const LOGINS = {
  signed_in: undefined,
  connected: 'allowed',
  disconnected: 'allowed',
  wrong_principal: 'denied',
  replayed: 'denied',
  wrong_state: 'denied',
  refused: 'denied',
  failed: 'failed',
} as const;

/** What sessions tell, as metrics, log lines and audit events for the people who run the mesh. */
export function observeSessions({ metrics, log, audit, tracer }: Watching): SessionObserver {
  /** Nearly all calls are answered, and each of them is counted. */
  const answered = new Map<string, DurationCounts>();
  return {
    audited: audit !== NO_AUDIT,
    decided: (event) => audit.record(event),
    created(session) {
      metrics.sessionsCreated.inc();
      log.info('session created', { session });
    },
    restored(result, durationMs) {
      metrics.restores.observe({ result }, durationMs / 1_000);
      const span = tracer?.step('restore session', { attributes: {}, sinceMs: durationMs });
      span?.end(result === 'ok' ? undefined : result);
      if (result === 'ok') metrics.takeovers.inc();
      if (result !== 'not_found') log.info('session restored', { reason: result, durationMs });
    },
    unreadable(session, keyId) {
      metrics.sessionsLost.inc({ reason: 'unknown_key' });
      log.error('a session is sealed under a key that this replica was not given', { session, keyId });
    },
    mismatched(kind) {
      metrics.bindingMismatches.inc();
      log.warn('a caller named a session that is bound to another principal', {
        event: 'session_binding_mismatch',
        kind,
      });
    },
    ended(session, reason) {
      metrics.sessionsEnded.inc({ reason });
      log.info('session left this replica', { session, reason });
    },
    otherVersion() {
      metrics.otherVersions.inc();
    },
    refused(reason) {
      metrics.requestErrors.inc({ reason });
    },
    dropped(kind) {
      metrics.lateFrames.inc({ kind });
    },
    backendCall(backend, outcome, durationMs) {
      const usual = outcome === 'ok' ? answered.get(backend) : undefined;
      const counts = usual ?? metrics.backendCalls.of({ backend, outcome });
      if (outcome === 'ok') answered.set(backend, counts);
      counts.observe(durationMs / 1_000);
    },
  };
}

function bindingOf(bindingKey: string): IdentityBinding {
  const [issuer = '', subject = '', tenant = ''] = JSON.parse(bindingKey) as string[];
  return { issuer, subject, tenant };
}

/** What became of exchanges: nearly all of them are messages that are answered. */
export function countExchanges({ exchangeDurations }: Metrics): ExchangeCounter {
  const message = exchangeDurations.of({ kind: 'message', outcome: 'answered' });
  return (kind, outcome, ms) => {
    const usual = kind === 'message' && outcome === 'answered';
    (usual ? message : exchangeDurations.of({ kind, outcome })).observe(ms / 1_000);
  };
}

/** What the store was asked, and how long that took. */
export function countOperations({ storeOperations }: Metrics): NonNullable<StoreHooks['onLatency']> {
  return (operation, ms, failed) =>
    storeOperations.of({ operation, outcome: failed ? 'failed' : 'ok' }).observe(ms / 1_000);
}

/** What callers were not admitted to: counted, and for whoever looks closer logged. */
export function observeRefusals({ metrics, log, audit }: Watching): (refusal: Refusal) => void {
  return ({ caller, use: { action, message, asked }, item: { backend, kind, name, visible }, why }) => {
    metrics.admissionRefusals.inc({ backend, reason: why });
    log.debug('a caller was not admitted', { backend, method: action, kind, reason: why });
    const { traceparent, 'x-request-id': requestId } = asked?.trace ?? {};
    const where = { session: asked?.session.adminName, traceparent, requestId, message };
    const what = { backend, kind, item: name, visible, method: message.scanned.method, reason: why };
    audit.record({ action: 'call', outcome: 'denied', caller, ...where, ...what });
  };
}

/** Policies that cannot be evaluated: each is counted, and said once. */
export function observePolicyErrors(metrics: Metrics, log: Logger): (error: PolicyError) => void {
  return ({ policy, message, first }) => {
    metrics.policyErrors.inc();
    if (first) log.error('a policy could not be evaluated', { event: policy, detail: message });
  };
}
