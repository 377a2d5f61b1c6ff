import * as v from 'valibot';
import { isLoopbackHost } from '../config/hosts.ts';
import { duration } from '../config/quantity.ts';
import { count, oneOf, section, table, text } from '../config/section.ts';

/** Where traces go, and how many; the same section in both programs' configuration. Absent: none are made. */
export function tracingSection<Secret extends v.GenericSchema>(secret: Secret) {
  return section({
    otlp: section({
      url: v.pipe(
        text(),
        v.regex(URL_SHAPE, 'expected an http or https URL, such as http://127.0.0.1:4318/v1/traces'),
      ),
      /** What the collector wants to be shown, each value from a file or the environment. */
      headers: v.optional(
        v.record(
          v.pipe(v.string(), v.regex(HEADER_NAME, 'expected the name of an HTTP header')),
          secret,
          'expected a group of keys',
        ),
        {},
      ),
      encoding: v.optional(oneOf(['protobuf', 'json']), 'protobuf'),
      timeout: v.optional(duration({ min: '100ms', max: '60s' }), '10s'),
    }),
    /** Of the traces that begin here; one that comes in was decided about by who began it. */
    ratio: v.optional(v.pipe(v.number(RATIO), v.minValue(0, RATIO), v.maxValue(1, RATIO)), 1),
    /** Spans that wait for the collector; more are lost, and counted. */
    queue: v.optional(count({ min: 1, max: 1_000_000 }), 2_048),
    /** How long spans wait for others to be sent with. */
    interval: v.optional(duration({ min: '10ms', max: '60s' }), '5s'),
    /** Of the resource, beside the program's name, version and own name. */
    attributes: v.optional(table(text()), {}),
  });
}

export type TracingFile<Secret> = {
  readonly otlp: {
    readonly url: string;
    readonly headers: Readonly<Record<string, Secret>>;
    readonly encoding: 'protobuf' | 'json';
    readonly timeout: number;
  };
  readonly ratio: number;
  readonly queue: number;
  readonly interval: number;
  readonly attributes: Readonly<Record<string, string>>;
};

export interface TracingSettings {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly encoding: 'protobuf' | 'json';
  /** Of one request to the collector. */
  readonly timeoutMs: number;
  /** From 0 to 1. */
  readonly ratio: number;
  /** In spans. */
  readonly queue: number;
  readonly intervalMs: number;
  readonly attributes: Readonly<Record<string, string>>;
}

type Path = readonly string[];

export interface ResolveTracing<Secret> {
  /** Reports a problem where a secret cannot be had, and leaves a text in its place. */
  readonly secret: (path: Path, source: Secret) => string;
  readonly problem: (path: Path, message: string) => void;
}

export function resolveTracing<Secret>(
  file: TracingFile<Secret> | undefined,
  { secret, problem }: ResolveTracing<Secret>,
): TracingSettings | undefined {
  if (file === undefined) return undefined;
  const { otlp, ratio, queue, interval, attributes } = file;
  const url = URL.canParse(otlp.url) ? new URL(otlp.url) : undefined;
  const names = Object.keys(otlp.headers);
  if (url === undefined) problem(['tracing', 'otlp', 'url'], 'expected a URL');
  else if (names.length > 0 && url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    problem(['tracing', 'otlp', 'url'], 'secrets go over https, or over http on loopback');
  const headers = names.map((name) => [
    name.toLowerCase(),
    secret(['tracing', 'otlp', 'headers', name], otlp.headers[name] as Secret),
  ]);
  return {
    url: otlp.url,
    headers: Object.fromEntries(headers),
    encoding: otlp.encoding,
    timeoutMs: otlp.timeout,
    ratio,
    queue,
    intervalMs: interval,
    attributes,
  };
}

const URL_SHAPE = /^https?:\/\/[^\s#@]+$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const RATIO = 'expected a number from 0 to 1';
