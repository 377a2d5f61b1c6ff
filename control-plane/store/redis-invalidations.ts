import type { Redis } from 'ioredis';
import { reconnectDelay } from './redis-connection.ts';
import type { InvalidationListener } from './session-store.ts';

const CHECK_INTERVAL_MS = 1000;

export interface InvalidationOptions {
  readonly channel: string;
  /** This store's own mark: it does not hear of its own writes. */
  readonly origin: string;
  readonly subscriber: (attempt: number) => Redis;
}

/**
 * Hears of other replicas' writes over pub/sub, while somebody listens. Whatever
 * was published during a gap is lost, so listeners hear null whenever the connection
 * is there again. Its loss alone says nothing: until their lease ends owners go on,
 * also when all of Redis is away.
 */
export class RedisInvalidations {
  readonly #options: InvalidationOptions;
  readonly #listeners = new Set<InvalidationListener>();
  #client: Redis | undefined;
  #retry: NodeJS.Timeout | undefined;
  #check: NodeJS.Timeout | undefined;
  #attempt = 0;

  constructor(options: InvalidationOptions) {
    this.#options = options;
  }

  watch(listener: InvalidationListener): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#connect();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.stop();
    };
  }

  /** Tells every listener; null means that everything may have changed. */
  tell(name: string | null): void {
    for (const listener of this.#listeners) listener(name);
  }

  /** The connection of the moment, while somebody listens. */
  get client(): Redis | undefined {
    return this.#client;
  }

  /** Leaves this connection for a new one, which may lead elsewhere. */
  reconnect(): void {
    this.#client?.disconnect();
  }

  stop(): void {
    this.#listeners.clear();
    clearTimeout(this.#retry);
    clearInterval(this.#check);
    this.#client?.disconnect();
    this.#client = undefined;
  }

  /** The message that announces a change of this record to the others. */
  message(name: string): string {
    return `${this.#options.origin} ${name}`;
  }

  #connect(): void {
    const client = this.#options.subscriber(this.#attempt);
    this.#client = client;
    this.#attempt += 1;
    client.on('error', () => {
      // Followed by `end`, which is acted upon.
    });
    client.once('end', () => this.#lost(client));
    client.on('message', (_channel: string, message: string) => this.#heard(message));
    this.#arm(client).catch(() => client.disconnect());
  }

  async #arm(client: Redis): Promise<void> {
    await client.connect();
    await client.subscribe(this.#options.channel);
    this.#attempt = 0;
    this.tell(null);
    // A path that swallows everything looks like silence: ask.
    this.#check = setInterval(() => {
      client.ping().catch(() => client.disconnect());
    }, CHECK_INTERVAL_MS);
    this.#check.unref();
  }

  #lost(client: Redis): void {
    if (this.#client !== client) return;
    clearInterval(this.#check);
    this.#retry = setTimeout(() => this.#connect(), reconnectDelay(this.#attempt));
    this.#retry.unref();
  }

  #heard(message: string): void {
    const [origin, name] = message.split(' ');
    if (name !== undefined && origin !== this.#options.origin) this.tell(name);
  }
}
