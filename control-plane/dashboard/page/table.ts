import { element, fill } from './dom.ts';

type Cell = Node | string;

export interface Row {
  /** Names the row from one time to the next. */
  readonly key: string;
  /** The first one heads the row. */
  readonly cells: readonly Cell[];
  /** What can be done about it, named once. */
  readonly action?: { readonly label: string; readonly hint: string; readonly run: () => void };
}

export interface TableOptions {
  /** Said to whoever cannot see where it is. */
  readonly caption: string;
  readonly columns: readonly string[];
  /** Shown instead of no rows. */
  readonly empty: string;
}

/** A table whose rows change in place: one that stays keeps the focus that is in it. */
export class Table {
  readonly #body = element('tbody');
  readonly #rows = new Map<string, HTMLTableRowElement>();
  readonly #options: TableOptions;
  readonly #empty: HTMLElement;

  constructor(parent: HTMLElement, options: TableOptions) {
    this.#options = options;
    const heads = options.columns.map((name) => element('th', { scope: 'col' }, name));
    const table = element(
      'table',
      {},
      element('caption', { class: 'unseen' }, options.caption),
      element('thead', {}, element('tr', {}, ...heads)),
      this.#body,
    );
    this.#empty = element('p', { class: 'empty' }, options.empty);
    // Whoever has no mouse can scroll a table that is wider than the page.
    const frame = element('div', { class: 'frame', role: 'region', tabindex: '0' }, table);
    frame.setAttribute('aria-label', options.caption);
    parent.append(frame, this.#empty);
  }

  show(rows: readonly Row[]): void {
    const keys = new Set(rows.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    for (const [at, row] of rows.entries()) {
      const shown = this.#rows.get(row.key) ?? this.#make(row);
      const present = this.#body.children[at];
      if (present !== shown) this.#body.insertBefore(shown, present ?? null);
      for (const [index, cell] of row.cells.entries()) {
        const target = shown.cells[index];
        if (target !== undefined) fill(target, cell);
      }
    }
    this.#empty.hidden = rows.length > 0;
  }

  #make({ key, cells, action }: Row): HTMLTableRowElement {
    const made = element('tr');
    for (const index of cells.keys())
      made.append(index === 0 ? element('th', { scope: 'row' }) : element('td'));
    if (action !== undefined) {
      const button = element('button', { type: 'button', 'aria-label': action.hint }, action.label);
      button.addEventListener('click', action.run);
      made.append(element('td', {}, button));
    } else if (cells.length < this.#options.columns.length) made.append(element('td'));
    this.#rows.set(key, made);
    return made;
  }
}
