import { notification, request } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { traceHeaders, withTrace } from '../../shared/telemetry/message-spans.ts';
import { type BackendCall, type BackendFacts, BackendFault, type OpenOptions } from './backend.ts';
import { readFacts } from './facts.ts';

/** Lower than every id that calls have, so that it is used once in a session. */
const INITIALIZE_ID = 0;

/** The second half of the handshake; sent, never waited for. */
export const INITIALIZED: readonly Uint8Array[] = notification('notifications/initialized');

/** The first half of the handshake as a call. What comes before its answer goes to the session's events. */
export function initializeCall(options: OpenOptions, { headers = true } = {}): BackendCall {
  const { credential, timeoutMs, signal, events, trace } = options;
  const id = Buffer.from(String(INITIALIZE_ID));
  const pieces = request({ id, method: 'initialize', params: [options.initializeParams] });
  return {
    id: INITIALIZE_ID,
    pieces: trace === undefined ? pieces : withTrace(pieces, trace, { always: !headers }),
    ...(trace === undefined ? {} : { headers: traceHeaders(trace) }),
    method: 'initialize',
    credential,
    timeoutMs,
    maxTimeoutMs: timeoutMs,
    signal,
    onMessage: (message) => events.message(message),
  };
}

/** Whether a handshake that times out speaks of the backend, not of a caller whose time was up before. */
export function handshakeTells({ timeoutMs, lifeMs }: OpenOptions): boolean {
  return timeoutMs < lifeMs;
}

export interface Initialized {
  /** As it came. */
  readonly initializeResult: string;
  readonly facts: BackendFacts;
}

/** What a backend is, by its answer to initialize. Throws BackendFault `protocol` when it refused or is none we know. */
export function readInitialized({ bytes, scanned }: Message): Initialized {
  if (scanned.result === undefined)
    throw refused(scanned.error === undefined ? '{}' : slice(bytes, scanned.error));
  const facts = readFacts(slice(bytes, scanned.result).toString());
  const { protocolVersion, capabilities } = facts;
  return { initializeResult: JSON.stringify({ protocolVersion, capabilities }), facts };
}

function refused(error: string | Buffer): BackendFault {
  const code: unknown = Reflect.get(Object(JSON.parse(error.toString())), 'code');
  const how = typeof code === 'number' ? `with error ${code}` : 'with an error';
  return new BackendFault('protocol', `The backend refused initialize ${how}.`, { executed: 'no' });
}
