import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { meshErrorResponse } from '../../shared/json-rpc/envelope.ts';
import type { Load } from '../../shared/overload/monitor.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Exchange, ExchangeHandler } from '../rpc/exchange.ts';
import type { SessionStore } from '../store/session-store.ts';
import { cutCapabilities, initializeResult, negotiateVersion } from '../virtual-server/capabilities.ts';
import { KINDS } from '../virtual-server/item.ts';
import type { Admission } from './admission.ts';
import { isRead, moved } from './backend-call.ts';
import type { BackendLink, ReachableBackend } from './backend-link.ts';
import { BackendNotices } from './backend-notices.ts';
import { BACKENDS_META } from './backend-outages.ts';
import type { CallLimits } from './call-limits.ts';
import { Catalogues } from './catalogues.ts';
import { ClientNotifications } from './client-notifications.ts';
import { ClientRequests } from './client-requests.ts';
import { Dispatcher, lostAnswer } from './dispatcher.ts';
import { Initializer } from './initializer.ts';
import { ListChanges } from './list-changes.ts';
import type { ShownItems } from './list-reads.ts';
import type { ListWatcher } from './list-watcher.ts';
import { Listening } from './listening.ts';
import type {
  ActiveCall,
  LiveSession,
  SessionEnvironment,
  SessionHandlers,
  SessionLimits,
} from './live-session.ts';
import { type InviteToLogin, type LoggedIn, LoginElicitations } from './login-elicitations.ts';
import { type Change, Reconfiguration } from './reconfiguration.ts';
import { RecordCrypto, type ServerKey } from './record-crypto.ts';
import { type IndexKeys, RecordNames } from './record-names.ts';
import { replayState } from './replay-state.ts';
import { RoutingTables } from './routing-tables.ts';
import { RunningCall } from './running-call.ts';
import { ServerRequests } from './server-requests.ts';
import { type ManagerLimits, SessionManager } from './session-manager.ts';
import type { SessionObserver } from './session-observer.ts';
import type { SessionState } from './session-state.ts';
import { SlowStreams } from './slow-streams.ts';
import type { VirtualServer } from './virtual-server.ts';

/** What the configuration says of one backend, beside how it is reached. */
export interface BackendPolicy {
  readonly initializeMs: number;
  readonly requestMs: number;
  readonly humanPacedMs: number;
  readonly onStateLoss: 'continue' | 'error';
}

export interface SessionPlaneOptions {
  readonly replica: string;
  readonly build: string;
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly keys: { readonly server: readonly ServerKey[]; readonly index: IndexKeys };
  readonly backends: ReadonlyMap<string, ReachableBackend>;
  readonly policy: (backend: string) => BackendPolicy;
  readonly virtualServer: (name: string) => VirtualServer | undefined;
  readonly admission: Admission;
  readonly limits: SessionLimits &
    ManagerLimits & {
      readonly initializeAnswerMs: number;
      readonly streamAfterMs: number;
      readonly tokenGraceMs: number;
    };
  /** Every scope that callers can come back with. */
  readonly grantableScopes: () => ReadonlySet<string>;
  readonly callLimits: CallLimits;
  readonly load: Load;
  readonly observer: SessionObserver;
  readonly onSessionEnded: (sessionId: string) => void;
  /** Absent where no backend needs its callers to log in. */
  readonly inviteToLogin?: InviteToLogin;
  readonly watcher: ListWatcher;
  /** A backend shows somebody something new, or what it shows counts otherwise since the rules are others. */
  readonly onItems: (list: ShownItems) => void;
  /** Takes an exchange up, as `take` does, under the eyes of whoever looks. Absent: nobody does. */
  readonly watch?: (exchange: Exchange, take: ExchangeHandler) => void;
  /** A fault of our own, for the log, with the id of the request that met it. */
  readonly onFault: (error: MeshError, requestId: string) => void;
}

export interface SessionPlane {
  readonly handle: ExchangeHandler;
  readonly manager: SessionManager;
  /** What is shown to whom now. */
  readonly lists: Pick<Catalogues, 'known' | 'seen'>;
  /** What a backend listed is taken for old in every live session. Returns how many have it. */
  refresh(backend: string): number;
  /** What backends showed the live sessions last, each list once. */
  shownItems(): readonly ShownItems[];
  /** A backend was seen to show one session another list, and need not have told the others: they take it as told. */
  changedUnsaid(list: Pick<ShownItems, 'backend' | 'kind'>): void;
  /** The configuration is another one: live sessions follow it. Returns how many sessions' lists it concerns. */
  reconfigure(change: Change): number;
  /** Somebody has logged in at a third party: the sessions of this replica that missed it. */
  loggedIn(login: LoggedIn): void;
  stop(): Promise<void>;
}

