import type { SessionPage, SessionView } from '../wire.ts';
import { AskError, ask, explained } from './asking.ts';
import { byId, element } from './dom.ts';
import { ago, number, own } from './format.ts';
import { type Row, Table } from './table.ts';

export interface SessionsOptions {
  /** Shows what is known of one. */
  readonly explain: (name: string) => void;
  /** Asks again, at once. */
  readonly look: () => void;
}

/** One page of the sessions of all replicas. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #table: Table;
  readonly #problem = byId('filter-problem', HTMLParagraphElement);
  readonly #previous = byId('previous', HTMLButtonElement);
  readonly #next = byId('next', HTMLButtonElement);
  #filter = '';
  /** Of this page and those before it. */
  #tokens: readonly string[] = [''];
  #nextToken = '';

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#table = new Table(byId('session-table', HTMLDivElement), {
      caption: 'Sessions of all replicas',
      columns: ['Session', 'Principal', 'Client', 'Backends', 'Replica', 'Restores', 'Made', 'Used', 'Why?'],
      empty: 'There are no such sessions.',
    });
    const input = byId('filter', HTMLInputElement);
    byId('session-filter', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#filter = input.value;
      this.#turn(['']);
    });
    this.#previous.addEventListener('click', () => this.#turn(this.#tokens.slice(0, -1)));
    this.#next.addEventListener('click', () => this.#turn([...this.#tokens, this.#nextToken]));
  }

  /** Rejects with `AskError` where nobody may ask; what else is wrong is said beside the filter. */
  async poll(now: () => number): Promise<void> {
    const asked = { filter: this.#filter, pageToken: this.#tokens.at(-1) ?? '' };
    try {
      const page = await ask<SessionPage>('sessions', asked);
      // Somebody has turned the page meanwhile.
      if (asked.filter !== this.#filter || asked.pageToken !== this.#tokens.at(-1)) return;
      this.#show(page, now());
    } catch (thrown) {
      if (thrown instanceof AskError && thrown.refused) throw thrown;
      this.#problem.textContent = explained(thrown);
      this.#problem.hidden = false;
    }
  }

  clear(): void {
    this.#table.show([]);
    this.#tokens = [''];
  }

  #turn(tokens: readonly string[]): void {
    this.#tokens = tokens.length === 0 ? [''] : tokens;
    this.#options.look();
  }

  #show({ sessions, nextPageToken }: SessionPage, now: number): void {
    this.#problem.hidden = true;
    this.#nextToken = nextPageToken;
    this.#previous.disabled = this.#tokens.length <= 1;
    this.#next.disabled = nextPageToken === '';
    this.#table.show(sessions.map((session) => this.#row(session, now)));
  }

  #row(session: SessionView, now: number): Row {
    const { name, client, backends, replica, restores, createTime, useTime } = session;
    const who = principalOf(session);
    return {
      key: name,
      cells: [
        element('code', { title: own(name) }, `${own(name).slice(0, 8)}…`),
        who,
        client,
        backends.join(', '),
        replica,
        number(restores),
        ago(createTime, now),
        ago(useTime, now),
      ],
      action: {
        label: 'Explain',
        hint: `Explain session ${own(name).slice(0, 8)} of ${who}`,
        run: () => this.#options.explain(name),
      },
    };
  }
}

export function principalOf({ principal }: SessionView): string {
  if (principal === null || principal.subject === '') return 'anonymous';
  return principal.tenant === '' ? principal.subject : `${principal.subject} (${principal.tenant})`;
}
