import type { Explanation, SessionBackendView, SessionView } from '../wire.ts';
import { ask, explained } from './asking.ts';
import { byId, element, state } from './dom.ts';
import { ago, milliseconds, moment, own, span, words } from './format.ts';
import { principalOf } from './sessions.ts';
import { Table } from './table.ts';

/** What is known of one session, and what is wrong with it in words. */
export class ExplanationDialog {
  readonly #dialog = byId('explanation', HTMLDialogElement);
  readonly #title = byId('explanation-title', HTMLHeadingElement);
  readonly #body = byId('explanation-body', HTMLDivElement);
  readonly #now: () => number;
  #name = '';

  /** `now` is the clock of the replica that answers. */
  constructor(now: () => number) {
    this.#now = now;
    byId('close', HTMLButtonElement).addEventListener('click', () => this.close());
    byId('ask-again', HTMLButtonElement).addEventListener('click', () => void this.#look());
    this.#dialog.addEventListener('close', () => this.#body.replaceChildren());
  }

  open(name: string): void {
    this.#name = name;
    this.#title.textContent = `Session ${own(name).slice(0, 8)}…`;
    this.#body.replaceChildren(element('p', {}, 'Asking its owner …'));
    this.#dialog.showModal();
    this.#title.focus();
    void this.#look();
  }

  close(): void {
    this.#dialog.close();
  }

  async #look(): Promise<void> {
    const name = this.#name;
    const [told] = await Promise.allSettled([ask<Explanation>('explain', { name })]);
    if (name !== this.#name || !this.#dialog.open) return;
    const parts =
      told.status === 'fulfilled'
        ? this.#parts(told.value)
        : [element('p', { role: 'alert' }, explained(told.reason))];
    this.#body.replaceChildren(...parts);
  }

  #parts(told: Explanation): HTMLElement[] {
    const { findings, session, backends, lists } = told;
    const wrong =
      findings.length === 0
        ? element('p', { class: 'notice good', role: 'status' }, 'Nothing is wrong with it.')
        : element(
            'ul',
            { class: 'notice warn', role: 'status' },
            ...findings.map((each) => element('li', {}, each)),
          );
    const parts: HTMLElement[] = [wrong];
    if (session !== null) parts.push(facts(session, told, this.#now()));
    if (backends.length > 0) parts.push(element('h3', {}, 'Backends'), backendTable(backends, this.#now()));
    if (lists.length > 0) {
      const rows = lists.map((each) => ({
        key: `${each.list} ${each.sidecar}`,
        cells: [each.list, each.sidecar, words(each.state)],
      }));
      parts.push(
        element('h3', {}, 'Lists that sidecars answer'),
        tableOf('Lists', ['List', 'Sidecar', 'State'], rows),
      );
    }
    return parts;
  }
}

function facts(session: SessionView, told: Explanation, now: number): HTMLElement {
  const { replica, epoch, restores, client, createTime, useTime, idleExpireTime, expireTime } = session;
  const { streams, protocolVersion } = told;
  const left = (ms: number | undefined) => (ms === undefined ? '' : span(Math.max(0, ms - now)));
  const lines: (readonly [string, string])[] = [
    ['Name', own(session.name)],
    ['Principal', principalOf(session)],
    ['Issuer', session.principal?.issuer ?? ''],
    ['Client', `${client}${protocolVersion === '' ? '' : `, MCP ${protocolVersion}`}`],
    ['Owner', `replica ${replica}, epoch ${epoch}, restored ${restores} times`],
    ['State', words(told.state)],
    [
      'Life',
      `made ${ago(createTime, now)}, used ${ago(useTime, now)}; ends in ${left(milliseconds(idleExpireTime))} if idle, in ${left(milliseconds(expireTime))} in any case`,
    ],
  ];
  if (streams !== null) {
    const calls = streams.calls.length === 0 ? 'none' : streams.calls.join(', ');
    const listens = streams.listening ? 'the client listens' : 'the client does not listen';
    lines.push([
      'Streams',
      `${streams.attached} read, ${streams.resumable} to be resumed; ${listens}; calls: ${calls}`,
    ]);
  }
  const shown = lines.filter(([, value]) => value !== '');
  return element(
    'dl',
    { class: 'facts' },
    ...shown.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
}

const STATES = {
  OPEN: 'good',
  CONNECTING: 'warn',
  MISSING: 'bad',
  IDLE: 'none',
  NOT_CONFIGURED: 'bad',
} as const;

function backendTable(backends: readonly SessionBackendView[], now: number): HTMLElement {
  const rows = backends.map(
    ({
      name,
      state: told,
      sinceTime,
      reason,
      message,
      credentialStrategy,
      identityOutcome,
      identityTime,
    }) => ({
      key: name,
      cells: [
        own(name),
        state(
          told === 'OPEN' ? 'there' : words(told),
          Object.hasOwn(STATES, told) ? STATES[told as keyof typeof STATES] : 'none',
        ),
        sinceTime === null ? '' : `${moment(sinceTime)} (${ago(sinceTime, now)})`,
        [words(reason), message].filter((each) => each !== '').join(': '),
        words(credentialStrategy),
        identityOutcome === '' ? '' : `${words(identityOutcome)}, ${ago(identityTime, now)}`,
      ],
    }),
  );
  const columns = ['Backend', 'State', 'Missing since', 'Why', 'Credential', 'Last identity'];
  return tableOf('Backends of this session', columns, rows);
}

function tableOf(
  caption: string,
  columns: readonly string[],
  rows: Parameters<Table['show']>[0],
): HTMLElement {
  const holder = element('div');
  new Table(holder, { caption, columns, empty: '' }).show(rows);
  return holder;
}