/** Puts sessions and their message path together: from a verified exchange to the backends and back. */
export function createSessionPlane(options: SessionPlaneOptions): SessionPlane {
  const { clock, observer, limits, policy, watcher, admission } = options;
  const crypto = new RecordCrypto(options.keys.server);
  const calls = { clock, observer, timeouts: policy, grantableScopes: options.grantableScopes };
  const serverRequests = new ServerRequests({
    clock,
    observer,
    listener: (session) => listening.reader(session)?.caller,
  });
  const catalogues: Catalogues = new Catalogues({
    calls,
    clock,
    cursorKey: options.keys.index.current,
    tables: new RoutingTables({
      store: options.store,
      crypto,
      indexKey: options.keys.index.current,
      ttlMs: limits.sessionAbsoluteMs,
    }),
    virtualServer: options.virtualServer,
    admission,
    hears: (session, backend) => listening.hears(session, backend),
    onStale: (session, kinds) => watcher.stale(session, kinds),
    onLate: (session, kind) => listChanges.look(session, [kind]),
    onItems: options.onItems,
    onNewContext: (session, caller) => listChanges.compare(session, caller, KINDS),
  });
  const listening: Listening = new Listening({
    clock,
    get tokenGraceMs() {
      return limits.tokenGraceMs;
    },
    onListen: (session) => reconfiguration.listens(session),
    onGap: (session, link) => listChanges.mark(session, link.name, KINDS),
    lostAnswer,
    onLost: (session, stream) => serverRequests.lost(session, stream),
  });
  const listChanges = new ListChanges({
    clock,
    catalogues,
    listening,
    onRead: (session) => watcher.read(session),
  });
  const logins = new LoginElicitations({
    invite: options.inviteToLogin ?? (() => undefined),
    listening,
    listChanges,
  });
  const reconfiguration = new Reconfiguration({ catalogues, listening, listChanges });
  const notices = new BackendNotices({ serverRequests, listening, catalogues, listChanges, observer });
  const handlers = new Handlers({
    serverRequests,
    listening,
    listChanges,
    catalogues,
    notices,
    calls,
    watcher,
  });
  const env: SessionEnvironment = {
    replica: options.replica,
    store: options.store,
    clock,
    crypto,
    limits,
    backends: options.backends,
    // A virtual server that is gone leaves its sessions what they have.
    desired: ({ virtualServer, desired }) => options.virtualServer(virtualServer)?.backends ?? desired,
    initializeTimeoutMs: (backend) => policy(backend).initializeMs,
    cutParams: (params) => cutCapabilities(Buffer.from(params)),
    handlers,
  };
  const manager = new SessionManager({
    env,
    names: new RecordNames(options.keys.index),
    limits,
    observer,
    load: options.load,
    onEnded: options.onSessionEnded,
    onKept: (session) => reconfiguration.enter(session),
    granted: (session) => watcher.granted(session),
  });
  handlers.manager = manager;
  const stopWatching = admission.onChange(() => {
    for (const session of manager.sessions()) {
      watcher.stale(session, KINDS);
      reconfiguration.look(session);
    }
    for (const list of catalogues.shown(manager.sessions())) options.onItems(list);
  });
  const dispatcher = new Dispatcher({
    manager,
    initializer: new Initializer({
      manager,
      clock,
      get answerMs() {
        return limits.initializeAnswerMs;
      },
      virtualServer: options.virtualServer,
      negotiate: negotiateVersion,
      result: (session, missing) => resultFor(options, session, missing),
    }),
    requests: new ClientRequests({
      calls,
      catalogues,
      admission,
      notices,
      logins,
      limits: options.callLimits,
      onStateLoss: (backend) => policy(backend).onStateLoss,
      onFault: options.onFault,
    }),
    notifications: new ClientNotifications(serverRequests, observer),
    serverRequests,
    listening,
    slow: new SlowStreams(clock, limits.streamAfterMs),
    load: options.load,
    observer,
    watch: options.watch ?? ((exchange, take) => take(exchange)),
    onFault: options.onFault,
  });
  return {
    handle: dispatcher.handle,
    manager,
    lists: catalogues,
    refresh(backend) {
      const having = [...manager.sessions()].filter(({ links }) => links.get(backend)?.session !== undefined);
      for (const session of having) listChanges.mark(session, backend, KINDS);
      return having.length;
    },
    shownItems: () => catalogues.shown(manager.sessions()),
    changedUnsaid({ backend, kind }) {
      for (const session of manager.sessions()) {
        if (session.links.get(backend)?.session !== undefined) listChanges.said(session, backend, [kind]);
      }
    },
    reconfigure: (change) =>
      [...manager.sessions()].filter((session) => reconfiguration.apply(session, change)).length,
    loggedIn: (login) => logins.loggedIn(manager.sessions(), login),
    stop() {
      stopWatching();
      return manager.stop();
    },
  };
}

