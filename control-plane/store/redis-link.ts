import { Cluster, Redis, ReplyError } from 'ioredis';
import type { MeshError } from '../../shared/errors.ts';
import { Breaker } from './breaker.ts';
import { unavailable, within } from './operation.ts';
import { type ConnectionOptions, createClient, type RedisClient } from './redis-connection.ts';
import type { RedisScript } from './redis-script.ts';

/** How many calls may wait for Redis at once. */
const MAX_IN_FLIGHT = 2000;
const UNANSWERED_TO_OPEN = 5;
const OPEN_MS = 500;
const LATE = 'TIMEOUT Redis did not answer in time.';

export interface Arguments {
  readonly keys: readonly string[];
  readonly args: readonly (string | number | Uint8Array)[];
}

export interface ScriptCall extends Arguments {
  readonly script: RedisScript;
}

/** What became of one of several that ran together. */
export type Settled = PromiseSettledResult<readonly Buffer[]>;

export interface RedisLinkOptions extends ConnectionOptions {
  readonly onReady: () => void;
  /** Everything that goes wrong, as the code and the sentence that Redis or the system gave. */
  readonly onFault: (fault: RedisFault) => void;
}

/** What went wrong, without the command that met it: commands hold credentials and data. */
export interface RedisFault {
  /** Redis's own error code (`OOM`, `NOAUTH`, …), the system's (`ECONNREFUSED`), `TIMEOUT` or `ERR`. */
  readonly code: string;
  readonly message: string;
}

/**
 * One client with everything that bounds it: a deadline a call, a breaker, a cap
 * on the calls in flight. A call that cannot be made, or whose answer does not
 * come, rejects with `store_unavailable`.
 */
