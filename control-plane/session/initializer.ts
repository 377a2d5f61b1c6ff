import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { response } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import type { Caller } from '../identity/caller.ts';
import type { Exchange } from '../rpc/exchange.ts';
import { outages } from './backend-outages.ts';
import type { LiveSession } from './live-session.ts';
import type { SessionManager } from './session-manager.ts';
import { MAX_INITIALIZE_CHARS, type SessionSummary } from './session-record.ts';
import type { VirtualServer } from './virtual-server.ts';

export interface InitializerOptions {
  readonly manager: SessionManager;
  readonly clock: Clock;
  /** How long initialize waits for backends before it answers with those that are there. */
  readonly answerMs: number;
  /** The virtual server of a sidecar; undefined where it names none that exists. */
  readonly virtualServer: (name: string) => VirtualServer | undefined;
  readonly negotiate: (clientVersion: string) => string;
  /** The raw InitializeResult for a session, by what its backends turned out to be. */
  readonly result: (session: LiveSession, missing: Readonly<Record<string, unknown>>) => Buffer;
}

/** `initialize`: makes a session with every backend of the virtual server that answers in time; the others may join later. */
export class Initializer {
  readonly #options: InitializerOptions;

  constructor(options: InitializerOptions) {
    this.#options = options;
  }

  async run(exchange: Exchange, message: Message): Promise<void> {
    const { manager, virtualServer } = this.#options;
    const { id, params } = message.scanned;
    if (id === undefined || params === undefined) throw badParams();
    const raw = slice(message.bytes, params).toString('utf8');
    if (JSON.stringify(raw).length > MAX_INITIALIZE_CHARS) {
      throw new MeshError('invalid_params', 'The params of initialize are too large.');
    }
    const client = readParams(raw);
    const server = virtualServer(exchange.peer.virtualServer);
    if (server === undefined) {
      throw new MeshError('unavailable', 'The virtual server of this sidecar is not configured.', {
        retryAfterMs: 30_000,
      });
    }
    const { caller } = exchange;
    const session = await manager.begin(caller, {
      body: {
        protocolVersion: this.#options.negotiate(client.version),
        initializeParams: raw,
        virtualServer: server.name,
        desired: server.backends,
        subscriptions: [],
        opened: [],
        hints: {},
      },
      summary: summarize(caller, client.name, server),
    });
    await this.#connect(session, caller);
    await manager.adopt(session, caller);
    exchange.watcher?.found(session);
    if (exchange.reply.closed) {
      // Nobody has heard its id, so nobody could ever end it.
      await manager.terminate(caller, session.id.text);
      return;
    }
    const result = this.#options.result(session, outages(session));
    exchange.reply.json(response(Buffer.from(slice(message.bytes, id)), result), session.id.text);
  }

  /** All backends at once; the wait ends with the last of them or with the time for the answer. */
  async #connect(session: LiveSession, caller: Caller): Promise<void> {
    const { clock, answerMs } = this.#options;
    const opening = [...session.links.values()].map((link) => link.ensure(caller));
    let stop = () => {};
    const patience = new Promise<void>((resolve) => {
      stop = clock.after(answerMs, resolve);
    });
    await Promise.race([Promise.allSettled(opening), patience]);
    stop();
  }
}

/** What the mesh itself must know of the client; the rest is kept and passed on verbatim. */
function readParams(raw: string): { version: string; name: string } {
  const params = JSON.parse(raw) as Record<string, unknown>;
  const { protocolVersion, capabilities, clientInfo } = params;
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (typeof protocolVersion !== 'string' || !isObject(capabilities) || !isObject(clientInfo))
    throw badParams();
  const { name, version } = clientInfo as Record<string, unknown>;
  return {
    version: protocolVersion,
    name: [name, version].filter((part) => typeof part === 'string').join(' '),
  };
}

function summarize(caller: Caller, client: string, server: VirtualServer): SessionSummary {
  const anonymous = { issuer: '', subject: '', tenant: '' };
  const { issuer, subject, tenant } = caller.kind === 'identified' ? caller.binding : anonymous;
  return {
    issuer,
    subject,
    tenant,
    client: client.slice(0, 200),
    virtualServer: server.name,
    backends: server.backends,
  };
}

function badParams(): MeshError {
  return new MeshError('invalid_params', 'initialize needs protocolVersion, capabilities and clientInfo.');
}
