import { MeshError } from '../../shared/errors.ts';
import {
  encodeString,
  forward,
  meshErrorResponse,
  relayError,
  response,
  resultWithMeta,
  type Splice,
} from '../../shared/json-rpc/envelope.ts';
import { type Message, type Span, slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { BackendSession } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { ListKind, Route, RouteKind } from '../virtual-server/catalogue.ts';
import { capCompletion, completionTarget } from '../virtual-server/completion.ts';
import { type CallEnvironment, callBackend } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import type { BackendNotices } from './backend-notices.ts';
import { RESTARTED_META } from './backend-outages.ts';
import type { Catalogues } from './catalogues.ts';
import type { ClientStream } from './client-stream.ts';
import type { LiveSession } from './live-session.ts';
import { RunningCall } from './running-call.ts';

/** One request of a client on its way through a session. */
export interface Turn {
  readonly session: LiveSession;
  readonly caller: Caller;
  readonly message: Message;
  readonly stream: ClientStream;
}

export interface RequestOptions {
  readonly calls: CallEnvironment;
  readonly catalogues: Catalogues;
  readonly notices: BackendNotices;
  /** What the first call after lost backend state gets: its result, which says so, or an error. */
  readonly onStateLoss: (backend: string) => 'continue' | 'error';
  readonly onFault: (error: MeshError) => void;
}

const EMPTY = Buffer.from('{}');
const TRUE = Buffer.from('true');
/** Calls are cancelled at their backend, by name; no signal of ours tears them down. */
const NEVER = new AbortController().signal;

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

  constructor(options: RequestOptions) {
    this.#options = options;
  }

  /** Runs a request to its one answer. Never throws and never rejects. */
  run(turn: Turn): void {
    const { session, message, stream } = turn;
    const { id, method = '', progressToken } = message.scanned;
    if (id === undefined) return;
    const rawId = Buffer.from(slice(message.bytes, id));
    const token = progressToken === undefined ? undefined : Buffer.from(slice(message.bytes, progressToken));
    const call = new RunningCall({ method, stream, id: rawId, progressToken: token });
    const key = rawId.toString('utf8');
    session.calls.set(key, call);
    void this.#answer(turn, call)
      .then((pieces) => call.answer(pieces))
      .catch((thrown: unknown) => this.#refuse(call, MeshError.from(thrown)))
      .finally(() => session.calls.delete(key));
  }

  #refuse(call: RunningCall, error: MeshError): void {
    if (error.reason === 'internal') this.#options.onFault(error);
    call.fail(error, meshErrorResponse(call.id, error));
  }

  async #answer(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const list = LISTS[call.method];
    if (list !== undefined) return this.#list(turn, call, list);
    const routed = ROUTED[call.method];
    if (routed !== undefined) return this.#routed(turn, call, routed);
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

  async #list({ session, caller, message }: Turn, call: RunningCall, kind: ListKind): Promise<readonly Uint8Array[]> {
    const { cursor } = message.scanned;
    const wanted = cursor === undefined ? undefined : decodeString(message.bytes, cursor);
    return response(call.id, await this.#options.catalogues.list(session, caller, { kind, cursor: wanted }));
  }

  async #routed(turn: Turn, call: RunningCall, kind: RouteKind): Promise<readonly Uint8Array[]> {
    const { session, caller, message } = turn;
    const span = kind === 'resource' ? message.scanned.uri : message.scanned.name;
    if (span === undefined) throw new MeshError('invalid_params', `${call.method} needs a ${kind === 'resource' ? 'uri' : 'name'}.`);
    const visible = decodeString(message.bytes, span);
    const route = await this.#options.catalogues.route(session, caller, { kind, visible });
    if (route === undefined) throw new MeshError('invalid_params', `Unknown ${kind}.`);
    const splices = route.original === visible ? [] : [{ span, bytes: encodeString(route.original) }];
    const answer = await this.#call(turn, call, route.backend, splices);
    if (call.method === 'resources/subscribe' || call.method === 'resources/unsubscribe') {
      subscribe(session, visible, call.method === 'resources/subscribe', answer);
    }
    return this.#relay(session, call, route, answer);
  }

  #relay(session: LiveSession, call: RunningCall, route: Route, answer: Message): readonly Uint8Array[] {
    const { result, error } = answer.scanned;
    if (error !== undefined) return relayError(call.id, slice(answer.bytes, error));
    const bytes = result === undefined ? EMPTY : slice(answer.bytes, result);
    if (session.links.get(route.backend)?.takeStateLoss() !== true) return response(call.id, bytes);
    return response(call.id, resultWithMeta(bytes, RESTARTED_META, TRUE));
  }

  async #complete(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, caller, message } = turn;
    const { ref } = message.scanned;
    if (ref === undefined) throw new MeshError('invalid_params', 'completion/complete needs a ref.');
    const target = completionTarget(message.bytes, ref);
    const route = await this.#options.catalogues.route(session, caller, { kind: target.kind, visible: target.visible });
    if (route === undefined) throw new MeshError('invalid_params', `Unknown ${target.kind}.`);
    if (session.links.get(route.backend)?.session?.facts.capabilities['completions'] === undefined) {
      return response(call.id, Buffer.from('{"completion":{"values":[]}}'));
    }
    const splices = [{ span: target.span, bytes: encodeString(route.original) }];
    const answer = await this.#call(turn, call, route.backend, splices);
    const { result, error } = answer.scanned;
    if (error !== undefined) return relayError(call.id, slice(answer.bytes, error));
    return response(call.id, result === undefined ? EMPTY : capCompletion(slice(answer.bytes, result)));
  }

  /** The level is the session's own; backends that log are told, and told again when their session is made afresh. */
  async #setLevel(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session, message } = turn;
    const { level } = message.scanned;
    if (level === undefined) throw new MeshError('invalid_params', 'logging/setLevel needs a level.');
    const text = decodeString(message.bytes, level);
    if (!LEVELS.has(text)) throw new MeshError('invalid_params', 'Unknown log level.');
    session.update({ logLevel: text });
    const logging = [...session.links.values()].filter((link) => link.session?.facts.capabilities['logging'] !== undefined);
    await Promise.allSettled(logging.map((link) => this.#send(turn, link)));
    return response(call.id, EMPTY);
  }

  /** What the mesh does not know goes to the only backend there is. */
  async #unknown(turn: Turn, call: RunningCall): Promise<readonly Uint8Array[]> {
    const { session } = turn;
    const [only] = session.body.desired;
    if (session.body.desired.length !== 1 || only === undefined) {
      throw new MeshError('method_not_found', 'Method not found');
    }
    const answer = await this.#call(turn, call, only, []);
    return this.#relay(session, call, { backend: only, original: '' }, answer);
  }

  #call(turn: Turn, call: RunningCall, backend: string, splices: readonly Splice[]): Promise<Message> {
    const { session, caller, message } = turn;
    const link = session.links.get(backend);
    if (link === undefined) {
      return Promise.reject(new MeshError('backend_unavailable', `The backend "${backend}" is not configured.`, { backend }));
    }
    return callBackend(this.#options.calls, {
      session,
      link,
      caller,
      method: call.method,
      signal: NEVER,
      refuseStateLoss: this.#options.onStateLoss(backend) === 'error',
      build: (id) => forward(message, { id: rawNumber(id), splices: withToken(message.scanned.progressToken, id, splices) }),
      onSend: (sent) => call.sending(sent),
      onMessage: (from, received) => this.#options.notices.onCall({ session, link, backend: from, message: received }, call),
      onPolling: (retryMs) => call.stream.poll(retryMs),
    });
  }

  /** The same request once more, to a backend of several. */
  #send({ session, caller, message }: Turn, link: BackendLink): Promise<Message> {
    return callBackend(this.#options.calls, {
      session,
      link,
      caller,
      method: message.scanned.method ?? '',
      signal: NEVER,
      build: (id) => forward(message, { id: rawNumber(id) }),
      onMessage: (from: BackendSession, received: Message) =>
        this.#options.notices.unsolicited({ session, link, backend: from, message: received }),
    });
  }
}

const LEVELS = new Set(['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']);

function rawNumber(id: number): Buffer {
  return Buffer.from(String(id), 'latin1');
}

/** Progress comes back under the id that the call has at the backend, so the token is that id. */
function withToken(token: Span | undefined, id: number, splices: readonly Splice[]): readonly Splice[] {
  return token === undefined ? splices : [...splices, { span: token, bytes: rawNumber(id) }];
}

function subscribe(session: LiveSession, uri: string, on: boolean, answer: Message): void {
  if (answer.scanned.error !== undefined) return;
  const others = session.body.subscriptions.filter((known) => known !== uri);
  session.update({ subscriptions: on ? [...others, uri] : others });
}
