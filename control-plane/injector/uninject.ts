import { forEachTemplate, type Injection, type TemplateOutcome } from './inject.ts';
import { isList, isMap, type Json, type Path } from './json.ts';
import { INJECT, STATUS } from './settings.ts';
import { CONTAINER, TLS_VOLUME, TOKEN_VOLUME } from './sidecar-container.ts';
import { readStatus, type Status } from './status.ts';
import type { TemplateEditor } from './template-editor.ts';

/**
 * Undoes what `inject` or `annotate` did last, by what their status annotation says:
 * `uninject(inject(x))` is `x`. What was changed by others since stays.
 */
export function uninject(object: Json): Injection {
  return forEachTemplate(object, undo);
}

function undo(template: TemplateEditor): TemplateOutcome {
  const text = template.annotations[STATUS];
  if (text === undefined) return { reason: 'not_injected' };
  const status = readStatus(text);
  if (status === undefined) return { reason: 'invalid_annotation', detail: STATUS };
  if (status.state === 'injected') removeSidecar(template, status);
  else removeMember(template, ['metadata', 'labels'], INJECT);
  if (status.before === undefined) removeMember(template, ['metadata', 'annotations'], STATUS);
  else template.setAnnotation(STATUS, status.before);
  for (const [place, before] of Object.entries(status.made).reverse()) {
    const path = pathOf(template, place);
    if (path !== undefined) unmake(template, path, before);
  }
  return { reason: 'uninjected' };
}

function removeSidecar(template: TemplateEditor, { env }: Status): void {
  removeNamed(template, ['spec', 'initContainers'], [CONTAINER]);
  removeNamed(template, ['spec', 'volumes'], [TOKEN_VOLUME, TLS_VOLUME]);
  for (const { path, key } of template.containers()) {
    removeNamed(template, [...path, 'env'], env[key] ?? []);
  }
}

/** The last of each name: ours were put behind what was there. */
function removeNamed(template: TemplateEditor, list: Path, names: readonly string[]): void {
  for (const name of names) {
    const index = template.namesIn(list).lastIndexOf(name);
    if (index >= 0) template.remove([...list, index]);
  }
}

function removeMember(template: TemplateEditor, group: Path, name: string): void {
  if (template.at([...group, name]) !== undefined) template.remove([...group, name]);
}

/** What was made is unmade where nothing else is in it by now. */
function unmake(template: TemplateEditor, path: Path, before: 'absent' | 'null'): void {
  const made = template.at(path);
  const size = isList(made) ? made.length : isMap(made) ? Object.keys(made).length : undefined;
  if (size !== 0) return;
  if (before === 'absent') template.remove(path);
  else template.add(path, null);
}

/** Where a place of the status annotation is; undefined where the container is gone. */
function pathOf(template: TemplateEditor, place: string): Path | undefined {
  const parts = place.split('/');
  if (parts[0] === 'spec' || parts[0] === 'metadata') return parts;
  const container = template.containers().find(({ key }) => `${key}/env` === place);
  return container && [...container.path, 'env'];
}
