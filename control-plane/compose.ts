import { systemClock } from '../shared/clock.ts';
import { ReadFiles } from '../shared/config/watched-files.ts';
import { MeshError } from '../shared/errors.ts';
import { EXIT_FAULT, type Program } from '../shared/lifecycle.ts';
import { createLogger, type Logger } from '../shared/log.ts';
import { LogLevels } from '../shared/log-levels.ts';
import { openTracer } from '../shared/telemetry/open-tracer.ts';
import { admissionRules } from './admission-rules.ts';
import { createBoundedFetch } from './backend/bounded-fetch.ts';
import { BackendRegistry } from './backend/registry.ts';
import { callLimitRules } from './call-limit-rules.ts';
import { CapabilityHub } from './capabilities/hub.ts';
import { administer } from './compose-admin.ts';
import { countSpans, countStreams, showBackends, showCertificate, showHealth } from './compose-gauges.ts';
import { watchLoad } from './compose-load.ts';
import { type LoginPlane, openLogins } from './compose-logins.ts';
import { meshServer } from './compose-mesh.ts';
import { sessionPlane } from './compose-sessions.ts';
import type { SettingsSource } from './config.ts';
import { createStrategy } from './credentials/create.ts';
import type { ProviderFetch } from './credentials/oauth-provider.ts';
import type { CredentialStrategy } from './credentials/strategy.ts';
import { readAssets } from './dashboard/assets.ts';
import { Dashboard } from './dashboard/dashboard.ts';
import { keepFixed } from './fixed-settings.ts';
import { followSettings } from './follow-settings.ts';
import { LiveVerifier } from './identity/live-verifier.ts';
import { type Keys, loadKeys } from './keys.ts';
import { LiveSettings } from './live-settings.ts';
import {
  countOperations,
  observeIssues,
  observePolicyErrors,
  observeRefusals,
  type Watching,
} from './observe.ts';
import { AuditLog } from './ops/audit-log.ts';
import { readCallCounts } from './ops/call-counts.ts';
import { ConfigReload } from './ops/config-reload.ts';
import { DefinitionWatch } from './ops/definition-watch.ts';
import { Health } from './ops/health.ts';
import { History, readCounts } from './ops/history.ts';
import { createMetrics, type Metrics } from './ops/metrics.ts';
import { startOpsServer } from './ops/server.ts';
import { reachableAt } from './own-address.ts';
import { ReachableBackends } from './reachable-backends.ts';
import { MeshCredentials } from './rpc/mesh-credentials.ts';
import type { MeshServer } from './rpc/mesh-server.ts';
import { Admission } from './session/admission.ts';
import { NO_AUDIT } from './session/audit.ts';
import type { SessionPlane } from './session/session-plane.ts';
import type { BackendSettings, Settings } from './settings.ts';
import { openCallLimits, type StoredCallLimits } from './store/call-limits.ts';
import { openStore } from './store/open.ts';

