import { isIP, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { type RedisClient, type RedisTarget, reconnectDelay } from './redis-connection.ts';
import type { RedisTls } from './settings.ts';

export interface SentinelOptions {
  readonly sentinel: Extract<RedisTarget, { kind: 'sentinel' }>['sentinel'];
  readonly tls: RedisTls | undefined;
  readonly commandTimeoutMs: number;
}

/**
 * Knows which server the sentinels take for the primary. A former primary that
 * comes back, or was only frozen, believes for many seconds that it still is one,
 * and says nothing: so a connection is checked against what most sentinels say.
 */
export class RedisSentinels {
  readonly #name: string;
  readonly #clients: readonly Redis[];

  constructor({ sentinel, tls, commandTimeoutMs }: SentinelOptions) {
    this.#name = sentinel.name;
    const { sentinelUsername: username, sentinelPassword: password } = sentinel;
    this.#clients = sentinel.nodes.map((node) => {
      const client = new Redis({
        ...node,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : { tls: { ...tls } }),
        enableReadyCheck: false,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        commandTimeout: commandTimeoutMs,
        connectTimeout: commandTimeoutMs,
        retryStrategy: reconnectDelay,
      });
      client.on('error', () => {
        // A sentinel that is away has no voice.
      });
      return client;
    });
  }

  /** Whether most sentinels say that the primary is another server than the one that `client` talks to. */
  async disown(client: RedisClient): Promise<boolean> {
    if (!(client instanceof Redis)) return false;
    const answers = await Promise.all(this.#clients.map((sentinel) => this.#primaryOf(sentinel)));
    const { remoteAddress, remotePort } = (client.stream as Socket | undefined) ?? {};
    if (remoteAddress === undefined) return false;
    const elsewhere = answers.filter(
      (answer) =>
        answer !== undefined &&
        (answer.port !== remotePort || (isIP(answer.host) !== 0 && answer.host !== remoteAddress)),
    );
    return elsewhere.length > this.#clients.length / 2;
  }

  stop(): void {
    for (const client of this.#clients) client.disconnect();
  }

  async #primaryOf(sentinel: Redis): Promise<{ host: string; port: number } | undefined> {
    const answer: unknown = await sentinel
      .call('sentinel', 'get-master-addr-by-name', this.#name)
      .catch(() => undefined);
    if (!Array.isArray(answer)) return undefined;
    const [host, port]: unknown[] = answer;
    return { host: String(host), port: Number(port) };
  }
}
