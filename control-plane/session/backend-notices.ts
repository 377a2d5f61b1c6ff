import { MeshError } from '../../shared/errors.ts';
import { encodeString, forward } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { peekFields } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import { mentionsUri, uriSplices } from '../virtual-server/result-uris.ts';
import type { Routes } from '../virtual-server/routes.ts';
import type { BackendLink } from './backend-link.ts';
import type { Catalogues } from './catalogues.ts';
import type { ClientStream } from './client-stream.ts';
import type { ListChanges } from './list-changes.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';
import { withoutReserved } from './reserved-meta.ts';
import { RunningCall } from './running-call.ts';
import type { ServerRequests } from './server-requests.ts';
import type { SessionObserver } from './session-observer.ts';
import { namingOf, TaskNotices } from './task-notices.ts';

export interface NoticeOptions {
  readonly serverRequests: ServerRequests;
  readonly listening: Listening;
  readonly catalogues: Catalogues;
  readonly listChanges: ListChanges;
  readonly observer: SessionObserver;
}

/** A message of a backend that is not an answer, and the backend session that it came from. */
export interface Notice {
  readonly session: LiveSession;
  readonly link: BackendLink;
  readonly backend: BackendSession;
  readonly message: Message;
}

/** Where a notification goes, and who reads it there. */
interface Reader {
  readonly stream: ClientStream;
  readonly caller: Caller;
}

const CREDENTIAL_TIMEOUT_MS = 10_000;
const PROGRESS = fields(['progress']);

const CHANGES: Readonly<Record<string, readonly ListKind[]>> = {
  'notifications/tools/list_changed': ['tools'],
  'notifications/prompts/list_changed': ['prompts'],
  'notifications/resources/list_changed': ['resources', 'resourceTemplates'],
};

/** What backends say between answers: to the client on the stream that it belongs to, and on no other. */
export class BackendNotices {
  readonly #options: NoticeOptions;
  readonly #tasks = new TaskNotices();

  constructor(options: NoticeOptions) {
    this.#options = options;
  }

  /** A message on a call's own stream, before its answer. */
  onCall(notice: Notice, call: RunningCall): void {
    if (call.over) return;
    if (notice.message.scanned.kind === 'request') this.#request(notice, call);
    else if (notice.message.scanned.method === 'notifications/progress') this.#progress(notice, call);
    else this.#notification(notice, call, { onCall: true });
  }

  /** A message on no call's stream: of a listening stream, or of a stdio child, which has only one stream for all. */
  unsolicited(notice: Notice): void {
    const call = latestCall(notice.session, notice.backend);
    if (notice.message.scanned.kind === 'request') this.#request(notice, call);
    else {
      const reader = this.#options.listening.reader(notice.session) ?? call;
      this.#notification(notice, reader, { onCall: false });
    }
  }

