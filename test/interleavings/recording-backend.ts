import type {
  Backend,
  BackendCall,
  BackendHint,
  BackendSession,
  Message,
  OpenOptions,
} from '../../control-plane/backend/backend.ts';
import type { Credential } from '../../control-plane/credentials/strategy.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import type { Audit, LiveRequest } from './audit.ts';
import type { Product } from './product.ts';

const FACTS = { protocolVersion: '2025-11-25', capabilities: {}, instructions: undefined };
const ANSWER_BYTES = Buffer.from('{"jsonrpc":"2.0","id":1,"result":{}}');
const ANSWER: Message = { bytes: ANSWER_BYTES, scanned: scanMessage(ANSWER_BYTES) };

export interface ServerOptions {
  readonly name: string;
  readonly product: Product;
  readonly audit: Audit;
  /** A point in time that the schedule decides about. */
  readonly point: (what: string) => Promise<void>;
  /** The request that a message was built for. */
  readonly causeOf: (pieces: readonly Uint8Array[]) => LiveRequest | undefined;
  /** Tokens that it refuses. */
  readonly refuses: ReadonlySet<string | undefined>;
}

/** A backend MCP server that every replica reaches, and that keeps who asked it for what. */
export class RecordingServer {
  readonly #options: ServerOptions;
  readonly #sessions = new Map<string, string>();
  #made = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** It loses its sessions, as by a restart. */
  forget(): void {
    this.#sessions.clear();
  }

  /** The way to it from one replica. */
  from(replica: string): Backend {
    return {
      name: this.name,
      resumable: true,
      ownProcess: false,
      open: (options) => this.#open(replica, options),
      resume: (hint) => this.#session(replica, hint),
      stop: () => Promise.resolve(),
    };
  }

  async #open(replica: string, options: OpenOptions): Promise<BackendSession> {
    const { BackendFault } = this.#options.product;
    const { point, audit, refuses, name } = this.#options;
    const { credential, signal } = options;
    if (signal.aborted) throw new BackendFault('aborted', 'aborted', { executed: 'no' });
    const session = clientOf(options.initializeParams);
    audit.saw({ kind: 'initialize', replica, credential: tokenIn(credential), session, cause: undefined });
    await point(`${name} initialize`);
    if (refuses.has(tokenIn(credential)))
      throw new BackendFault('unauthorized', 'refused', { executed: 'no' });
    this.#made += 1;
    const sessionId = `${name}-${this.#made}`;
    this.#sessions.set(sessionId, session);
    await point(`${name} initialized`);
    return this.#session(replica, {
      sessionId,
      protocolVersion: FACTS.protocolVersion,
      initializeResult: session,
    });
  }

  #session(replica: string, hint: BackendHint): BackendSession {
    const { sessionId = '' } = hint;
    const { audit, point, name, product, causeOf } = this.#options;
    const { BackendFault } = product;
    let closed = false;
    const call = async ({ credential, pieces }: BackendCall): Promise<Message> => {
      if (closed) throw new BackendFault('aborted', 'closed here', { executed: 'no' });
      const cause = causeOf(pieces);
      // Whose session it is, the backend would know from its own record; a forgotten one from the hint.
      const session = this.#sessions.get(sessionId) ?? hint.initializeResult;
      audit.saw({ kind: 'call', replica, credential: tokenIn(credential), session, cause });
      await point(`${name} call`);
      if (!this.#sessions.has(sessionId)) throw new BackendFault('session_lost', '404', { executed: 'no' });
      await point(`${name} answer`);
      if (closed) throw new BackendFault('aborted', 'closed here', { executed: 'unknown' });
      return ANSWER;
    };
    return {
      facts: FACTS,
      hint,
      fingerprint: sessionId,
      call,
      notify: () => Promise.resolve(),
      respond: () => Promise.resolve(),
      cancel: () => {},
      listen: () => Promise.resolve('unsupported'),
      close: async (how) => {
        if (closed) return;
        closed = true;
        if (!how.terminate) return;
        const session = this.#sessions.get(sessionId) ?? hint.initializeResult;
        audit.saw({
          kind: 'delete',
          replica,
          credential: tokenIn(how.credential),
          session,
          cause: undefined,
        });
        this.#sessions.delete(sessionId);
        await point(`${name} deleted`);
      },
    };
  }
}

function tokenIn(credential: Credential): string | undefined {
  return typeof credential === 'function' ? undefined : credential['authorization'];
}

/** The name under which a session's client introduced itself. */
function clientOf(initializeParams: Uint8Array): string {
  const { clientInfo } = JSON.parse(Buffer.from(initializeParams).toString('utf8')) as {
    clientInfo: { name: string };
  };
  return clientInfo.name;
}
