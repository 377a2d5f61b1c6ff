import { setMaxListeners } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { MeshError } from '../../shared/errors.ts';
import { errorResponse, meshErrorResponse, notification } from '../../shared/json-rpc/envelope.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import type { Program } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import { type HeldToken, heldTokenFromFile, heldTokenFromValue } from '../credentials/held-token.ts';
import { parseBody } from '../http/parsed-body.ts';
import type { ClientMessage } from './client-message.ts';
import type { ConnectSettings } from './config.ts';
import { discard, Endpoint } from './endpoint.ts';
import { Exchange, type Line } from './exchange.ts';
import { LineReader, type Line as TextLine } from './framing.ts';
import { Listener } from './listener.ts';
import { Output } from './output.ts';
import { closing, type Refusal, refusalAnswer } from './refusals.ts';
import { ClientSession } from './session.ts';

export interface BridgeOptions {
  readonly log: Logger;
  readonly program: Pick<Program, 'defer' | 'stop'>;
  readonly input: Readable;
  readonly output: Writable;
}

/** Requests at once, and the bytes of them; what is beyond gets an error at once, for answers to the server must not wait behind it. */
const MAX_IN_FLIGHT = 1_024;
const MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024;
/** Of messages that wait for their turn, before the client is to wait. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
/** After the end of input answers may still come for so long; clients kill after 2 s. */
const SETTLE_MS = 1_500;
const DELETE_MS = 1_000;
/** A request on a new connection is read a moment later than what follows on an older one. */
const ARRIVAL_MS = 25;

/** Carries messages between a client's pipes and the sidecar until the input ends or the program does. */
export function startBridge(settings: ConnectSettings, options: BridgeOptions): void {
  const { log, program, input } = options;
  const bridge = new Bridge(settings, options);
  program.defer('the bridge', () => bridge.close());
  log.debug('connecting', { url: settings.url });
  bridge.carry(input).then(
    () => program.stop('the client closed its input'),
    // Also where the program ends first, and lets go of its input.
    () => program.stop('the input broke off'),
  );
}

class Bridge {
  readonly #log: Logger;
  readonly #input: Readable;
  readonly #end = new AbortController();
  readonly #line: Line;
  readonly #session: ClientSession;
  readonly #listener: Listener;
  readonly #inFlight = new Map<string, Exchange>();
  readonly #running = new Set<Promise<void>>();
  #inFlightBytes = 0;

