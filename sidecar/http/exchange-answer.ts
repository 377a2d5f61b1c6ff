import type { ServerResponse } from 'node:http';
import { MeshError } from '../../shared/errors.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
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
  readonly #running: readonly string[];
  /** Of several requests, those that the stream has answered. */
  readonly #answered = new Set<string>();
  /** What the stream said last: the one answer, when it has been. */
  #last: readonly Uint8Array[] = [];
  #handle: ExchangeHandle | undefined;
  #stream: EventStream | undefined;
  #over = false;
  readonly #startedAt = performance.now();

  constructor(
    response: ServerResponse,
    edge: EdgeState,
    about: {
      kind: ExchangeKind;
      context: AnswerContext;
      prefersEvents: boolean;
      /** Its ids in use, which it gives back. */
      running?: readonly string[];
    },
  ) {
    this.#response = response;
    this.#edge = edge;
    this.#kind = about.kind;
    this.#context = about.context;
    this.#events = about.prefersEvents;
    this.#running = about.running ?? [];
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
    const body = pieces.length === 1 ? (pieces[0] ?? NO_BODY) : pieces;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(length)];
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
    if (this.#context.ids.length > 1) this.#note(pieces);
    else this.#last = pieces;
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
    if (this.#context.ids.length === 1) this.#note(this.#last);
    for (const id of this.#context.ids) {
      if (this.#answered.has(id)) continue;
      this.#stream.send(encodeEvent({ pieces: [errorMessage(error, id, this.#context)] }));
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

  /** Which request a message answers: when the rest is lost, that one has its answer. */
  #note(pieces: readonly Uint8Array[]): void {
    if (pieces.length === 0) return;
    const message = Buffer.concat(pieces);
    const { kind, id } = scanMessage(message);
    if (kind === 'response' && id !== undefined) this.#answered.add(slice(message, id).toString());
  }

  #finish(outcome: Outcome): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#edge.running.end(this.#running);
    this.#edge.open.delete(this);
    this.#edge.metrics.exchangeEnded(this.#kind, outcome, performance.now() - this.#startedAt);
    this.#edge.settled();
    return true;
  }
}