interface HandlerParts {
  readonly serverRequests: ServerRequests;
  readonly listening: Listening;
  readonly listChanges: ListChanges;
  readonly catalogues: Catalogues;
  readonly notices: BackendNotices;
  readonly watcher: ListWatcher;
  readonly calls: ConstructorParameters<typeof Catalogues>[0]['calls'];
}

/** What happens in sessions, to the parts of the message path that it concerns. */
class Handlers implements SessionHandlers {
  readonly #parts: HandlerParts;
  manager: SessionManager | undefined;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
  }

  backendMessage(session: LiveSession, link: BackendLink, message: Message): void {
    const backend = link.session;
    if (backend !== undefined) this.#parts.notices.unsolicited({ session, link, backend, message });
  }

  /** A backend joins, or is back: its lists join with it, and a client that listens hears it too. */
  backendOpened(session: LiveSession, link: BackendLink): void {
    if (session.state !== 'live') return;
    this.#parts.listening.opened(session, link);
    this.#parts.listChanges.mark(session, link.name, KINDS);
  }

  prepareBackend(
    session: LiveSession,
    target: { backend: BackendSession; name: string; credential: Credential },
  ): Promise<void> {
    return replayState(this.#parts.catalogues, session, target);
  }

  /**
   * Where another replica has taken over, what is in flight for a client that still
   * waits here is finished: a drain loses no request. The rest is answered by the
   * loss rule: reads may be asked again, everything else may have run.
   */
  ended(session: LiveSession, state: SessionState): Promise<void> | undefined {
    this.#parts.watcher.ended(session);
    const finishing = state === 'fenced' ? [...session.calls.values()].filter(isAwaited) : [];
    for (const call of session.calls.values()) {
      if (finishing.some((each) => each === call)) continue;
      const error = state === 'closed' ? gone() : isRead(call.method) ? moved() : lost();
      call.abandon(error, meshErrorResponse(call.id, error, call));
    }
    for (const stream of [...session.streams.values()]) {
      if (!finishing.some((each) => each.stream === stream)) stream.close();
    }
    this.#parts.listening.forget(session);
    this.#parts.listChanges.forget(session);
    this.manager?.forget(session, state);
    if (finishing.length === 0) {
      this.#release(session);
      return undefined;
    }
    this.#parts.serverRequests.keep(session);
    const finished = Promise.all(finishing.map((call) => call.finished())).then(() => this.#release(session));
    this.manager?.finish(session, finished);
    return finished;
  }

  #release(session: LiveSession): void {
    this.#parts.serverRequests.forget(session);
    this.#parts.catalogues.forget(session);
  }
}

/** Its client waits for it on a stream of this replica. */
function isAwaited(call: ActiveCall): call is RunningCall {
  return call instanceof RunningCall && !call.over && call.stream.attached;
}

function resultFor(
  options: SessionPlaneOptions,
  session: LiveSession,
  missing: Readonly<Record<string, unknown>>,
): Buffer {
  const server = options.virtualServer(session.body.virtualServer);
  const present = [...session.links.values()].flatMap((link) => {
    const instructions = link.session?.facts.instructions;
    return instructions === undefined ? [] : [{ name: link.name, instructions }];
  });
  const meta = Object.keys(missing).length === 0 ? undefined : { [BACKENDS_META]: missing };
  return initializeResult({
    protocolVersion: session.body.protocolVersion,
    build: options.build,
    instructions: server?.instructions,
    backends: present,
    ...(meta === undefined ? {} : { meta }),
  });
}

function gone(): MeshError {
  return new MeshError('cancelled', 'The session has ended.');
}

function lost(): MeshError {
  return new MeshError(
    'outcome_unknown',
    'The session moved to another replica; whether the call ran is unknown.',
  );
}
