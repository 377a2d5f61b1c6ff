import { AsyncLocalStorage } from 'node:async_hooks';
import { type Span as ApiSpan, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { parseTraceParent, TraceState } from '@opentelemetry/core';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger } from '../log.ts';
import { SpanQueue } from './span-queue.ts';
import {
  type Attributes,
  readTrace,
  type Span,
  type SpanFacts,
  type TraceContext,
  type TraceCounters,
  type Tracer,
} from './tracer.ts';
import type { TracingSettings } from './tracing-config.ts';

export interface OtlpTracerOptions {
  readonly settings: TracingSettings;
  readonly service: string;
  readonly version: string;
  /** Which of several programs of this service it is. */
  readonly instance: string;
  readonly log: Logger;
  /** Masks what must never be said. */
  readonly redact: (text: string) => string;
}

const LONGEST_TEXT = 128;

/**
 * Traces by the OpenTelemetry SDK. What a request causes is found by the asynchronous
 * context in which it runs, so that only who makes a span has to know of tracing. What
 * outlives its request is no part of its trace: a stream is reopened, a list read again
 * hours later.
 */
export class OtlpTracer implements Tracer {
  readonly #options: OtlpTracerOptions;
  readonly #queue: SpanQueue;
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  readonly #running = new AsyncLocalStorage<OtlpSpan>();

  constructor(options: OtlpTracerOptions) {
    const { settings, service, version, instance, log } = options;
    this.#options = options;
    this.#queue = new SpanQueue(settings, log);
    const provider = new TracerProvider({
      resource: resourceFromAttributes({
        ...settings.attributes,
        'service.name': service,
        'service.version': version,
        'service.instance.id': instance,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(settings.ratio) }),
      spanProcessors: [this.#queue],
    });
    this.#tracer = provider.getTracer('outrigger', version);
  }

  get counters(): TraceCounters {
    return this.#queue;
  }

  serve(name: string, given: TraceContext | undefined, facts: SpanFacts): Span {
    const from = given && readTrace(given);
    const parent = from === undefined ? null : parseTraceParent(from.traceparent);
    if (from === undefined || parent === null) return this.#start(name, { kind: SpanKind.SERVER, ...facts });
    const traceState = from.tracestate === undefined ? undefined : new TraceState(from.tracestate);
    const remote = { ...parent, isRemote: true, ...(traceState === undefined ? {} : { traceState }) };
    const context = trace.setSpanContext(ROOT_CONTEXT, remote);
    return this.#start(name, { kind: SpanKind.SERVER, context, from, ...facts });
  }

  within(span: Span, work: () => void): void {
    if (span instanceof OtlpSpan && span.written) this.#running.run(span, work);
    else work();
  }

  traces(): boolean {
    return this.#running.getStore()?.over === false;
  }

  ask(name: string, facts: SpanFacts): Span | undefined {
    return this.#part(name, SpanKind.CLIENT, facts);
  }

  step(name: string, facts: SpanFacts): Span | undefined {
    return this.#part(name, SpanKind.INTERNAL, facts);
  }

  /** Resolves when what was to be sent is, or `graceMs` are over. */
  close(graceMs: number): Promise<void> {
    return this.#queue.close(graceMs);
  }

  #part(name: string, kind: SpanKind, facts: SpanFacts): Span | undefined {
    const whole = this.#running.getStore();
    if (whole === undefined || whole.over) return undefined;
    return this.#start(name, { kind, context: whole.asParent, ...facts });
  }

  #start(name: string, { kind, context = ROOT_CONTEXT, from, attributes, sinceMs }: Start): OtlpSpan {
    const clean = (text: string) => this.#options.redact(text).slice(0, LONGEST_TEXT);
    const options = {
      kind,
      attributes: cleaned(attributes, clean),
      ...(sinceMs === undefined ? {} : { startTime: Date.now() - sinceMs }),
    };
    return new OtlpSpan(this.#tracer.startSpan(clean(name), options, context), { from, clean });
  }
}

interface Start extends SpanFacts {
  readonly kind: SpanKind;
  readonly context?: typeof ROOT_CONTEXT;
  readonly from?: TraceContext;
}

class OtlpSpan implements Span {
  readonly context: TraceContext;
  readonly written: boolean;
  readonly #span: ApiSpan;
  readonly #clean: (text: string) => string;
  over = false;

  constructor(span: ApiSpan, about: { from: TraceContext | undefined; clean: (text: string) => string }) {
    this.#span = span;
    this.#clean = about.clean;
    this.written = span.isRecording();
    this.context = !this.written && about.from !== undefined ? about.from : contextOf(span);
  }

  get asParent() {
    return trace.setSpan(ROOT_CONTEXT, this.#span);
  }

  set(attributes: Attributes): void {
    if (this.written && !this.over) this.#span.setAttributes(cleaned(attributes, this.#clean));
  }

  end(fault?: string): void {
    if (this.over) return;
    this.over = true;
    if (fault !== undefined) {
      this.#span.setAttribute('error.type', this.#clean(fault));
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

function contextOf(span: ApiSpan): TraceContext {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  const tracestate = traceState?.serialize();
  return tracestate === undefined || tracestate === '' ? { traceparent } : { traceparent, tracestate };
}

function cleaned(attributes: Attributes, clean: (text: string) => string): Record<string, string> {
  const said: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) said[name] = clean(value);
  return said;
}
