import { ChurningMap } from '../../shared/churning.ts';
import { errorResponse } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import type { Logger } from '../../shared/log.ts';
import { type BackendCall, type BackendEvents, BackendFault } from './backend.ts';
import type { CallSlots, SlottedCall } from './call-slots.ts';
import { Child, type ChildCommand } from './child.ts';
import type { ChildRecords } from './child-records.ts';
import type { Deadlines } from './deadlines.ts';
import { unsendable } from './faults.ts';
import type { HealthRecord } from './health.ts';
import { cancelled, readNumber, renumber, scan } from './messages.ts';
import { PendingCall } from './pending-call.ts';
import { SharedSubscriptions } from './shared-subscriptions.ts';

export interface StdioLinkOptions {
  readonly command: ChildCommand;
  /** Several sessions use it: their ids are renumbered, and the child may ask nothing of a client. */
  readonly shared: boolean;
  readonly messageBytes: number;
  readonly records: ChildRecords;
  readonly deadlines: Deadlines;
  readonly health: HealthRecord;
  readonly slots: CallSlots;
  readonly log: Logger;
  /** Once, when the child is gone, after its calls failed and its sessions were told. */
  readonly onGone: () => void;
}

/** The messages to and from one child, and the calls that wait for it. */
export class StdioLink {
  readonly #options: StdioLinkOptions;
  readonly #child: Child;
  /** By the id that the child knows. */
  readonly #calls = new ChurningMap<number, StdioCall>();
  readonly #audience = new Set<BackendEvents>();
  /** Of a shared child's sessions. */
  readonly subscriptions = new SharedSubscriptions();
  #lastId = 0;
  #gone: BackendFault | undefined;
  #ending = false;

  constructor(options: StdioLinkOptions) {
    this.#options = options;
    this.#child = new Child({
      command: options.command,
      records: options.records,
      log: options.log,
      lineBytes: options.messageBytes,
      onLine: (line) => this.#read(line),
      onTooLong: () => this.#tooLong(),
      onGone: (fault) => this.#leave(fault),
    });
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  /** It was told to end. */
  get isEnding(): boolean {
    return this.#ending;
  }

  /** From now on hears what answers no call. */
  attach(events: BackendEvents): void {
    this.#audience.add(events);
  }

  detach(events: BackendEvents): void {
    this.#audience.delete(events);
  }

  /** Starts a call; its promise is `answer`. `over` hears, before that, that it is settled. */
  call(call: BackendCall, over = () => {}): StdioCall {
    const { shared, deadlines, health, slots } = this.#options;
    const wireId = shared ? ++this.#lastId : call.id;
    const pending = new StdioCall({
      call,
      wireId,
      deadlines,
      settled: (fault) => {
        this.#calls.delete(wireId);
        over();
        health.settled(pending, fault);
        slots.leave(pending);
      },
      send: () => this.#write(this.#numbered(call, wireId)),
      timedOut: () => this.cancel(pending, 'The request timed out.'),
    });
    this.#calls.set(wireId, pending);
    try {
      slots.enter(pending);
    } catch (error) {
      pending.give(unsendable(error));
    }
    return pending;
  }

  /** Sends a notification or a response. Throws BackendFault. */
  send(pieces: readonly Uint8Array[]): void {
    this.#write(oneLine(pieces));
  }

  /** Tells the child to stop a call that it knows of; frees nothing. */
  cancel(pending: StdioCall, reason: string | undefined): void {
    if (!pending.sent) return;
    try {
      this.#write(cancelled(pending.wireId, reason));
    } catch {
      // A child that is gone, or does not read, cannot be told.
    }
  }

  end(): Promise<void> {
    this.#ending = true;
    return this.#child.end();
  }

  #numbered(call: BackendCall, wireId: number): Buffer {
    const line = oneLine(call.pieces);
    if (wireId === call.id) return line;
    const message = scan(line);
    return message === undefined ? line : renumber(message, call.id, wireId).bytes;
  }

  #write(line: Buffer): void {
    if (this.#gone !== undefined)
      throw new BackendFault('session_lost', this.#gone.message, { executed: 'no' });
    this.#child.write(line);
  }

  #read(line: Buffer): void {
    const message = scan(line);
    // Servers print to their standard output what should go to their standard error.
    if (message === undefined) return this.#options.health.dropped();
    const { kind, method } = message.scanned;
    if (kind === 'response') return this.#answer(message);
    if (kind === 'request') return this.#asked(message);
    const token =
      method === 'notifications/progress' ? readNumber(message, message.scanned.progressToken) : Number.NaN;
    const concerned = this.#calls.get(token);
    if (concerned !== undefined) concerned.passOn(concerned.restore(message));
    // Of what a shared child says, only this is not perhaps about another session.
    else if (this.#options.shared && !concernsAll(method)) this.#options.health.dropped();
    else for (const events of this.#audience) events.message(message);
  }

  #answer(message: Message): void {
    const pending = this.#calls.get(readNumber(message, message.scanned.id));
    if (pending === undefined) this.#options.health.dropped();
    else pending.settle(pending.restore(message));
  }

  /** A request of the child; over stdio nothing says which call caused it. */
  #asked(message: Message): void {
    const { id } = message.scanned;
    if (this.#options.shared && id !== undefined) {
      // Nobody can tell whose client is meant.
      const error = { code: -32601, message: 'This server is shared: it cannot ask a client.' };
      this.send(errorResponse(slice(message.bytes, id), error));
      return;
    }
    if (message.scanned.method !== 'ping') {
      for (const pending of this.#calls.values()) pending.waitForPeople();
    }
    for (const events of this.#audience) events.message(message);
  }

  /** Which call it was for is not known unless there is only one. */
  #tooLong(): void {
    this.#options.health.dropped();
    const [only, ...others] = this.#calls.values();
    if (others.length === 0)
      only?.give(new BackendFault('protocol', 'The answer of the backend is too long.'));
  }

  #leave(fault: BackendFault): void {
    this.#gone = fault;
    for (const pending of this.#calls.values()) {
      pending.give(
        new BackendFault(fault.kind, fault.message, {
          executed: pending.sent ? fault.executed : 'no',
          cause: fault,
        }),
      );
    }
    for (const events of this.#audience) events.lost(fault);
    this.#audience.clear();
    this.#options.onGone();
  }
}

