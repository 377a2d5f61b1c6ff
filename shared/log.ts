import { type DestinationStream, pino } from 'pino';
import { redact } from './redact.ts';

/**
 * Structured logs that cannot print a token. Only the field names below go out,
 * only primitive values under them, and every text, the message, an error's
 * message, cause and stack included, is redacted by shape (`shared/redact.ts`).
 * An error is written as its class, code, reason, message, stack and causes;
 * whatever else hangs on it (requests, headers, bodies) is not.
 *
 * Lines are written synchronously: the last one before a crash is there.
 */

const FIELDS = {
  program: true,
  replica: true,
  node: true,
  virtualServer: true,
  stream: true,
  exchange: true,
  /** The id of a client's request, the same in both programs (`shared/request-id.ts`). */
  request: true,
  backend: true,
  /** The name that admins use for a session: the beginning of its record's name, never its id. */
  session: true,
  method: true,
  tool: true,
  kind: true,
  state: true,
  reason: true,
  detail: true,
  status: true,
  strategy: true,
  issuer: true,
  keyId: true,
  store: true,
  event: true,
  address: true,
  port: true,
  url: true,
  file: true,
  version: true,
  epoch: true,
  attempt: true,
  count: true,
  bytes: true,
  durationMs: true,
  delayMs: true,
  pid: true,
  signal: true,
  exitCode: true,
} as const;

type FieldName = keyof typeof FIELDS;
type Value = string | number | boolean | undefined;

/** What may be said beside a message. */
export type LogFields = { readonly [Name in FieldName]?: Value } & { readonly error?: unknown };

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export const LOG_FORMATS = ['auto', 'text', 'json'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
/** `auto` is text on a terminal, JSON elsewhere. */
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that says these fields with every line. */
  child(fields: LogFields): Logger;
  /** Whether what `debug` is told is written: for what costs something to say. */
  debugs(): boolean;
}

/** The logger that others are children of: its level is theirs. */
export interface RootLogger extends Logger {
  setLevel(level: LogLevel): void;
}

export interface LoggerOptions {
  readonly level?: LogLevel;
  readonly format?: LogFormat;
  readonly fields?: LogFields;
  /** Takes whole lines; standard output when absent. */
  readonly destination?: DestinationStream;
}

export function createLogger(options: LoggerOptions = {}): RootLogger {
  const { level = 'info', format = 'auto' } = options;
  const destination = options.destination ?? standardOutput();
  const text = format === 'text' || (format === 'auto' && process.stdout.isTTY === true);
  const sink = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    text ? { write: (line) => destination.write(toText(line)) } : destination,
  );
  return {
    ...facade(sink, clean(options.fields)),
    setLevel(next) {
      sink.level = next;
    },
  };
}

/** Says nothing: for tests and tools. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
  debugs: () => false,
};

type CleanFields = Record<string, unknown>;

function facade(sink: pino.Logger, base: CleanFields): Logger {
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: LogFields) => {
    if (sink.isLevelEnabled(level)) sink[level]({ ...base, ...clean(fields) }, redact(message));
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => facade(sink, { ...base, ...clean(fields) }),
    debugs: () => sink.isLevelEnabled('debug'),
  };
}

/** A pipe whose reader is gone must not take the program down: it is told to stop by other means. */
function standardOutput(): DestinationStream {
  const destination = pino.destination({ dest: 1, sync: true });
  destination.on('error', () => {});
  return destination;
}

function clean(fields: LogFields | undefined): CleanFields {
  const shown: CleanFields = {};
  let masked = 0;
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value === undefined) continue;
    if (name === 'error') shown['error'] = describeError(value, 0);
    else if (!Object.hasOwn(FIELDS, name)) masked += 1;
    else if (typeof value === 'string') shown[name] = redact(value);
    else if (typeof value === 'number' || typeof value === 'boolean') shown[name] = value;
    else masked += 1;
  }
  if (masked > 0) shown['masked'] = masked;
  return shown;
}

/** Causes beyond this depth, and errors of an aggregate beyond this number, say nothing new. */
const DEEPEST = 4;

function describeError(thrown: unknown, depth: number): CleanFields {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: redact(String(thrown)) };
  const described: CleanFields = { type: redact(thrown.name), message: redact(thrown.message) };
  for (const name of ['code', 'reason', 'kind', 'backend'] as const) {
    const value: unknown = Reflect.get(thrown, name);
    if (typeof value === 'string') described[name] = redact(value);
    else if (typeof value === 'number') described[name] = value;
  }
  if (thrown.stack !== undefined) described['stack'] = redact(thrown.stack);
  if (depth === DEEPEST) return described;
  if (thrown.cause !== undefined) described['cause'] = describeError(thrown.cause, depth + 1);
  if (thrown instanceof AggregateError) {
    described['errors'] = thrown.errors.slice(0, DEEPEST).map((each) => describeError(each, depth + 1));
  }
  return described;
}

/** One line for people: time, level, message, then the fields; stacks are left to JSON. */
function toText(line: string): string {
  const { time, level, msg, error, ...fields } = JSON.parse(line) as {
    time: string;
    level: string;
    msg: string;
    error?: { message: string; cause?: { message: string } };
  } & Record<string, unknown>;
  const said = Object.entries(fields).map(([name, value]) => ` ${name}=${quote(value)}`);
  const why =
    error === undefined
      ? ''
      : `: ${[error, error.cause]
          .map((each) => each?.message)
          .filter(Boolean)
          .join(': ')}`;
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${oneLine(msg + why)}${said.join('')}\n`;
}

function quote(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@%+-]+$/.test(value) ? value : JSON.stringify(value);
}

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