/** Puts a replica together and serves until the program is told to stop. What is opened is closed in reverse order. */
export async function startControlPlane(source: SettingsSource, program: Program): Promise<void> {
  const files = new ReadFiles();
  const settings = source.load(files);
  const live = new LiveSettings(settings);
  let reload: ConfigReload | undefined;
  const log = createLogger({
    ...settings.log,
    fields: { program: 'control-plane', replica: settings.replica },
  });
  const levels = new LogLevels(log, { configured: settings.log.level, clock: systemClock });
  program.configure({ log, graceMs: settings.limits.drainMs + SHUTDOWN_MARGIN_MS });
  const health = new Health();
  const metrics = createMetrics();
  const about = { service: 'outrigger-control-plane', instance: settings.replica };
  const tracer = await openTracer(settings.tracing, { ...about, log, program });
  countSpans(metrics, tracer);
  let dashboard: Dashboard | undefined;
  const ops = await startOpsServer({
    ...settings.listen.ops,
    health,
    registry: metrics.registry,
    pages: (request, response) => dashboard?.handle(request, response) ?? false,
  });
  program.defer('health and metrics', () => ops.close());

  const auditLog = openAudit(settings, { log, metrics, program });
  const audit = auditLog ?? NO_AUDIT;
  program.onReload(() => {
    auditLog?.reopen();
    reload?.reload();
  });
  const store = await openStore(settings.store, {
    log,
    onLatency: countOperations(metrics),
    onAlarm: ({ kind, detail }) => {
      metrics.storeAlarms.inc({ kind });
      if (kind === 'session_lost' || kind === 'record_quarantined')
        metrics.sessionsLost.inc({ reason: kind });
      log.error('store alarm', { event: kind, detail });
    },
  });
  program.defer('store', () => store.stop());
  health.require('store', () => (store.ready ? undefined : 'the session store cannot be reached'));

  const registry = new BackendRegistry({
    backends: settings.backends,
    messageBytes: settings.limits.messageBytes,
    stdioChildren: settings.limits.stdioChildren,
    tokenGraceMs: settings.identity.tokenGraceMs,
    stateFolder: settings.stateFolder,
    log,
    tracer,
  });
  program.defer('backends', () => registry.stop());
  const providers = createBoundedFetch();
  program.defer('credential providers', () => providers.stop());
  const keys = loadKeys(settings.keys, settings.stateFolder);
  const { fetch } = providers;
  const login = openLogins({
    ...{ live, keys, store, fetch, program, log, metrics, audit },
    onLogin: (made) => sessions.loggedIn(made),
  });
  const backends = new ReachableBackends(settings.backends, {
    registry,
    strategyFor: (backend) => strategyFor(backend, { log, metrics, audit, tracer, fetch, login }),
    onFault: (backend, error) => log.error('a former backend could not be closed', { backend, error }),
  });
  const onPolicyError = observePolicyErrors(metrics, log);
  const admission = new Admission({
    rules: admissionRules(settings, onPolicyError),
    onRefused: observeRefusals({ metrics, log, audit }),
  });
  const callLimits = openLimits(settings, { keys, metrics, program });
  const load = watchLoad({ live, log, metrics, program, health }, () => ({ sessions, mesh, backends }));
  const sessions: SessionPlane = sessionPlane({
    live,
    tracer,
    load,
    log,
    metrics,
    audit,
    callLimits,
    store,
    backends,
    keys,
    admission,
    inviteToLogin: login?.invite,
    watcher: {
      stale: (session, kinds) => capabilities.stale(session, kinds),
      read: (session) => capabilities.read(session),
      ended: (session) => capabilities.ended(session),
      granted: (session) => capabilities.granted(session),
    },
    ended: (id) => mesh.endSession(id),
    onItems: (list) => definitions.saw(list),
  });
  program.defer('sessions', () => sessions.stop());
  const capabilities = new CapabilityHub({
    lists: sessions.lists,
    clock: systemClock,
    key: keys.index.current,
    sessionIdleMs: settings.limits.sessionIdleMs,
    onPush: (result) => metrics.capabilityPushes.inc({ result }),
    onConverged: (ms) => metrics.convergence.of({}).observe(ms / 1_000),
  });
  const definitions = new DefinitionWatch({
    pins: () => admission.pins,
    shown: () => sessions.shownItems(),
    onChanged: (list) => sessions.changedUnsaid(list),
    clock: systemClock,
    metrics,
    audit,
    log,
  });
  const verifier = new LiveVerifier(settings.identity, {
    clock: systemClock,
    log,
    note: (mark) => store.writeVault(mark),
  });
  const credentials = settings.meshTls && new MeshCredentials(settings.meshTls.certificates);
  const mesh: MeshServer = meshServer({
    live,
    log,
    metrics,
    load,
    sessions,
    store,
    capabilities,
    verifier,
    credentials,
  });
  const history = new History({ read: () => readCounts(metrics), clock: systemClock });
  program.defer('history', () => history.stop());
  const admin = administer({
    live,
    log,
    levels,
    store,
    keys,
    registry,
    admission,
    sessions,
    mesh,
    verifier,
    audit,
    address: () => settings.listen.advertise ?? reachableAt({ ...settings.listen.grpc, port }),
    config: () => reload ?? notYet(),
    callCounts: () => readCallCounts(metrics),
    history,
  });
  dashboard = new Dashboard({
    replica: settings.replica,
    assets: readAssets(),
    questions: admin.questions,
    hosts: () => live.current.admin?.dashboardHosts ?? [],
  });
  program.defer('admin API', () => admin.stop());
  health.require('admin', () => (mesh.away ? 'an admin has drained this replica' : undefined));
  const port = await mesh.listen(`${hostPart(settings.listen.grpc.host)}:${settings.listen.grpc.port}`);
  program.defer('mesh streams', async () => {
    health.draining();
    admin.endWatches();
    await mesh.drain(live.current.limits.drainMs);
  });
  countStreams(metrics, mesh, sessions);
  showHealth(metrics, health);
  showCertificate(metrics, live);
  showBackends(metrics, registry);
  followSettings({
    live,
    credentials,
    program,
    log,
    levels,
    graceMs: SHUTDOWN_MARGIN_MS,
    backends,
    verifier,
    admission,
    onPolicyError,
    callLimits,
    sessions,
    mesh,
  });
  reload = new ConfigReload({ source, files, live, keepFixed, log, metrics, key: keys.index.current });
  program.defer('configuration', () => reload?.close());
  await login?.listen();
  admin.start();
  health.started();
  log.info('replica ready', {
    event: 'ready',
    address: `${settings.listen.grpc.host}:${port}`,
    port: ops.port,
  });
}

