import { status } from '@grpc/grpc-js';
import type { Logger } from '../../shared/log.ts';
import type { Welcome } from '../../shared/rpc/mesh-protocol.ts';
import type { PulseTimes } from '../../shared/rpc/pulse.ts';
import type { LocalLists } from '../capabilities/local-lists.ts';
import { isStatic, LOOKUP_MS, type ReplicaAddresses, resolveAddresses } from './addresses.ts';
import { Backoff } from './backoff.ts';
import type { ChannelSecurity } from './channel-security.ts';
import type { ClientExchange } from './client-exchange.ts';
import type { RefusedBearers } from './credential-table.ts';
import { rendezvousOrder } from './rendezvous.ts';
import { type EndOfStream, ReplicaStream, type SidecarSelf, type StreamOwner } from './replica-stream.ts';

/** One replica that may be connected to. */
interface Replica {
  readonly address: string;
  readonly backoff: Backoff;
  /** The stream that takes exchanges, or is about to. */
  stream: ReplicaStream | undefined;
  /** Not before this by our own back-off, nor before that by the replica's wish; on the monotonic clock, in milliseconds. */
  notBefore: number;
  askedUntil: number;
  /** Whether the last attempt failed. */
  failed: boolean;
}

export interface ReplicaPoolOptions {
  readonly self: SidecarSelf;
  readonly replicas: ReplicaAddresses;
  readonly log: Logger;
  readonly security: ChannelSecurity;
  readonly pulse: PulseTimes;
  readonly maxExchangeId: number;
  readonly refused: RefusedBearers;
  /** The lists that the sidecar answers by itself, under its home's word. */
  readonly lists: LocalLists | undefined;
  /** There is a home now. */
  home(welcome: Welcome): void;
  /** Every replica was tried and none can be reached. */
  down(): void;
  /** The exchange must be placed anew. */
  again(exchange: ClientExchange): void;
}

/** Home and one warm stream. */
const WANTED = 2;
/** How long the first home is waited for while a replica further down the order is ready, in milliseconds. */
const ELECTION_MS = 250;
/** A replica that calls us wrong is asked again this late, in milliseconds. */
const WRONG_MS = 30_000;
const WRONG: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.FAILED_PRECONDITION,
  status.UNIMPLEMENTED,
]);
/** It does not know us, or not for this virtual server: another certificate may be on its way. */
const STRANGER: ReadonlySet<status> = new Set([status.UNAUTHENTICATED, status.PERMISSION_DENIED]);
/** Attempts further off than this are brought forward when there is no home, in milliseconds. */
const HASTE_MS = 4_000;
/** Without a home, the name of the replicas is looked up this often, in milliseconds. */
const HASTY_LOOKUP_MS = 1_000;
const MAX_CREDENTIALS = 1_000;
/** What unfinished answers of one stream may hold, in bytes. */
const HOLD_BYTES = 32 * 1024 * 1024;

/**
 * The streams of a sidecar: one home, one warm, in the rendezvous order of its node
 * name. Home stays where it is until it is lost or leaves; then the warm stream is
 * home in the same turn.
 */
export class ReplicaPool implements StreamOwner {
  readonly #options: ReplicaPoolOptions;
  #order: Replica[] = [];
  readonly #streams = new Set<ReplicaStream>();
  readonly #welcomes = new Map<ReplicaStream, Welcome>();
  #home: ReplicaStream | undefined;
  #successor: ReplicaStream | undefined;
  #elected = false;
  #retry: NodeJS.Timeout | undefined;
  #election: NodeJS.Timeout | undefined;
  /** Absent for a static list, and while a look-up is under way. */
  #lookup: NodeJS.Timeout | undefined;
  #lookedUpAt = Number.NEGATIVE_INFINITY;
  #closing: (() => void) | undefined;
  #closed = false;

  constructor(options: ReplicaPoolOptions) {
    this.#options = options;
    if (isStatic(options.replicas)) this.#adopt(options.replicas);
    else void this.#resolve();
  }

  /** The stream for new exchanges. Asks for its replacement when its ids run out. */
  get home(): ReplicaStream | undefined {
    const home = this.#home;
    if (home?.worn === true) this.#succeed(home);
    return home;
  }

  /** Whether every known replica failed at its last attempt. */
  get down(): boolean {
    return (
      this.#order.length > 0 && this.#order.every(({ failed, stream }) => failed && stream?.state !== 'ready')
    );
  }

