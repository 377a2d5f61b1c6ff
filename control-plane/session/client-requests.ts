import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  forward,
  relayError,
  response,
  resultWithMeta,
  splice,
} from '../../shared/json-rpc/envelope.ts';
import { type Message, type Span, slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { NEVER } from '../../shared/never.ts';
import type { BackendSession } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { Exchange } from '../rpc/exchange.ts';
import type { ListKind, Route, RouteKind } from '../virtual-server/catalogue.ts';
import { capCompletion, completionTarget } from '../virtual-server/completion.ts';
import { errorWithVisibleUri, mentionsUri, withVisibleUris } from '../virtual-server/result-uris.ts';
import type { Routes } from '../virtual-server/routes.ts';
import { taskIdIn } from '../virtual-server/task-results.ts';
import { type Admission, useOf } from './admission.ts';
import type { AuditEvent } from './audit.ts';
import { type CallEnvironment, callBackend } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import type { BackendNotices } from './backend-notices.ts';
import { RESTARTED_META } from './backend-outages.ts';
import type { CallLimits } from './call-limits.ts';
import { createsTask, namesFor, passedOn, rawNumber, taskRenamed, withToken } from './call-rewrites.ts';
import type { Catalogues, Wanted } from './catalogues.ts';
import type { ClientStream } from './client-stream.ts';
import { noteTask } from './known-tasks.ts';
import type { LiveSession } from './live-session.ts';
import type { LoginElicitations } from './login-elicitations.ts';
import { withoutReserved, withoutReservedInResult } from './reserved-meta.ts';
import { RunningCall } from './running-call.ts';
import { MAX_SUBSCRIPTION_CHARS } from './session-record.ts';
import { type Answered, isTaskMethod, type Target, TaskRequests } from './task-requests.ts';

/** One request of a client on its way through a session. */
export interface Turn {
  readonly session: LiveSession;
  readonly caller: Caller;
  readonly message: Message;
  readonly stream: ClientStream;
  readonly trace: Readonly<Record<string, string>> | undefined;
  readonly exchange: Pick<Exchange, 'answeredList' | 'requestId'>;
}

type Answer = readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** The item that a request names, as an audit knows it. */
export type Named = Pick<AuditEvent, 'kind' | 'item' | 'visible'> & { readonly backend: string };

export interface RequestOptions {
  readonly calls: CallEnvironment;
  readonly catalogues: Catalogues;
  readonly admission: Admission;
  readonly notices: BackendNotices;
  readonly logins: Pick<LoginElicitations, 'answer'>;
  readonly limits: CallLimits;
  /** What the first call after lost backend state gets: its result, which says so, or an error. */
  readonly onStateLoss: (backend: string) => 'continue' | 'error';
  readonly onFault: (error: MeshError, requestId: string) => void;
}

/** How long a new log level waits for the backends that are told of it, and what the session keeps for the record to have it. */
const LEVEL_MS = 2_000;

const EMPTY = Buffer.from('{}');
const TRUE = Buffer.from('true');

const LISTS: Readonly<Record<string, ListKind>> = {
  'tools/list': 'tools',
  'resources/list': 'resources',
  'resources/templates/list': 'resourceTemplates',
  'prompts/list': 'prompts',
};

const ROUTED: Readonly<Record<string, RouteKind>> = {
  'tools/call': 'tool',
  'prompts/get': 'prompt',
  'resources/read': 'resource',
  'resources/subscribe': 'resource',
  'resources/unsubscribe': 'resource',
};

/** Requests of a client: answered by the mesh itself, from the merged lists, or by the one backend that owns what they name. */
export class ClientRequests {
  readonly #options: RequestOptions;
  readonly #tasks: TaskRequests;

  constructor(options: RequestOptions) {
    this.#options = options;
    this.#tasks = new TaskRequests({
      calls: options.calls,
      admission: options.admission,
      admit: (turn, item) => this.#admit(turn, item),
      call: (turn, call, target) => this.#call(turn, call, target),
      relay: (turn, call, answered) => this.#relay(turn, call, answered),
    });
  }

  /** Runs a request to its one answer. Never throws and never rejects. */
  run(turn: Turn): void {
    const { session, caller, message, stream, exchange } = turn;
    const { requestId } = exchange;
    const { id, method = '', progressToken } = message.scanned;
    if (id === undefined) return;
    const rawId = Buffer.from(slice(message.bytes, id));
    const token = progressToken === undefined ? undefined : Buffer.from(slice(message.bytes, progressToken));
    const call = new RunningCall({ method, stream, caller, id: rawId, requestId, progressToken: token });
    session.calls.set(call.key, call);
    // A call costs what is made for it: nothing waits where nothing has to be waited for.
    const refuse = (thrown: unknown) => this.#refuse(turn, call, thrown);
    try {
      const answer = this.#answer(turn, call);
      if (answer instanceof Promise)
        void answer.then((pieces) => this.#end(turn, call, pieces)).catch(refuse);
      else this.#end(turn, call, answer);
    } catch (thrown) {
      refuse(thrown);
    }
  }

  #end({ session }: Turn, call: RunningCall, pieces: readonly Uint8Array[]): void {
    call.answer(pieces);
    session.calls.delete(call.key);
  }

  #refuse({ session, caller }: Turn, call: RunningCall, thrown: unknown): void {
    const error = MeshError.from(thrown);
    if (error.reason === 'internal') this.#options.onFault(error, call.requestId);
    this.#options.calls.observer.refused(error.reason);
    const { id, requestId } = call;
    call.fail(error, this.#options.logins.answer(error, { session, caller, id, requestId }));
    session.calls.delete(call.key);
  }

  #answer(turn: Turn, call: RunningCall): Answer {
    const list = LISTS[call.method];
    if (list !== undefined) return this.#list(turn, call, list);
    const routed = ROUTED[call.method];
    if (routed !== undefined) return this.#routed(turn, call, routed);
    if (isTaskMethod(call.method)) return this.#tasks.answer(turn, call);
    switch (call.method) {
      case 'ping':
        return response(call.id, EMPTY);
      case 'completion/complete':
        return this.#complete(turn, call);
      case 'logging/setLevel':
        return this.#setLevel(turn, call);
      default:
        return this.#unknown(turn, call);
    }
  }

  async #list(
    { session, caller, message, exchange }: Turn,
    call: RunningCall,
    kind: ListKind,
  ): Promise<readonly Uint8Array[]> {
    const { cursor } = message.scanned;
    const wanted = cursor === undefined ? undefined : decodeString(message.bytes, cursor);
    const list = await this.#options.catalogues.list(session, caller, { kind, cursor: wanted });
    if (wanted === undefined) exchange.answeredList?.(session, kind);
    return response(call.id, list);
  }

  #routed(turn: Turn, call: RunningCall, kind: RouteKind): Answer {
    const { session, caller, message } = turn;
    const span = kind === 'resource' ? message.scanned.uri : message.scanned.name;
    if (span === undefined)
      throw new MeshError(
        'invalid_params',
        `${call.method} needs a ${kind === 'resource' ? 'uri' : 'name'}.`,
      );
    const visible = decodeString(message.bytes, span);
    const wanted = { kind, visible, use: useOf(message, turn) };
    const found = this.#options.catalogues.route(session, caller, wanted);
    return found instanceof Promise
      ? found.then((route) => this.#along(turn, call, { wanted, span, route }))
      : this.#along(turn, call, { wanted, span, route: found });
  }

  #along(
    turn: Turn,
    call: RunningCall,
    { wanted, span, route }: { wanted: Wanted; span: Span; route: Route | undefined },
  ): Promise<readonly Uint8Array[]> {
    if (route === undefined) throw unknown(wanted);
    const { kind, visible, use } = wanted;
    const { backend, original } = route;
    if (call.method === 'resources/subscribe') requireRoom(turn.session, visible);
    const splices = original === visible ? [] : [{ span, bytes: encodeString(original) }];
    const target = { backend, splices, wanted: { kind, visible, use, original } };
    const admitted = this.#admit(turn, { backend, kind, item: original, visible });
    return admitted === undefined
      ? this.#use(turn, call, target)
      : this.#useWithin(admitted, () => this.#use(turn, call, target));
  }

  async #useWithin<Result>(admitted: Promise<() => void>, use: () => Promise<Result>): Promise<Result> {
    const release = await admitted;
    try {
      return await use();
    } finally {
      release();
    }
  }

  /** What was found and admitted, at its backend. */
  #use(
    turn: Turn,
    call: RunningCall,
    target: Target & Required<Pick<Target, 'wanted'>>,
  ): Promise<readonly Uint8Array[]> {
    if (createsTask(turn)) return this.#create(turn, call, target);
    const { backend, wanted } = target;
    const answered = this.#call(turn, call, target);
    if (wanted.use.action !== 'subscribe')
      return answered.then((answer) => this.#relay(turn, call, { backend, answer }));
    return answered.then(async (answer) => {
      if (answer.scanned.error === undefined) await this.#noteSubscription(turn, wanted.visible);
      return this.#relay(turn, call, { backend, answer });
    });
  }

  /** Within the limits of calls, and noted before it takes effect. Resolves to what ends it; undefined where nothing has to be waited for. */
  #admit(turn: Turn, item: Named): Promise<() => void> | undefined {
    const tool = item.kind === 'tool' ? item.item : undefined;
    const admitted = this.#options.limits.admit({ caller: turn.caller, backend: item.backend, tool });
    if (admitted !== undefined) return this.#admitted(turn, item, admitted);
    this.#note(turn, item, { outcome: 'allowed' });
    return undefined;
  }

  async #admitted(turn: Turn, item: Named, admitted: Promise<() => void>): Promise<() => void> {
    try {
      const release = await admitted;
      this.#note(turn, item, { outcome: 'allowed' });
      return release;
    } catch (thrown) {
      this.#note(turn, item, { outcome: 'denied', reason: MeshError.from(thrown).reason });
      throw thrown;
    }
  }

  #note(
    { session, caller, message, trace, exchange }: Turn,
    item: Named,
    decision: Pick<AuditEvent, 'outcome' | 'reason'>,
  ): void {
    const { observer } = this.#options.calls;
    if (!observer.audited) return;
    const about = { caller, session: session.adminName, method: message.scanned.method, ...item, message };
    const { requestId } = exchange;
    observer.decided({
      action: 'call',
      ...about,
      traceparent: trace?.['traceparent'],
      requestId,
      ...decision,
    });
  }

  /** A call that is to run as a task: its answer names the task. */
  async #create(turn: Turn, call: RunningCall, target: Target): Promise<readonly Uint8Array[]> {
    await this.#tasks.require(turn, target.backend);
    const answer = await this.#call(turn, call, target);
    const { result } = answer.scanned;
    const task = result === undefined ? undefined : taskIdIn(slice(answer.bytes, result), 'created');
    if (task !== undefined) await noteTask(turn.session, target.backend, task.taskId);
    return this.#relay(turn, call, { backend: target.backend, answer, place: 'created' });
  }

  /** A subscription that was answered is the session's on any replica. */
  async #noteSubscription({ session, caller, message: { scanned } }: Turn, uri: string): Promise<void> {
    const subscribed = scanned.method === 'resources/subscribe';
    const others = session.body.subscriptions.filter((known) => known !== uri);
    session.update({ subscriptions: subscribed ? [...others, uri] : others });
    // Whose it is must be known to whoever subscribes again.
    this.#options.catalogues.remember(session, caller);
    await this.#atMost(LEVEL_MS, Promise.allSettled([session.saved()]));
  }

  /** A backend's answer under the client's id; its bytes are untouched but for what only the mesh can say. */
  #relay(turn: Turn, call: RunningCall, answered: Answered): Answer {
    const { session, caller } = turn;
    const { backend, answer } = answered;
    if (!mentionsUri(answer.bytes)) return this.#renamed(session, call, { answered, routes: undefined });
    const found = this.#options.catalogues.routes(session, caller, backend);
    return found instanceof Promise
      ? found.then((routes) => this.#renamed(session, call, { answered, routes }))
      : this.#renamed(session, call, { answered, routes: found });
  }

  #renamed(
    session: LiveSession,
    call: RunningCall,
    { answered, routes }: { readonly answered: Answered; readonly routes: Routes | undefined },
  ): readonly Uint8Array[] {
    const { backend, answer, place, naming = namesFor(session, call, backend) } = answered;
    const { result, error } = answer.scanned;
    const visible = (original: string) => routes?.visibleUri(backend, original) ?? original;
    if (error !== undefined) {
      return relayError(call.id, errorWithVisibleUri(slice(answer.bytes, error), visible));
    }
    let bytes = result === undefined ? EMPTY : slice(answer.bytes, result);
    const changes = [...withoutReservedInResult(bytes, naming), ...taskRenamed(bytes, place, naming)];
    if (changes.length > 0) bytes = Buffer.concat(splice(bytes, { start: 0, end: bytes.length }, changes));
    if (session.links.get(backend)?.takeStateLoss() === true) {
      bytes = Buffer.concat(resultWithMeta(bytes, RESTARTED_META, TRUE));
    }
    return response(call.id, routes === undefined ? bytes : withVisibleUris(bytes, visible));
  }

  async #complete(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, caller, message } = turn;
    const { ref } = message.scanned;
    if (ref === undefined) throw new MeshError('invalid_params', 'completion/complete needs a ref.');
    const target = completionTarget(message.bytes, ref);
    const route = await this.#options.catalogues.route(session, caller, {
      kind: target.kind,
      visible: target.visible,
      use: useOf(message, turn),
    });
    if (route === undefined) throw new MeshError('invalid_params', `Unknown ${target.kind}.`);
    if (session.links.get(route.backend)?.session?.facts.capabilities['completions'] === undefined) {
      return response(call.id, Buffer.from('{"completion":{"values":[]}}'));
    }
    const { backend } = route;
    const splices = [{ span: target.span, bytes: encodeString(route.original) }];
    const { kind, visible } = target;
    const release = await this.#admit(turn, { backend, kind, item: route.original, visible });
    try {
      const answer = await this.#call(turn, call, { backend, splices });
      const { result, error } = answer.scanned;
      if (error !== undefined) return relayError(call.id, slice(answer.bytes, error));
      return response(call.id, result === undefined ? EMPTY : capCompletion(slice(answer.bytes, result)));
    } finally {
      release?.();
    }
  }

  /** The level is the session's own; backends that log are told, and told again when their session is made afresh. */
  async #setLevel(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, message } = turn;
    const { level } = message.scanned;
    if (level === undefined) throw new MeshError('invalid_params', 'logging/setLevel needs a level.');
    const text = decodeString(message.bytes, level);
    if (!LEVELS.has(text)) throw new MeshError('invalid_params', 'Unknown log level.');
    session.update({ logLevel: text });
    const logging = [...session.links.values()].filter(
      (link) => link.session?.facts.capabilities['logging'] !== undefined,
    );
    const told = logging.map((link) => this.#tell(turn, link));
    await this.#atMost(LEVEL_MS, Promise.allSettled([session.saved(), ...told]));
    return response(call.id, EMPTY);
  }

  async #atMost(ms: number, done: Promise<unknown>): Promise<void> {
    let stop = () => {};
    const patience = new Promise<void>((resolve) => {
      stop = this.#options.calls.clock.after(ms, resolve);
    });
    await Promise.race([done, patience]);
    stop();
  }

  /** What the mesh does not know goes to the only backend there is. */
  async #unknown(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session } = turn;
    const [only] = session.body.desired;
    const { admission } = this.#options;
    if (
      session.body.desired.length !== 1 ||
      only === undefined ||
      !admission.admitsUnknown(turn.caller, useOf(turn.message, turn), {
        backend: only,
        kind: 'method',
        name: call.method,
      })
    ) {
      throw new MeshError('method_not_found', 'Method not found');
    }
    const release = await this.#admit(turn, { backend: only, kind: 'method', item: call.method });
    try {
      const answer = await this.#call(turn, call, { backend: only, splices: [] });
      return this.#relay(turn, call, { backend: only, answer });
    } finally {
      release?.();
    }
  }

  /**
   * What may be used under an approved definition only is used at the backend session that shows it: where that was
   * made afresh meanwhile, what the new one shows is looked at before anything is sent there.
   */
  #call(turn: Turn, call: RunningCall, target: Target): Promise<Message> {
    const { backend, wanted } = target;
    if (wanted === undefined || !this.#options.admission.needsCurrent(backend, wanted.kind))
      return this.#send(turn, call, target);
    return this.#callCurrent(turn, call, { ...target, wanted });
  }

  async #callCurrent(
    turn: Turn,
    call: RunningCall,
    target: Target & Required<Pick<Target, 'wanted'>>,
  ): Promise<Message> {
    const { session, caller } = turn;
    const { backend, wanted } = target;
    const { catalogues } = this.#options;
    const shown = () => ({ ...target, shownBy: session.links.get(backend)?.session ?? ('nobody' as const) });
    try {
      return await this.#send(turn, call, shown());
    } catch (thrown) {
      if (!(thrown instanceof ShownByAnother)) throw thrown;
    }
    const again = await catalogues.route(session, caller, wanted);
    if (again?.backend !== backend || again.original !== wanted.original) throw unknown(wanted);
    return this.#send(turn, call, shown());
  }

  #send(
    turn: Turn,
    call: RunningCall,
    { backend, splices, check, shownBy }: Target & { readonly shownBy?: BackendSession | 'nobody' },
  ): Promise<Message> {
    const { session, caller, message, trace } = turn;
    const link = session.links.get(backend);
    if (link === undefined) {
      return Promise.reject(
        new MeshError('backend_unavailable', `The backend "${backend}" is not configured.`, { backend }),
      );
    }
    return callBackend(this.#options.calls, {
      session,
      link,
      caller,
      method: call.method,
      // It is cancelled at its backend, by name; no signal of ours tears it down.
      signal: NEVER,
      trace,
      // What a task needs of the backend's state is checked by its id.
      refuseStateLoss: check === undefined && this.#options.onStateLoss(backend) === 'error',
      build: (id) =>
        forward(message, { id: rawNumber(id), splices: [...passedOn(turn, call, backend), ...splices] }),
      onSend: (sent) => {
        check?.(sent.backend);
        if (shownBy !== undefined && shownBy !== sent.backend) throw new ShownByAnother(backend);
        call.sending(sent);
      },
      onMessage: (from, received) =>
        this.#options.notices.onCall({ session, link, backend: from, message: received }, call),
      onPolling: (retryMs) => call.stream.poll(retryMs),
    });
  }

  /** The same request once more, to a backend of several. */
  #tell({ session, caller, message, trace }: Turn, link: BackendLink): Promise<Message> {
    return callBackend(this.#options.calls, {
      session,
      link,
      caller,
      method: message.scanned.method ?? '',
      signal: NEVER,
      trace,
      build: (id) =>
        forward(message, {
          id: rawNumber(id),
          splices: [...withToken(message, rawNumber(id)), ...withoutReserved(message)],
        }),
      onMessage: (from: BackendSession, received: Message) =>
        this.#options.notices.unsolicited({ session, link, backend: from, message: received }),
    });
  }
}

/** Nothing was sent: the backend session is another than the one that was looked at. */
class ShownByAnother extends MeshError {
  constructor(backend: string) {
    super('backend_unavailable', `The backend "${backend}" lost its session again.`, { backend });
  }
}

function unknown({ kind }: Pick<Wanted, 'kind'>): MeshError {
  return new MeshError('invalid_params', `Unknown ${kind}.`);
}

const LEVELS = new Set(['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']);

/** A session keeps only so many subscriptions for whoever restores it. */
function requireRoom({ body }: LiveSession, uri: string): void {
  if (JSON.stringify([...body.subscriptions, uri]).length <= MAX_SUBSCRIPTION_CHARS) return;
  throw new MeshError('invalid_params', 'This session has as many subscriptions as it can.');
}