  /** Under the credential of the call that caused it, or of the client that listens; without either nobody is asked. */
  #request(notice: Notice, call: RunningCall | undefined): void {
    const { listening, serverRequests } = this.#options;
    const { session, link } = notice;
    const listener = listening.reader(session);
    const credential = (): Credential | Promise<Credential> => {
      if (call?.sent !== undefined) return call.sent.credential;
      if (listener !== undefined)
        return link.credential(listener.caller, AbortSignal.timeout(CREDENTIAL_TIMEOUT_MS));
      // Nobody is there in whose name it could be told.
      return link.unattended() ?? Promise.reject(new MeshError('cancelled', 'No live caller.'));
    };
    const request = { ...notice, call, stream: call?.stream ?? listener?.stream, credential };
    const { bytes, scanned } = notice.message;
    const { params } = scanned;
    const caller = call?.caller ?? listener?.caller;
    if (params === undefined || caller === undefined || !mentionsUri(bytes)) {
      serverRequests.carry(request);
      return;
    }
    this.#withRoutes(notice, caller, (routes) => {
      const visible = (original: string) => routes.visibleUri(link.name, original);
      serverRequests.carry({ ...request, splices: uriSplices(bytes, params, visible) });
    });
  }

  /** Under the client's own token, only while it waits for the answer. Progress that is none, or that nobody asked for, is dropped. */
  #progress(notice: Notice, call: RunningCall): void {
    const { message } = notice;
    const { bytes, scanned } = message;
    const { progressToken } = scanned;
    const own =
      progressToken !== undefined && slice(bytes, progressToken).toString('latin1') === String(call.sent?.id);
    if (!own) {
      // It may be a task's, whose own call is over.
      this.#tell(call, this.#tasks.progress(notice, progressIn(message)));
      return;
    }
    if (call.progressToken === undefined || !call.progressed(progressIn(message))) {
      this.#options.observer.dropped('message');
      return;
    }
    const splices = [
      { span: progressToken, bytes: call.progressToken },
      ...withoutReserved(message, namingOf(notice)),
    ];
    call.stream.message(forward(message, { splices }));
  }

  #notification(notice: Notice, reader: Reader | undefined, { onCall }: { onCall: boolean }): void {
    const { session, link, message } = notice;
    const { method = '' } = message.scanned;
    const kinds = CHANGES[method];
    if (kinds !== undefined) {
      // On a call's own stream it is that call's doing, and may be so in this session alone.
      if (onCall) this.#options.listChanges.mark(session, link.name, kinds);
      else this.#options.listChanges.said(session, link.name, kinds);
      return;
    }
    switch (method) {
      case 'notifications/cancelled':
        this.#options.serverRequests.withdraw(notice, this.#options.listening.reader(session)?.stream);
        return;
      case 'notifications/progress':
        this.#tell(reader, this.#tasks.progress(notice, progressIn(message)));
        return;
      case 'notifications/tasks/status':
        this.#tell(reader, this.#tasks.status(notice));
        return;
      case 'notifications/resources/updated':
        this.#updated(notice, reader);
        return;
      default:
        this.#tell(reader, forward(message, { splices: withoutReserved(message, namingOf(notice)) }));
    }
  }

  #tell(reader: Reader | undefined, pieces: readonly Uint8Array[] | undefined): void {
    if (pieces === undefined || reader?.stream.message(pieces) !== true) {
      this.#options.observer.dropped('message');
    }
  }

  /** To subscribers alone, under the URI that the client knows, and only of what it may still read. */
  #updated({ session, link, message }: Notice, reader: Reader | undefined): void {
    const { uri } = message.scanned;
    if (uri === undefined || reader === undefined) return;
    const original = decodeString(message.bytes, uri);
    this.#withRoutes({ session, link }, reader.caller, (routes) => {
      const visible = routes.visibleUri(link.name, original);
      if (!session.body.subscriptions.includes(visible)) return;
      if (routes.route('resource', visible)?.backend !== link.name) return;
      const resource = { backend: link.name, original, visible };
      if (!this.#options.catalogues.shows(session, reader.caller, resource)) return;
      const renamed = visible === original ? [] : [{ span: uri, bytes: encodeString(visible) }];
      reader.stream.message(forward(message, { splices: [...renamed, ...withoutReserved(message)] }));
    });
  }

  /** At once, unless what the client last saw has to be read first, which never fails. */
  #withRoutes(
    { session, link }: Pick<Notice, 'session' | 'link'>,
    caller: Caller,
    use: (routes: Routes) => void,
  ): void {
    const routes = this.#options.catalogues.routes(session, caller, link.name);
    if (routes instanceof Promise) void routes.then(use);
    else use(routes);
  }
}

/** NaN where there is none. */
function progressIn({ bytes, scanned: { params } }: Message): number {
  const [progress] = params === undefined ? [] : peekFields(bytes, params, PROGRESS);
  return progress === undefined ? Number.NaN : Number(slice(bytes, progress).toString('latin1'));
}

/** A stdio child does not say which call its request belongs to; the one it got last is the likeliest. */
function latestCall(session: LiveSession, backend: BackendSession): RunningCall | undefined {
  let latest: RunningCall | undefined;
  for (const call of session.calls.values()) {
    if (call instanceof RunningCall && call.sent?.backend === backend && !call.over) latest = call;
  }
  return latest;
}