  constructor(settings: ConnectSettings, { log, program, input, output }: BridgeOptions) {
    this.#log = log;
    this.#input = input;
    setMaxListeners(0, this.#end.signal);
    const out = new Output(output, () => void program.stop('the client closed its end'));
    const endpoint = new Endpoint({
      target: settings.target,
      token: createHeldToken(settings, log),
      isHeld: () => out.full,
    });
    this.#line = { endpoint, output: out, url: settings.url, signal: this.#end.signal, log };
    this.#session = new ClientSession({
      line: this.#line,
      onRenewed: (result) => this.#onRenewed(result),
    });
    this.#listener = new Listener(this.#line, this.#session);
  }

  /** Takes the client's messages, in their order. Resolves when the input is over and what was asked is answered, or has had its time. */
  async carry(input: Readable): Promise<void> {
    const lines = new LineReader();
    let turn = Promise.resolve();
    let waitingBytes = 0;
    const queue = (line: TextLine) => {
      waitingBytes += line.length;
      turn = turn
        .then(() => this.#take(line))
        .then(() => {
          waitingBytes -= line.length;
        });
    };
    for await (const chunk of input) {
      for (const line of lines.push(chunk as Buffer)) queue(line);
      // Reading on is how the end of the client is seen while a message has to wait.
      if (waitingBytes > MAX_WAITING_BYTES) await turn;
    }
    for (const line of lines.end()) queue(line);
    const settled = new AbortController();
    const bound = sleep(SETTLE_MS, undefined, { signal: settled.signal }).catch(() => undefined);
    await Promise.race([turn.then(() => Promise.all(this.#running)), bound]);
    settled.abort();
  }

  /** Ends everything; the session too, as far as that can be done in a second. */
  async close(): Promise<void> {
    this.#end.abort();
    this.#input.destroy();
    await Promise.all(this.#running);
    const session = this.#session.http;
    const { endpoint } = this.#line;
    if (session?.id !== undefined) {
      const signal = AbortSignal.timeout(DELETE_MS);
      await endpoint
        .open({ method: 'DELETE', session, signal })
        .then(discard, () => this.#log.warn('the session could not be ended; it will expire'));
    }
    endpoint.close();
  }

  async #take(line: TextLine): Promise<void> {
    const message = this.#parse(line);
    if (message === undefined) return;
    const refusal = this.#inadmissible(message);
    if (refusal !== undefined) {
      for (const id of message.ids) this.#line.output.write(refusalAnswer(id, refusal));
    }
    if (refusal !== undefined || this.#end.signal.aborted) return;
    const exchange = this.#open(message);
    const { kind, method } = message.scanned ?? {};
    const cancelled = method === 'notifications/cancelled' ? await this.#cancel(message) : undefined;
    const over = this.#run(message, exchange);
    // What the client says next may depend on a session, or on what it has told; not on an answer.
    await (kind === 'notification' || method === 'initialize' ? over : exchange.sent);
    cancelled?.release();
    if (method !== 'notifications/initialized' || this.#session.http === undefined) return;
    this.#session.confirmed(message);
    this.#listener.start();
  }

  #parse(line: TextLine): ClientMessage | undefined {
    const { output } = this.#line;
    if (line === 'too long') {
      const error = new MeshError('message_too_large', 'The message is too large.');
      output.write(meshErrorResponse(null, error));
      return undefined;
    }
    try {
      const { scanned, ids } = parseBody(line, this.#session.http?.version);
      return { bytes: line, scanned, ids };
    } catch (thrown) {
      const fault = thrown instanceof JsonRpcFault ? thrown : undefined;
      const { message } = MeshError.from(thrown);
      output.write(errorResponse(fault?.id ?? null, { code: fault?.code ?? -32600, message }));
      return undefined;
    }
  }

  #inadmissible({ ids, bytes }: ClientMessage): Refusal | undefined {
    if (ids.length === 0) return undefined;
    if (this.#end.signal.aborted) return closing();
    if (ids.some((id) => this.#inFlight.has(id)) || new Set(ids).size < ids.length) {
      return new MeshError('invalid_request', 'A request with this id is already in progress.');
    }
    if (this.#inFlight.size + ids.length > MAX_IN_FLIGHT) return overloaded();
    return this.#inFlightBytes + bytes.length > MAX_IN_FLIGHT_BYTES ? overloaded() : undefined;
  }

  #open(message: ClientMessage): Exchange {
    const { output } = this.#line;
    const isInitialize = message.scanned?.method === 'initialize';
    return new Exchange({
      line: this.#line,
      message,
      session: () => this.#session.current(),
      renew: (gone) => this.#session.renew(gone),
      onMessage: (received, reply) => {
        if (received.scanned.result !== undefined) {
          if (isInitialize) this.#session.opened(message, received, reply);
          else this.#session.settle(message);
        }
        output.write(received.bytes);
      },
      onRefusal: (refusal, ids) => {
        for (const id of ids) output.write(refusalAnswer(id, refusal));
        if (message.ids.length > 0) return;
        const reason = refusal instanceof MeshError ? refusal.reason : undefined;
        this.#log.warn('a message of the client was not taken', { method: message.scanned?.method, reason });
      },
    });
  }

  #run(message: ClientMessage, exchange: Exchange): Promise<void> {
    for (const id of message.ids) this.#inFlight.set(id, exchange);
    this.#inFlightBytes += message.bytes.length;
    const over = exchange.run().then(() => {
      for (const id of message.ids) this.#inFlight.delete(id);
      this.#inFlightBytes -= message.bytes.length;
      this.#running.delete(over);
    });
    this.#running.add(over);
    return over;
  }

  /** A cancellation must not overtake its request: it would find nothing to cancel. Resolves with what it ends. */
  async #cancel({ bytes, scanned }: ClientMessage): Promise<Exchange | undefined> {
    const id =
      scanned?.requestId === undefined ? undefined : slice(bytes, scanned.requestId).toString('utf8');
    const exchange = id === undefined ? undefined : this.#inFlight.get(id);
    if (exchange === undefined) return undefined;
    exchange.cancel();
    await sleep(ARRIVAL_MS);
    return exchange;
  }

  /** Another session may see other lists; the client knows only that it is connected, so it is told. */
  #onRenewed(result: Buffer): void {
    this.#log.warn('the session was gone; another one has been opened');
    this.#listener.move();
    const { capabilities } = JSON.parse(result.toString('utf8')) as {
      capabilities?: Readonly<Record<string, { readonly listChanged?: unknown } | undefined>>;
    };
    for (const kind of ['tools', 'prompts', 'resources']) {
      if (capabilities?.[kind]?.listChanged !== true) continue;
      this.#line.output.write(Buffer.concat(notification(`notifications/${kind}/list_changed`)));
    }
  }
}

function createHeldToken({ token }: ConnectSettings, log: Logger): HeldToken | undefined {
  if (token === undefined) return undefined;
  return 'file' in token
    ? heldTokenFromFile({ file: token.file, log, recheckMs: 0 })
    : heldTokenFromValue(token.value);
}

function overloaded(): MeshError {
  return new MeshError('overloaded', 'Too many requests are in progress on this connection.');
}
