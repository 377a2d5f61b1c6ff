import { TraceFlags } from '@opentelemetry/api';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from '../log.ts';
import type { TraceCounters } from './tracer.ts';
import type { TracingSettings } from './tracing-config.ts';

/** The most spans that one request carries. */
const BATCH = 512;
/** How often a batch is sent before it is given up. */
const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** How often it is said that the collector does not take what it is sent. */
const SAY_MS = 60_000;
/** Statuses after which the same request may succeed (OTLP, Failures). */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/**
 * Spans on their way to a collector (OTLP over HTTP), a bounded number of them: what
 * comes while the queue is full is lost and counted, and no call ever waits for it.
 * Nothing of it holds the process: timers and idle connections let it end, and `close`
 * ends what is under way.
 */
export class SpanQueue implements SpanProcessor, TraceCounters {
  readonly #settings: TracingSettings;
  readonly #log: Logger;
  readonly #over = new AbortController();
  #waiting: ReadableSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  /** Batches in a row that did not arrive. */
  #failures = 0;
  #closed = false;
  #saidAt = Number.NEGATIVE_INFINITY;
  written = 0;
  lost = 0;

  constructor(settings: TracingSettings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    if (this.#closed || this.#waiting.length >= this.#settings.queue) return this.#lose(1, QUEUE_FULL);
    this.#waiting.push(span);
    if (this.#failures === 0 && this.#waiting.length >= BATCH) this.#begin();
    else this.#later();
  }

  async forceFlush(): Promise<void> {
    this.#begin();
    await this.#sending;
  }

  async shutdown(): Promise<void> {
    await this.close(0);
  }

  /** Sends what waits, once, within `graceMs`; what is not taken by then is lost. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const bound = setTimeout(() => this.#over.abort(), graceMs);
    await this.#sending;
    await this.#send();
    clearTimeout(bound);
    this.#lose(this.#waiting.length, 'the program ended');
    this.#waiting = [];
  }

  #later(): void {
    const ms = this.#failures === 0 ? this.#settings.intervalMs : pauseAfter(this.#failures);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#begin();
    }, ms).unref();
  }

  #begin(): void {
    if (this.#sending !== undefined || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined;
      if (!this.#closed && this.#waiting.length > 0) this.#later();
    });
  }

  /** Batch by batch, until none is left or one does not arrive. */
  async #send(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#over.signal.aborted) {
      const batch = this.#waiting.splice(0, BATCH);
      const fault = await this.#post(batch);
      if (fault === undefined) {
        this.#took(batch.length);
        continue;
      }
      this.#failures += 1;
      const again = fault.again && !this.#closed && this.#failures % ATTEMPTS !== 0;
      if (again) this.#waiting.unshift(...batch);
      else this.#lose(batch.length, fault.why);
      this.#say(fault.why);
      if (fault.again) return;
    }
  }

  async #post(batch: ReadableSpan[]): Promise<Fault | undefined> {
    const { url, headers, encoding, timeoutMs } = this.#settings;
    const serializer = encoding === 'json' ? JsonTraceSerializer : ProtobufTraceSerializer;
    const body = serializer.serializeRequest(batch);
    if (body === undefined) return { why: 'the spans could not be encoded', again: false };
    const type = encoding === 'json' ? 'application/json' : 'application/x-protobuf';
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': type },
        body,
        redirect: 'error',
        signal: AbortSignal.any([this.#over.signal, AbortSignal.timeout(timeoutMs)]),
      });
      await response.body?.cancel();
      if (response.ok) return undefined;
      return { why: `status ${response.status}`, again: RETRYABLE.has(response.status) };
    } catch (thrown) {
      return { why: nameOf(thrown), again: true };
    }
  }

  #took(count: number): void {
    this.written += count;
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#saidAt = Number.NEGATIVE_INFINITY;
    this.#log.info('the collector takes traces again', { event: 'traces_written', count: this.lost });
  }

  #lose(count: number, why: string): void {
    if (count === 0) return;
    this.lost += count;
    this.#say(why);
  }

  #say(detail: string): void {
    const now = performance.now();
    if (now - this.#saidAt < SAY_MS) return;
    this.#saidAt = now;
    const { origin } = new URL(this.#settings.url);
    const fields = { event: 'traces_not_written', url: origin, detail, count: this.lost };
    this.#log.warn('traces do not reach the collector', fields);
  }
}

interface Fault {
  readonly why: string;
  /** The same request may succeed. */
  readonly again: boolean;
}

const QUEUE_FULL = 'more spans than the queue holds';

function pauseAfter(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
}

/** The system's word for it, where there is one: texts of others may repeat what was sent. */
function nameOf(thrown: unknown): string {
  const cause: unknown = thrown instanceof Error ? (thrown.cause ?? thrown) : thrown;
  const code: unknown = Reflect.get(Object(cause), 'code');
  if (typeof code === 'string') return code;
  return cause instanceof Error ? cause.name : 'unknown';
}