interface StdioCallOptions {
  readonly call: BackendCall;
  readonly wireId: number;
  readonly deadlines: Deadlines;
  readonly send: () => void;
  readonly settled: (fault: BackendFault | undefined) => void;
  readonly timedOut: () => void;
}

/** A call that waits for a line of the child. */
export class StdioCall extends PendingCall implements SlottedCall {
  readonly wireId: number;
  readonly #send: () => void;
  #written = false;
  readonly #settled: (fault: BackendFault | undefined) => void;
  readonly #timedOut: () => void;

  constructor(options: StdioCallOptions) {
    super(options.call, options.deadlines);
    this.wireId = options.wireId;
    this.#send = options.send;
    this.#settled = options.settled;
    this.#timedOut = options.timedOut;
  }

  override get sent(): boolean {
    return this.#written;
  }

  begin(): void {
    try {
      this.#send();
      this.#written = true;
    } catch (error) {
      this.give(unsendable(error));
    }
  }

  /** The message under the caller's own number. */
  restore(message: Message): Message {
    return this.wireId === this.call.id ? message : renumber(message, this.wireId, this.call.id);
  }

  protected override settled(fault: BackendFault | undefined): void {
    this.#settled(fault);
  }

  protected override timedOut(): void {
    this.#timedOut();
  }
}

function concernsAll(method: string | undefined): boolean {
  return method === 'notifications/resources/updated' || method?.endsWith('/list_changed') === true;
}

/** One line: JSON has line ends between its tokens only, where a space means the same. */
function oneLine(pieces: readonly Uint8Array[]): Buffer {
  const line = Buffer.concat(pieces);
  for (const end of [0x0a, 0x0d]) {
    for (let at = line.indexOf(end); at !== -1; at = line.indexOf(end, at + 1)) line[at] = 0x20;
  }
  return line;
}
