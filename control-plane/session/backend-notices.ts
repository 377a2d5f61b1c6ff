import { forward } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { BackendSession, Message } from '../backend/backend.ts';
import type { CredentialHeaders } from '../credentials/strategy.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { BackendLink } from './backend-link.ts';
import type { Catalogues } from './catalogues.ts';
import type { ClientStream } from './client-stream.ts';
import type { ListChanges } from './list-changes.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';
import { RunningCall } from './running-call.ts';
import type { ServerRequests } from './server-requests.ts';
import type { SessionObserver } from './session-observer.ts';

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

const CREDENTIAL_TIMEOUT_MS = 10_000;

const CHANGES: Readonly<Record<string, readonly ListKind[]>> = {
  'notifications/tools/list_changed': ['tools'],
  'notifications/prompts/list_changed': ['prompts'],
  'notifications/resources/list_changed': ['resources', 'resourceTemplates'],
};

/** What backends say between answers: to the client on the stream that it belongs to, and on no other. */
export class BackendNotices {
  readonly #options: NoticeOptions;

  constructor(options: NoticeOptions) {
    this.#options = options;
  }

  /** A message on a call's own stream, before its answer. */
  onCall(notice: Notice, call: RunningCall): void {
    if (call.over) return;
    if (notice.message.scanned.kind === 'request') this.#request(notice, call);
    else if (notice.message.scanned.method === 'notifications/progress') this.#progress(notice, call);
    else this.#notification(notice, call.stream);
  }

  /** A message on no call's stream: of a listening stream, or of a stdio child, which has only one stream for all. */
  unsolicited(notice: Notice): void {
    const call = latestCall(notice.session, notice.backend);
    if (notice.message.scanned.kind === 'request') this.#request(notice, call);
    else this.#notification(notice, this.#options.listening.stream(notice.session) ?? call?.stream);
  }

  /** Under the credential of the call that caused it, or of the client that listens; without either nobody is asked. */
  #request(notice: Notice, call: RunningCall | undefined): void {
    const { listening, serverRequests } = this.#options;
    const { session, link } = notice;
    const caller = listening.caller(session);
    const credential = (): CredentialHeaders | Promise<CredentialHeaders> => {
      if (call?.sent !== undefined) return call.sent.credential;
      return caller === undefined ? {} : link.credential(caller, AbortSignal.timeout(CREDENTIAL_TIMEOUT_MS));
    };
    serverRequests.carry({ ...notice, stream: call?.stream ?? listening.stream(session), credential });
  }

  /** Under the client's own token, only while it waits for the answer. Progress nobody asked for is dropped. */
  #progress({ message }: Notice, call: RunningCall): void {
    const { progressToken } = message.scanned;
    if (progressToken === undefined || call.progressToken === undefined) {
      this.#options.observer.dropped('message');
      return;
    }
    call.stream.message(forward(message, { splices: [{ span: progressToken, bytes: call.progressToken }] }));
  }

  #notification(notice: Notice, stream: ClientStream | undefined): void {
    const { session, link, message } = notice;
    const { method = '' } = message.scanned;
    const kinds = CHANGES[method];
    if (kinds !== undefined) {
      this.#options.listChanges.mark(session, link.name, kinds);
      return;
    }
    switch (method) {
      case 'notifications/cancelled':
        this.#options.serverRequests.withdraw(session, link, message, stream);
        return;
      case 'notifications/progress':
        this.#options.observer.dropped('message');
        return;
      case 'notifications/resources/updated':
        this.#updated(notice, stream);
        return;
      default:
        if (stream?.message(forward(message, {})) !== true) this.#options.observer.dropped('message');
    }
  }

  /** To subscribers alone, under the URI that the client knows. */
  #updated({ session, link, message }: Notice, stream: ClientStream | undefined): void {
    const { uri } = message.scanned;
    if (uri === undefined) return;
    const visible = this.#options.catalogues.visibleUri(session, link.name, decodeString(message.bytes, uri));
    if (!session.body.subscriptions.includes(visible)) return;
    const bytes = Buffer.from(JSON.stringify(visible));
    const same = bytes.equals(slice(message.bytes, uri));
    stream?.message(forward(message, same ? {} : { splices: [{ span: uri, bytes }] }));
  }
}

/** A stdio child does not say which call its request belongs to; the one it got last is the likeliest. */
function latestCall(session: LiveSession, backend: BackendSession): RunningCall | undefined {
  let latest: RunningCall | undefined;
  for (const call of session.calls.values()) {
    if (call instanceof RunningCall && call.sent?.backend === backend && !call.over) latest = call;
  }
  return latest;
}
