import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a path does to the bytes on it, in both directions. */
export interface PathFaults {
  /** Every piece arrives this much later. */
  readonly delayMs?: number;
  /** Pieces of at most this many bytes. */
  readonly sliceBytes?: number;
  /** Nothing arrives, and nobody is told: a black hole. What was sent meanwhile arrives after `heal`, as TCP would send it again. */
  readonly swallow?: boolean;
  /** New connections are accepted and reset at once. */
  readonly refuse?: boolean;
}

export interface TcpProxy {
  readonly host: string;
  readonly port: number;
  /** Connections open at this moment. */
  readonly connections: number;
  /** Connections accepted so far. */
  readonly accepted: number;
  /** Replaces the faults; those of the moment, on old and new connections. */
  set(faults: PathFaults): void;
  /** A perfect path again. */
  heal(): void;
  /** Ends all open connections in an orderly way (FIN). */
  cut(): void;
  /** Ends all open connections with a reset (RST). */
  reset(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A plain TCP proxy on 127.0.0.1 in front of `target`, whose path can be made bad at run time. */
export async function startProxy(target: {
  readonly host?: string;
  readonly port: number;
}): Promise<TcpProxy> {
  const proxy = new RunningProxy(target.host ?? '127.0.0.1', target.port);
  await proxy.listen();
  return proxy;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

class RunningProxy implements TcpProxy {
  readonly host = '127.0.0.1';
  readonly #target: { host: string; port: number };
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #pairs = new Set<Pair>();
  #faults: PathFaults = {};
  #healed: () => void = () => {};
  #healing: Promise<void> = Promise.resolve();
  accepted = 0;

  constructor(host: string, port: number) {
    this.#target = { host, port };
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, this.host);
    await once(this.#server, 'listening');
  }

  set(faults: PathFaults): void {
    this.#faults = faults;
    this.#healed();
    this.#healing = new Promise((resolve) => {
      this.#healed = resolve;
    });
  }

  heal(): void {
    this.set({});
  }

  cut(): void {
    for (const { near, far } of this.#pairs) {
      near.end();
      far.end();
      near.destroySoon();
      far.destroySoon();
    }
  }

  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.reset();
    await closed;
  }

  #accept(near: Socket): void {
    this.accepted += 1;
    if (this.#faults.refuse === true) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#target);
    const pair = { near, far };
    this.#pairs.add(pair);
    near.setNoDelay(true);
    far.setNoDelay(true);
    const ended = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.on('error', ended);
      socket.on('close', ended);
    }
    void this.#carry(near, far);
    void this.#carry(far, near);
  }

  async #carry(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from) {
        await this.#deliver(chunk as Buffer, to);
      }
      to.end();
    } catch {
      // One side is gone; `ended` takes the other with it.
    }
  }

  async #deliver(chunk: Buffer, to: Socket): Promise<void> {
    while (this.#faults.swallow === true && !to.destroyed) await this.#healing;
    const { delayMs = 0, sliceBytes = chunk.length } = this.#faults;
    if (delayMs > 0) await sleep(delayMs);
    for (let at = 0; at < chunk.length; at += sliceBytes) {
      if (to.destroyed) return;
      // Waiting for each write keeps the pieces apart and a slow reader slow.
      await new Promise<void>((resolve) => to.write(chunk.subarray(at, at + sliceBytes), () => resolve()));
    }
  }
}
