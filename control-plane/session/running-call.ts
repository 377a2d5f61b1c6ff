import type { MeshError } from '../../shared/errors.ts';
import { BackendFault } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { SentCall } from './backend-call.ts';
import type { ClientStream } from './client-stream.ts';
import type { ActiveCall } from './live-session.ts';

export interface RunningCallOptions {
  readonly method: string;
  readonly stream: ClientStream;
  readonly caller: Caller;
  readonly id: Buffer;
  /** By which the request is known to logs and backends. */
  readonly requestId: string;
  readonly progressToken: Buffer | undefined;
}

/** One request of a client while it runs. It ends once: with an answer, by a cancel, or because the session moved away. */
export class RunningCall implements ActiveCall {
  readonly method: string;
  readonly stream: ClientStream;
  readonly caller: Caller;
  /** The client's raw JSON-RPC id. */
  readonly id: Buffer;
  /** That id as text: by which the session knows its call. */
  readonly key: string;
  readonly requestId: string;
  /** The client's raw progress token. */
  readonly progressToken: Buffer | undefined;
  #sent: SentCall | undefined;
  #over = false;
  readonly #watchers: (() => void)[] = [];
  #progress = Number.NEGATIVE_INFINITY;

  constructor(options: RunningCallOptions) {
    this.method = options.method;
    this.stream = options.stream;
    this.caller = options.caller;
    this.id = options.id;
    this.key = options.id.toString('utf8');
    this.requestId = options.requestId;
    this.progressToken = options.progressToken;
  }

  get sent(): SentCall | undefined {
    return this.#sent;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Resolves when it has ended. */
  finished(): Promise<void> {
    return new Promise((resolve) => this.whenOver(resolve));
  }

  /** Runs at its end, or now when that has been. */
  whenOver(run: () => void): void {
    if (this.#over) run();
    else this.#watchers.push(run);
  }

  /** Notes under which id the request stands at its backend; a call that is over is not sent any more. */
  sending(sent: SentCall): void {
    if (this.#over) throw new BackendFault('aborted', 'the request was cancelled', { executed: 'no' });
    this.#sent = sent;
  }

  /** Whether the value is progress: more than all before, as it must be (MCP, Progress). */
  progressed(value: number): boolean {
    if (!(value > this.#progress)) return false;
    this.#progress = value;
    return true;
  }

  answer(pieces: readonly Uint8Array[]): void {
    if (!this.#end()) return;
    this.stream.answer(pieces);
  }

  fail(error: MeshError, pieces: readonly Uint8Array[]): void {
    if (!this.#end()) return;
    this.stream.refuse(error, pieces);
  }

  cancel(reason: string | undefined): void {
    if (!this.#end()) return;
    this.#sent?.backend.cancel(this.#sent.id, reason, this.#sent.credential);
    this.stream.forgo();
  }

  abandon(error: MeshError, pieces: readonly Uint8Array[]): void {
    if (!this.#end()) return;
    this.stream.abandon(error, pieces);
  }

  #end(): boolean {
    const first = !this.#over;
    this.#over = true;
    for (const run of this.#watchers.splice(0)) run();
    return first;
  }
}
