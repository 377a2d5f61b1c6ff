import { createWriteStream, type WriteStream } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { isObject, peekFields } from '../../shared/json-rpc/object.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { Logger } from '../../shared/log.ts';
import type { Caller } from '../identity/caller.ts';
import type { Audit, AuditEvent } from '../session/audit.ts';

export interface AuditLogOptions {
  /** A file that is appended to, or standard output. */
  readonly target: { readonly file: string } | 'stdout';
  readonly replica: string;
  /** Whether the arguments of calls are kept. */
  readonly withArguments: boolean;
  /** What may wait for a slow target; events beyond it are lost and counted. */
  readonly bufferBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** So many events are lost; where the configuration says that none may be, nothing goes on after this. */
  readonly onLost: (count: number) => void;
}

/** The longest arguments that are kept; longer ones are left out, and that is said. */
const ARGUMENTS_BYTES = 16_384;
const REOPEN_MS = 1_000;

/**
 * One JSON object a line for each decision. Events of one turn are written together; a
 * target that does not keep up, or fails, costs events and never a call's time: how many
 * is counted, and stands in the log itself as soon as it takes something again.
 */
export class AuditLog implements Audit {
  readonly #options: AuditLogOptions;
  #stream: WriteStream | NodeJS.WriteStream | undefined;
  #lines: string[] = [];
  /** In `#lines` and not yet taken by the system. */
  #waiting = 0;
  #lost = 0;
  #stopped = false;
  #failing = false;
  #cancelReopen = () => {};

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#open();
  }

  record(event: AuditEvent): void {
    const line = this.#line(event);
    if (this.#waiting + line.length > this.#options.bufferBytes || this.#stopped) {
      this.#lose(1);
      return;
    }
    if (this.#lost > 0) this.#say(this.#gap());
    this.#say(line);
  }

  /** The file was moved away: the next event begins a new one. */
  reopen(): void {
    if (this.#options.target === 'stdout' || this.#stopped) return;
    this.#flush();
    this.#stream?.end();
    this.#open();
  }

  /** Resolves when everything is written. */
  async stop(): Promise<void> {
    if (this.#lost > 0) this.#say(this.#gap());
    this.#flush();
    this.#stopped = true;
    this.#cancelReopen();
    const stream = this.#stream;
    if (stream === undefined) return;
    if (this.#options.target === 'stdout')
      await new Promise<void>((resolve) => stream.write('', () => resolve()));
    else await new Promise<void>((resolve) => stream.end(() => resolve()));
  }

  #line(event: AuditEvent): string {
    const { caller, message, traceparent, ...rest } = event;
    const args = this.#options.withArguments && message !== undefined ? argumentsOf(message) : undefined;
    const kept = args !== undefined && args.length <= ARGUMENTS_BYTES;
    const said = {
      time: new Date(this.#options.clock.now()).toISOString(),
      replica: this.#options.replica,
      ...rest,
      ...(caller === undefined ? {} : { principal: principal(caller) }),
      ...(traceparent === undefined || traceparent === '' ? {} : { traceId: traceparent.split('-')[1] }),
      ...(args !== undefined && !kept ? { argumentsBytes: args.length } : {}),
    };
    const text = JSON.stringify(said);
    return kept ? `${text.slice(0, -1)},"arguments":${oneLine(args)}}\n` : `${text}\n`;
  }

  #gap(): string {
    const time = new Date(this.#options.clock.now()).toISOString();
    const said = { time, replica: this.#options.replica, action: 'audit.gap', count: this.#lost };
    this.#lost = 0;
    return `${JSON.stringify(said)}\n`;
  }

  #say(line: string): void {
    if (this.#lines.push(line) === 1) setImmediate(() => this.#flush());
    this.#waiting += line.length;
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#lines.length === 0) return;
    const lines = this.#lines;
    const text = lines.join('');
    this.#lines = [];
    stream.write(text, (error) => {
      this.#waiting -= text.length;
      if (error) this.#lose(lines.length);
    });
  }

  #open(): void {
    const { target } = this.#options;
    if (target === 'stdout') {
      this.#stream = process.stdout;
      return;
    }
    const stream = createWriteStream(target.file, { flags: 'a', mode: 0o600 });
    this.#stream = stream;
    stream.on('open', () => {
      this.#failing = false;
      this.#flush();
    });
    stream.on('error', (error) => this.#failed(stream, error));
  }

  #failed(stream: WriteStream, error: Error): void {
    if (!this.#failing) this.#options.log.error('the audit log cannot be written', { error });
    this.#failing = true;
    if (this.#stream !== stream || this.#stopped) return;
    this.#stream = undefined;
    this.#cancelReopen = this.#options.clock.after(REOPEN_MS, () => this.#open());
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#options.onLost(count);
  }
}

function principal(caller: Caller): object {
  if (caller.kind === 'anonymous') return { anonymous: true, node: caller.node };
  const { binding, actorChain } = caller;
  return {
    issuer: binding.issuer,
    subject: binding.subject,
    ...(binding.tenant === '' ? {} : { tenant: binding.tenant }),
    ...(actorChain.length === 0 ? {} : { actors: actorChain }),
  };
}

const ARGUMENTS = fields(['arguments']);

function argumentsOf({ bytes, scanned: { params } }: Message): Buffer | undefined {
  if (params === undefined || !isObject(bytes, params)) return undefined;
  const [span] = peekFields(bytes, params, ARGUMENTS);
  return span === undefined ? undefined : slice(bytes, span);
}

/** JSON is one value on any number of lines; line breaks stand between tokens only. */
function oneLine(json: Uint8Array): string {
  return Buffer.from(json)
    .toString('utf8')
    .replaceAll(/[\r\n]/g, ' ');
}
