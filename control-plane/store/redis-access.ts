import type { StoreHooks } from './hooks.ts';
import { timed, unavailable } from './operation.ts';
import type { RedisAlarms } from './redis-alarms.ts';
import type { ConnectionOptions } from './redis-connection.ts';
import type { RedisInvalidations } from './redis-invalidations.ts';
import { type Arguments, RedisLink, type ScriptCall, type Settled } from './redis-link.ts';
import { RedisPulse } from './redis-pulse.ts';
import type { Reply } from './redis-replies.ts';
import type { RedisScript } from './redis-script.ts';
import { RedisSentinels } from './redis-sentinels.ts';

export interface RedisAccessOptions {
  readonly connection: ConnectionOptions;
  /** How many replicas must have a write. */
  readonly waitReplicas: number;
  /** The key whose loss shows that the server was emptied. */
  readonly generation: string;
  readonly hooks: StoreHooks;
  readonly alarms: RedisAlarms;
  readonly invalidations: RedisInvalidations;
  /** After every beat at which Redis answered. */
  readonly onBeat: () => Promise<void>;
}

/** The way to Redis: its connections, kept on the primary, and how operations use them. */
export class RedisAccess {
  readonly #options: RedisAccessOptions;
  readonly #commands: RedisLink;
  /** Writes that wait for replicas have a connection of their own, as WAIT holds up what comes after it. */
  readonly #writes: RedisLink;
  readonly #sentinels: RedisSentinels | undefined;
  readonly #pulse: RedisPulse;

  constructor(options: RedisAccessOptions) {
    const { connection, waitReplicas, generation, alarms, invalidations, onBeat } = options;
    this.#options = options;
    const link = {
      ...connection,
      onReady: () => this.#pulse.beat(),
      onFault: alarms.onFault,
    };
    this.#commands = new RedisLink(link);
    this.#writes = waitReplicas > 0 ? new RedisLink(link) : this.#commands;
    const { target } = connection;
    this.#sentinels =
      target.kind === 'sentinel' ? new RedisSentinels({ ...connection, ...target }) : undefined;
    this.#pulse = new RedisPulse({
      link: this.#commands,
      generation,
      mustNotEvict: waitReplicas > 0,
      alarms,
      onFlushed: () => invalidations.tell(null),
      beforeBeat: () => this.#followPrimary(),
      onBeat,
    });
  }

  /** Resolves when Redis has answered once, or did not within the command timeout. Answers why it is refused, for people, if it is. */
  async first(): Promise<string | undefined> {
    await this.#pulse.first(this.#options.connection.commandTimeoutMs);
    return this.#pulse.refusal;
  }

  get ready(): boolean {
    return this.#usable && this.#pulse.healthy && this.#commands.ready && this.#writes.connected;
  }

  /** Whether a write waits for replicas, as the scripts are told. */
  get durable(): '1' | '0' {
    return this.#options.waitReplicas > 0 ? '1' : '0';
  }

  now(): Promise<number> {
    return this.#pulse.now();
  }

  /** Runs a script; what it writes, if it writes, need not have reached a replica. */
  read(operation: string, call: ScriptCall): Promise<Reply> {
    return this.ask(operation, (link) => link.run(call));
  }

  /** The same for each of these together, of a script that may run twice. */
  readEach(operation: string, script: RedisScript, each: readonly Arguments[]): Promise<readonly Settled[]> {
    return this.ask(operation, (link) => link.runEach(script, each));
  }

  /** Runs a script whose write is a success only when the replicas have it. */
  write(operation: string, call: ScriptCall): Promise<Reply> {
    const { waitReplicas } = this.#options;
    if (waitReplicas === 0) return this.read(operation, call);
    return this.#timed(operation, () => this.#writes.runReplicated(call, waitReplicas));
  }

  /** Anything else that an operation asks. */
  ask<T>(operation: string, question: (link: RedisLink) => Promise<T>): Promise<T> {
    return this.#timed(operation, () => question(this.#commands));
  }

  /** What may fail without harm: leftovers expire, and the index is repaired by its readers. Answers whether it went well. */
  async besides(work: (link: RedisLink) => Promise<unknown>): Promise<boolean> {
    try {
      await work(this.#commands);
      return true;
    } catch {
      return false;
    }
  }

  stop(): void {
    this.#pulse.stop();
    this.#sentinels?.stop();
    this.#commands.stop();
    this.#writes.stop();
  }

  /** Until the server is known not to evict, nothing that must last may rest on it. */
  get #usable(): boolean {
    return this.#options.waitReplicas === 0 || this.#pulse.trusted;
  }

  async #timed<T>(operation: string, run: () => Promise<T>): Promise<T> {
    if (!this.#usable) throw unavailable('Redis is not known to keep what it is given.');
    return timed({ hooks: this.#options.hooks, operation }, run);
  }

  async #followPrimary(): Promise<void> {
    const { invalidations } = this.#options;
    for (const connection of new Set([this.#commands, this.#writes, invalidations])) {
      const { client } = connection;
      if (client?.status === 'ready' && (await this.#sentinels?.disown(client))) connection.reconnect();
    }
  }
}