function openAudit(
  { audit, replica }: Settings,
  { log, metrics, program }: { log: Logger; metrics: Metrics; program: Program },
): AuditLog | undefined {
  if (audit === undefined) return undefined;
  const opened = new AuditLog({
    ...audit,
    replica,
    clock: systemClock,
    log,
    onLost(count) {
      metrics.auditLost.inc(count);
      if (audit.onLoss !== 'stop' || program.stopping.aborted) return;
      log.error('an audit event could not be kept, and none may be lost: this replica ends', { count });
      process.exitCode = EXIT_FAULT;
      void program.stop('an audit event could not be kept');
    },
  });
  program.defer('audit log', () => opened.stop());
  return opened;
}

function openLimits(
  settings: Settings,
  { keys, metrics, program }: { keys: Keys; metrics: Metrics; program: Program },
): StoredCallLimits {
  const limits = openCallLimits({
    ...callLimitRules(settings),
    store: settings.store,
    key: keys.index.current,
    onError: () => metrics.limitErrors.inc(),
  });
  program.defer('limits of calls', () => limits.stop());
  return limits;
}

/** Beyond the drain: what closing takes. */
const SHUTDOWN_MARGIN_MS = 5_000;

function notYet(): never {
  throw new MeshError('unavailable', 'This replica is still starting.', { retryAfterMs: 1_000 });
}

function hostPart(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

interface StrategyParts extends Watching {
  readonly fetch: ProviderFetch;
  readonly login: LoginPlane | undefined;
}

function strategyFor(
  { name, credential }: BackendSettings,
  { log, metrics, audit, tracer, fetch, login }: StrategyParts,
): CredentialStrategy {
  const { strategy } = credential;
  const onIssue = observeIssues({ metrics, log, audit, tracer }, { backend: name, strategy });
  if (strategy === 'passthrough') {
    const text =
      'this backend gets the tokens of its callers, which the MCP authorization specification forbids';
    log.warn(text, { event: 'token_passthrough', backend: name, strategy });
  }
  const { logins, discovery } = login ?? {};
  return createStrategy(credential, { backend: name, clock: systemClock, fetch, onIssue, logins, discovery });
}
