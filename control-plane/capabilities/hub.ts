import type { ListWatcher } from '../session/list-watcher.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import { CapabilityFeed, type FeedOptions, type FeedPort } from './feed.ts';

export type CapabilityHubOptions = Pick<
  FeedOptions,
  'clock' | 'lists' | 'key' | 'sessionIdleMs' | 'onPush' | 'onConverged'
>;

/** Which feeds have granted something of a session: what happens to its lists concerns them, and nobody else. */
export class CapabilityHub implements ListWatcher {
  readonly #options: CapabilityHubOptions;
  readonly #feeds = new Map<LiveSession, Set<CapabilityFeed>>();

  constructor(options: CapabilityHubOptions) {
    this.#options = options;
  }

  /** The feed of one sidecar, until it is closed. */
  open(port: FeedPort): CapabilityFeed {
    const feed: CapabilityFeed = new CapabilityFeed({
      ...this.#options,
      port,
      granting: (session, granting) => (granting ? this.#add(session, feed) : this.#remove(session, feed)),
    });
    return feed;
  }

  stale(session: LiveSession, kinds: readonly ListKind[]): void {
    for (const feed of this.#feeds.get(session) ?? []) feed.stale(session, kinds);
  }

  read(session: LiveSession): void {
    for (const feed of this.#feeds.get(session) ?? []) feed.read(session);
  }

  ended(session: LiveSession): void {
    for (const feed of [...(this.#feeds.get(session) ?? [])]) feed.ended(session);
  }

  granted(session: LiveSession): boolean {
    return this.#feeds.has(session);
  }

  #add(session: LiveSession, feed: CapabilityFeed): void {
    const feeds = this.#feeds.get(session) ?? new Set();
    this.#feeds.set(session, feeds.add(feed));
  }

  #remove(session: LiveSession, feed: CapabilityFeed): void {
    const feeds = this.#feeds.get(session);
    feeds?.delete(feed);
    if (feeds?.size === 0) this.#feeds.delete(session);
  }
}