export class RedisLink {
  readonly client: RedisClient;
  readonly #options: RedisLinkOptions;
  readonly #breaker = new Breaker({
    failures: UNANSWERED_TO_OPEN,
    openMs: OPEN_MS,
    clock: () => performance.now(),
  });
  #inFlight = 0;
  /** While the client leaves a server that has become a replica. */
  #moving: Promise<void> | undefined;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.client = createClient(options);
    this.client.on('ready', options.onReady);
    this.client.on('error', (error: unknown) => options.onFault(describe(error)));
    this.client.on('node error', (error: unknown) => options.onFault(describe(error)));
    this.client.connect().catch(() => {
      // Told to `onFault` already; the client goes on trying.
    });
  }

  get connected(): boolean {
    return this.client.status === 'ready';
  }

  get ready(): boolean {
    return this.connected && this.#breaker.closed;
  }

  /** Runs one script; the reply's parts as bytes. */
  async run(call: ScriptCall): Promise<readonly Buffer[]> {
    return this.ask(() => this.#evaluate(call));
  }

  /** Runs one script and waits until `replicas` replicas have what it wrote. */
  async runReplicated(call: ScriptCall, replicas: number): Promise<readonly Buffer[]> {
    const waitMs = Math.floor(this.#options.commandTimeoutMs * 0.8);
    return this.ask(async () => {
      const { reply, acknowledged } = await this.#evaluateAndWait(call, replicas, waitMs);
      if (acknowledged < replicas) {
        throw new Error(`TOOFEW ${acknowledged} of ${replicas} replicas have the write.`);
      }
      return reply;
    });
  }

  /**
   * Runs one script, which may run twice, for each of these: in one write where there is one
   * server to write to. Each has its own reply or refusal; rejects when none was answered.
   */
  async runEach(script: RedisScript, each: readonly Arguments[]): Promise<readonly Settled[]> {
    const { client } = this;
    if (client instanceof Cluster || each.length === 1)
      return Promise.allSettled(each.map((one) => this.run({ script, ...one })));
    const results = await this.ask(() => this.#evaluateEach(client, script, each));
    return results.map(([error, reply]) =>
      error === null
        ? { status: 'fulfilled', value: toParts(reply) }
        : { status: 'rejected', reason: this.#refused(error) },
    );
  }

  /** Any command, within the bounds. */
  async ask<T>(attempt: () => Promise<T>): Promise<T> {
    if (!this.connected) throw unavailable('Redis is not connected.');
    if (this.#inFlight >= MAX_IN_FLIGHT) throw unavailable('Too many calls wait for Redis.');
    if (!this.#breaker.admit()) throw unavailable('Redis has stopped answering.');
    this.#inFlight += 1;
    const { commandTimeoutMs } = this.#options;
    const deadline = performance.now() + commandTimeoutMs;
    try {
      const result = await within({ ms: commandTimeoutMs, late: LATE }, this.#onPrimary(attempt, deadline));
      this.#breaker.settle(true);
      return result;
    } catch (error) {
      this.#breaker.settle(describe(error).code !== 'TIMEOUT');
      throw this.#refused(error);
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Leaves this connection for a new one, which may lead elsewhere. */
  reconnect(): void {
    if (this.client instanceof Redis) this.client.disconnect(true);
  }

  stop(): void {
    this.client.disconnect();
  }

  #refused(error: unknown): MeshError {
    const fault = describe(error);
    this.#options.onFault(fault);
    return unavailable(fault.message);
  }

  /** A write that met a replica was refused without effect: it is sent once more, to wherever the primary is now. */
  async #onPrimary<T>(attempt: () => Promise<T>, deadline: number): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!isReply(error, 'READONLY') || this.client instanceof Cluster) throw error;
      this.#moving ??= this.#move();
      await this.#moving;
      // Nobody waits any more: sending it now would only surprise the retry.
      if (performance.now() >= deadline) throw error;
      return attempt();
    }
  }

  async #move(): Promise<void> {
    const ready = untilReady(this.client);
    this.reconnect();
    try {
      await ready;
    } finally {
      this.#moving = undefined;
    }
  }

  async #evaluate(call: ScriptCall): Promise<readonly Buffer[]> {
    const { script } = call;
    const rest = argumentsOf(call);
    try {
      return toParts(await this.client.callBuffer('evalsha', script.sha, ...rest));
    } catch (error) {
      if (!isReply(error, 'NOSCRIPT')) throw error;
      return toParts(await this.client.callBuffer('eval', script.lua, ...rest));
    }
  }

  async #evaluateEach(client: Redis, script: RedisScript, each: readonly Arguments[]): Promise<Results> {
    const exec = async () => {
      const pipeline = client.pipeline();
      for (const one of each) pipeline.callBuffer('evalsha', script.sha, ...argumentsOf(one));
      return (await pipeline.exec()) ?? [];
    };
    let results = await exec();
    if (results.some(([error]) => isReply(error, 'NOSCRIPT'))) {
      await client.script('LOAD', script.lua);
      results = await exec();
    }
    const [moved] = results.find(([error]) => isReply(error, 'READONLY')) ?? [];
    const unanswered = results.every(([error]) => error !== null && !(error instanceof ReplyError));
    const error = moved ?? (unanswered ? results[0]?.[0] : null);
    if (error) throw error;
    return results;
  }

  /** WAIT speaks of its connection's writes, so both go out together. */
  async #evaluateAndWait(call: ScriptCall, replicas: number, waitMs: number) {
    const { script } = call;
    const rest = argumentsOf(call);
    let results = await this.client
      .pipeline()
      .callBuffer('evalsha', script.sha, ...rest)
      .wait(replicas, waitMs)
      .exec();
    if (isReply(results?.[0]?.[0], 'NOSCRIPT')) {
      results = await this.client
        .pipeline()
        .callBuffer('eval', script.lua, ...rest)
        .wait(replicas, waitMs)
        .exec();
    }
    const [evaluated, waited] = results ?? [];
    const error = evaluated?.[0] ?? waited?.[0];
    if (error) throw error;
    return { reply: toParts(evaluated?.[1]), acknowledged: Number(waited?.[1] ?? 0) };
  }
}

type Results = readonly (readonly [error: Error | null, reply: unknown])[];

/** Its callers' deadlines end the wait; a client that never becomes ready is ended by `stop`. */
function untilReady(client: RedisClient): Promise<void> {
  return new Promise((resolve, reject) => {
    const settled = (settle: () => void) => () => {
      client.off('ready', ready);
      client.off('end', ended);
      settle();
    };
    const ready = settled(resolve);
    const ended = settled(() => reject(new Error('The connection has ended.')));
    client.on('ready', ready);
    client.on('end', ended);
  });
}

function describe(error: unknown): RedisFault {
  if (!(error instanceof Error)) return { code: 'ERR', message: 'Redis failed.' };
  if (error.message === 'Command timed out')
    return { code: 'TIMEOUT', message: 'Redis did not answer in time.' };
  // "unknown command" quotes the arguments of the command, which may be a password.
  const message = (error.message.split(', with args')[0] ?? '').slice(0, 200);
  const system: unknown = Reflect.get(error, 'code');
  const code = /^([A-Z][A-Z0-9]+) /.exec(message)?.[1] ?? (typeof system === 'string' ? system : 'ERR');
  return { code, message };
}

function isReply(error: unknown, code: string): boolean {
  return error instanceof ReplyError && error instanceof Error && error.message.startsWith(code);
}

function argumentsOf({ keys, args }: Arguments): (string | number | Buffer)[] {
  return [keys.length, ...keys, ...args.map(toArgument)];
}

function toArgument(value: string | number | Uint8Array): string | number | Buffer {
  return typeof value === 'object' ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
}

function toParts(reply: unknown): readonly Buffer[] {
  if (!Array.isArray(reply)) throw new Error('ERR Redis gave an unexpected reply.');
  return reply.map((part: unknown) => {
    if (Buffer.isBuffer(part)) return part;
    throw new Error('ERR Redis gave an unexpected reply.');
  });
}
