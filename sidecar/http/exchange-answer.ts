import type { ServerResponse } from 'node:http';
import { MeshError } from '../../shared/errors.ts';
import { encodeEvent } from '../../shared/sse/writer.ts';
import type { AnswerSink, ExchangeHandle } from '../mesh/exchange.ts';
import type { ExchangeKind, Outcome } from '../ops/metrics.ts';
import { type AnswerContext, answerError, errorMessage } from './answers.ts';
import type { EdgeState } from './edge-state.ts';
import { EventStream } from './event-stream.ts';
import { writeAnswer } from './write-answer.ts';

const NO_BODY = Buffer.alloc(0);

/**
 * The answer to one HTTP request, written as the mesh says it. A client that
 * leaves is no cancel (MCP 2025-11-25, Streamable HTTP): the exchange is detached,
 * and its answer waits at the replica to be resumed.
 */
export class ExchangeAnswer implements AnswerSink {
  readonly #response: ServerResponse;
  readonly #edge: EdgeState;
  readonly #kind: ExchangeKind;
  readonly #context: AnswerContext;
  readonly #events: boolean;
  #handle: ExchangeHandle | undefined;
  #stream: EventStream | undefined;
  #over = false;

  constructor(
    response: ServerResponse,
    edge: EdgeState,
    about: { kind: ExchangeKind; context: AnswerContext; prefersEvents: boolean },
  ) {
    this.#response = response;
    this.#edge = edge;
    this.#kind = about.kind;
    this.#context = about.context;
    this.#events = about.prefersEvents;
    edge.open.add(this);
    response.on('close', () => {
      if (this.#finish('detached')) this.#handle?.detach();
    });
  }

  /** The mesh's side of the exchange, once it is open. */
  attach(handle: ExchangeHandle): void {
    this.#handle = handle;
  }

  get listening(): boolean {
    return this.#kind === 'listen';
  }

  json(pieces: readonly Uint8Array[], sessionId: string | undefined): void {
    if (this.#events && sessionId === undefined && !this.#over) {
      this.stream();
      this.event(pieces, undefined, undefined);
      this.end();
      return;
    }
    if (!this.#finish('json')) return;
    const body = pieces.length === 1 ? (pieces[0] ?? NO_BODY) : Buffer.concat(pieces);
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
    if (sessionId !== undefined) headers.push('Mcp-Session-Id', sessionId);
    writeAnswer(this.#response, this.#edge, { status: 200, headers, body });
  }

  accepted(): void {
    if (!this.#finish('accepted')) return;
    const status = this.#kind === 'terminate' ? 200 : 202;
    writeAnswer(this.#response, this.#edge, { status, headers: ['Content-Length', '0'], body: NO_BODY });
  }

  stream(): void {
    if (this.#over) return;
    this.#stream = new EventStream(this.#response, this.#edge, () => this.#handle?.resume());
  }

  event(pieces: readonly Uint8Array[], eventId: string | undefined, retryMs: number | undefined): boolean {
    if (this.#over || this.#stream === undefined) return false;
    // When to come back is no event: with a data line of its own a reader would take it for a message.
    if (pieces.length === 0 && eventId === undefined)
      return this.#stream.send([Buffer.from(`retry: ${retryMs}\n\n`)]);
    return this.#stream.send(encodeEvent({ id: eventId, retryMs, pieces }));
  }

  end(): void {
    if (this.#finish('stream')) this.#stream?.end();
  }

  fail(error: MeshError): void {
    if (!this.#finish(error.reason)) return;
    if (this.#stream === undefined) {
      writeAnswer(this.#response, this.#edge, answerError(error, this.#context));
      return;
    }
    for (const id of this.#context.ids) {
      this.#stream.send(encodeEvent({ pieces: [errorMessage(error, id)] }));
    }
    this.#stream.end();
  }

  /**
   * The sidecar goes before the answer came: a stream ends, to be resumed through
   * the next sidecar; whoever waits for a plain answer is told that its outcome is
   * not known. The work itself goes on.
   */
  leave(): void {
    if (this.#over) return;
    if (this.#stream === undefined)
      this.fail(new MeshError('outcome_unknown', 'The sidecar shut down before the answer came.'));
    else this.end();
    this.#handle?.detach();
  }

  #finish(outcome: Outcome): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#edge.open.delete(this);
    this.#edge.metrics.exchangeEnded(this.#kind, outcome);
    this.#edge.settled();
    return true;
  }
}
