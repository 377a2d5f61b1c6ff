import type { EmbeddedAccess } from './embedded-access.ts';
import { END, pathOf, readParts, readState, type SessionPath } from './embedded-database.ts';
import { readCursor, writeCursor } from './page-cursor.ts';
import { isExpired, type RecordState } from './rules.ts';
import type { RecordKey, SessionListing, SessionStore } from './session-store.ts';
import type { ListingPart } from './store-parts.ts';

/** Which sessions there are in the folder: a principal's, and everybody's. */
export class EmbeddedListing implements ListingPart {
  readonly #access: EmbeddedAccess;

  constructor(access: EmbeddedAccess) {
    this.#access = access;
  }

  async listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]> {
    return this.#access.reading('listPrincipal', async () =>
      [...this.#live([principal, ''], [principal, END])]
        .map(({ key, state }) => ({ name: key.name, touchedAt: state.touchedAt }))
        .sort((a, b) => a.touchedAt - b.touchedAt),
    );
  }

  async list(page: { cursor?: string; limit: number }): ReturnType<SessionStore['list']> {
    const [principal, name] = page.cursor === undefined ? ['', ''] : readCursor(page.cursor);
    return this.#access.reading('list', async () => {
      const sessions: SessionListing[] = [];
      for (const { key, state } of this.#live([principal, name], undefined)) {
        const last = sessions.at(-1);
        if (last !== undefined && sessions.length === page.limit) {
          return { sessions, next: writeCursor(pathOf(last.key)) };
        }
        const parts = readParts(this.#access.database.parts.get(pathOf(key)));
        if (typeof parts === 'object') sessions.push({ key, header: state.header, summary: parts.summary });
      }
      return { sessions, next: undefined };
    });
  }

  *#live(
    after: SessionPath,
    end: SessionPath | undefined,
  ): Generator<{ key: RecordKey; state: RecordState }> {
    const now = Date.now();
    const range = { start: after, exclusiveStart: true, ...(end === undefined ? {} : { end }) };
    for (const { key, value } of this.#access.database.records.getRange(range)) {
      const state = readState(value);
      const [principal, name] = key;
      if (typeof state === 'object' && !isExpired(state, now)) yield { key: { principal, name }, state };
    }
  }
}