  /** Until the next attempt, in milliseconds. */
  get nextAttemptMs(): number {
    const earliest = Math.min(...this.#order.map(({ notBefore }) => notBefore));
    return Number.isFinite(earliest) ? Math.max(0, earliest - performance.now()) : 0;
  }

  /** Streams after their Welcome, home first. */
  standing(): ReplicaStream[] {
    const standing = [...this.#streams].filter(({ state }) => state === 'ready' || state === 'leaving');
    return standing.sort((a, b) => Number(b === this.#home) - Number(a === this.#home));
  }

  /** Streams that take no more exchanges and still have some. */
  leaving(): ReplicaStream[] {
    return [...this.#streams].filter(({ state }) => state === 'leaving');
  }

  sweep(): void {
    for (const stream of this.#streams) stream.sweep();
  }

  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#home = undefined;
    for (const timer of [this.#retry, this.#election, this.#lookup]) clearTimeout(timer);
    if (this.#streams.size === 0) return;
    await new Promise<void>((resolve) => {
      const bound = setTimeout(() => {
        for (const stream of [...this.#streams]) stream.close();
      }, graceMs);
      this.#closing = () => {
        clearTimeout(bound);
        resolve();
      };
      for (const stream of [...this.#streams]) {
        if (graceMs > 0) stream.leave();
        else stream.close();
      }
    });
  }

  ready(stream: ReplicaStream, welcome: Welcome): void {
    const { address } = stream;
    this.#options.log.info('mesh stream open', { address, replica: welcome.replica });
    this.#welcomes.set(stream, welcome);
    const replica = this.#find(address);
    if (replica !== undefined) replica.failed = false;
    if (stream === this.#successor) this.#replace(stream, welcome);
    else this.#elect();
  }

  renewed(stream: ReplicaStream, welcome: Welcome): void {
    this.#welcomes.set(stream, welcome);
    if (stream === this.#home) this.#options.home(welcome);
  }

  left(stream: ReplicaStream, reconnectAfterMs: number): void {
    const replica = this.#find(stream.address);
    if (replica?.stream === stream) replica.stream = undefined;
    else if (this.#home !== stream) return;
    this.#moveOn(stream, { replica, askedMs: reconnectAfterMs });
  }

  answered(stream: ReplicaStream): void {
    this.#find(stream.address)?.backoff.reset();
  }

  again(exchange: ClientExchange): void {
    this.#options.again(exchange);
  }

  faulted(stream: ReplicaStream, error: unknown): void {
    this.#options.log.error('an answer could not be handled', { address: stream.address, error });
  }

  over(stream: ReplicaStream, end: EndOfStream): void {
    this.#streams.delete(stream);
    const welcomed = this.#welcomes.delete(stream);
    if (this.#closed) {
      if (this.#streams.size === 0) this.#closing?.();
      return;
    }
    this.#report(stream, end);
    let replica = this.#find(stream.address);
    if (replica?.stream === stream || this.#successor === stream) {
      if (replica?.stream === stream) replica.stream = undefined;
      if (replica !== undefined) replica.failed = !welcomed;
    } else {
      // It left before, or its address is gone: another attempt has its own time.
      replica = undefined;
    }
    if (this.#successor === stream) this.#successor = undefined;
    const askedMs = WRONG.has(end.code) ? WRONG_MS : (end.retryAfterMs ?? 0);
    this.#moveOn(stream, { replica, askedMs });
    if (this.down) this.#options.down();
  }

  /** After a stream was left or lost: the next home in the same turn, then new attempts, each in its time. */
  #moveOn(
    stream: ReplicaStream,
    { replica, askedMs }: { replica: Replica | undefined; askedMs: number },
  ): void {
    if (this.#home === stream) this.#home = undefined;
    this.#elect();
    const homeless = this.#home === undefined;
    if (homeless) this.#options.lists?.bereft();
    const now = performance.now();
    if (replica !== undefined) {
      replica.askedUntil = now + askedMs;
      replica.notBefore = replica.askedUntil + replica.backoff.next({ homeless });
    }
    if (homeless) this.#hasten(now);
    if (homeless) this.#lookUpSoon();
    this.#fill();
  }

  /** Without a home, attempts that were put off for long come sooner, but never before a replica's own wish. */
  #hasten(now: number): void {
    for (const replica of this.#order) {
      if (replica.notBefore - now <= HASTE_MS) continue;
      const soon = Math.max(now, replica.askedUntil) + replica.backoff.again();
      replica.notBefore = Math.min(replica.notBefore, soon);
    }
  }

  #report({ address }: ReplicaStream, { code, details }: EndOfStream): void {
    if (code === status.OK) return this.#options.log.info('mesh stream ended', { address });
    const fields = { address, status: status[code], detail: details };
    if (WRONG.has(code) || STRANGER.has(code))
      this.#options.log.error('the replica refuses the mesh stream', fields);
    else this.#options.log.warn('mesh stream lost', fields);
  }

  /** Makes the best ready stream home. The very first time, waits a little for those further up the order. */
  #elect(): void {
    if (this.#home !== undefined || this.#closed) return;
    const best = this.#order.findIndex(({ stream }) => stream?.state === 'ready');
    const stream = this.#order[best]?.stream;
    const welcome = stream && this.#welcomes.get(stream);
    if (stream === undefined || welcome === undefined) return;
    if (
      !this.#elected &&
      this.#order.slice(0, best).some((better) => better.stream?.state === 'connecting')
    ) {
      this.#election ??= setTimeout(() => {
        this.#elected = true;
        this.#elect();
      }, ELECTION_MS);
      return;
    }
    this.#elected = true;
    clearTimeout(this.#election);
    this.#settle(stream, welcome);
  }

  #settle(home: ReplicaStream, welcome: Welcome): void {
    this.#home = home;
    // Before what waited for a home is sent there: its answers may bring grants.
    this.#options.lists?.adopt(home);
    this.#options.home(welcome);
  }

  /** Opens streams until there are as many as wanted, each replica not before its time. */
  #fill(): void {
    if (this.#closed) return;
    const now = performance.now();
    let live = this.#order.filter(({ stream }) => stream !== undefined).length;
    let earliest = Number.POSITIVE_INFINITY;
    for (const replica of this.#order) {
      if (live >= WANTED) return;
      if (replica.stream !== undefined) continue;
      if (replica.notBefore > now) {
        earliest = Math.min(earliest, replica.notBefore);
        continue;
      }
      replica.stream = this.#connect(replica.address);
      live += 1;
    }
    if (!Number.isFinite(earliest)) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#fill(), earliest - now + 1);
  }

  #connect(address: string): ReplicaStream {
    const { self, security, pulse, maxExchangeId, refused, lists } = this.#options;
    const stream = new ReplicaStream({
      address,
      self,
      security,
      pulse,
      maxExchangeId,
      refused,
      lists,
      maxCredentials: MAX_CREDENTIALS,
      holdBytes: HOLD_BYTES,
      owner: this,
    });
    this.#streams.add(stream);
    return stream;
  }

  /** A second stream to the same replica, before the first one's ids run out. Meanwhile the first goes on. */
  #succeed(worn: ReplicaStream): void {
    const replica = this.#find(worn.address);
    if (this.#successor !== undefined || replica === undefined || performance.now() < replica.notBefore)
      return;
    this.#successor = this.#connect(worn.address);
  }

  #replace(successor: ReplicaStream, welcome: Welcome): void {
    const replica = this.#find(successor.address);
    const worn = replica?.stream;
    this.#successor = undefined;
    if (replica !== undefined) replica.stream = successor;
    if (this.#home === worn || this.#home === undefined) {
      this.#settle(successor, welcome);
    }
    worn?.leave();
  }

  /** Takes the replicas as they are now. Home is not moved by a change of addresses. */
  #adopt(addresses: readonly string[]): void {
    this.#order = rendezvousOrder(this.#options.self.node, addresses).map(
      (address) =>
        this.#find(address) ?? {
          address,
          backoff: new Backoff(),
          stream: undefined,
          notBefore: 0,
          askedUntil: 0,
          failed: false,
        },
    );
    for (const stream of [...this.#streams]) {
      if (stream !== this.#home && this.#find(stream.address) === undefined) stream.leave();
    }
    this.#elect();
    this.#fill();
  }

  /** The replicas that stood at known addresses may stand at others by now. */
  #lookUpSoon(): void {
    if (this.#lookup === undefined) return;
    clearTimeout(this.#lookup);
    const wait = Math.max(0, this.#lookedUpAt + HASTY_LOOKUP_MS - performance.now());
    this.#lookup = setTimeout(() => void this.#resolve(), wait);
  }

  async #resolve(): Promise<void> {
    this.#lookup = undefined;
    this.#lookedUpAt = performance.now();
    try {
      const addresses = await resolveAddresses(this.#options.replicas);
      if (this.#closed) return;
      if (addresses.length > 0) this.#adopt(addresses);
    } catch (error) {
      this.#options.log.warn('the replicas could not be looked up', { error });
    }
    if (this.#closed) return;
    const wait = this.#home === undefined ? HASTY_LOOKUP_MS : LOOKUP_MS;
    this.#lookup = setTimeout(() => void this.#resolve(), wait);
  }

  #find(address: string): Replica | undefined {
    return this.#order.find((replica) => replica.address === address);
  }
}
