/** Making and changing what the page shows. Texts are only ever text: nothing here parses HTML. */

type Child = Node | string;

/** An element of the page that there must be. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(
  tag: string,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: readonly Child[]
): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** A word that says how something is; its colour repeats what the word says. */
export function state(word: string, kind: 'good' | 'warn' | 'bad' | 'none'): HTMLElement {
  return element('span', { class: `state ${kind}` }, word);
}

/** Changes children only where they look otherwise, so that focus and selection stay. */
export function fill(parent: Element, ...children: readonly Child[]): void {
  const wanted = element('div', {}, ...children);
  if (parent.innerHTML !== wanted.innerHTML) parent.replaceChildren(...wanted.childNodes);
}
