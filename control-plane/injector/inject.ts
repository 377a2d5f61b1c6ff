import { VERSION } from '../../shared/version.ts';
import { type Edit, Editor } from './edits.ts';
import type { Json, Path } from './json.ts';
import { objection } from './objections.ts';
import { type DeclineReason, type Outcome, optInOf, type SuccessReason } from './outcomes.ts';
import { INJECT, type InjectionSettings, STATUS, VIRTUAL_SERVER } from './settings.ts';
import { APP_ENVIRONMENT, sidecarContainer, sidecarVolumes } from './sidecar-container.ts';
import { type Status, writeStatus } from './status.ts';
import { TemplateEditor } from './template-editor.ts';
import { templatesOf } from './workloads.ts';

/**
 * Gives the pods of a Kubernetes object a sidecar: the one function behind
 * `outrigger inject` and the admission webhook. It is pure, it does nothing to what
 * has a sidecar already, and what it does can be undone exactly (`uninject.ts`).
 */

export interface InjectOptions {
  readonly settings: InjectionSettings;
  /** Only pods that ask for a sidecar themselves get one: nobody else has asked. */
  readonly demandOptIn: boolean;
}

export interface Injection {
  /** The same object where nothing was changed. */
  readonly object: Json;
  /** The changes, in order: what makes the one of the other. */
  readonly edits: readonly Edit[];
  /** One for each pod or template, and for each object that has none. */
  readonly outcomes: readonly Outcome[];
}

export function inject(object: Json, options: InjectOptions): Injection {
  return forEachTemplate(object, (template) => {
    const declined = objection(template, options);
    if (declined !== undefined) return declined;
    addSidecar(template, options.settings);
    return { reason: 'injected' };
  });
}

/** Marks the pods of an object for the webhook, without giving them a sidecar. */
export function annotate(object: Json, options: InjectOptions): Injection {
  return forEachTemplate(object, (template) => {
    const declined = objection(template, options);
    if (declined !== undefined) return declined;
    if (optInOf(template.labels) === 'enabled') return { reason: 'already_annotated' };
    template.setLabel(INJECT, 'enabled');
    record(template, { state: 'annotated', env: {} });
    return { reason: 'annotated' };
  });
}

export interface TemplateOutcome {
  readonly reason: SuccessReason | DeclineReason;
  readonly detail?: string;
}

export function forEachTemplate(
  object: Json,
  change: (template: TemplateEditor) => TemplateOutcome,
): Injection {
  const editor = new Editor(object);
  const outcomes = templatesOf(object).map((found): Outcome => {
    if ('reason' in found) return { ...found.workload, reason: found.reason };
    return { ...found.workload, ...change(new TemplateEditor(editor, found.path)) };
  });
  return { object: editor.object, edits: editor.edits, outcomes };
}

function addSidecar(template: TemplateEditor, settings: InjectionSettings): void {
  const virtualServer = template.said(VIRTUAL_SERVER) ?? settings.virtualServer;
  const env: Record<string, readonly string[]> = {};
  for (const container of template.containers()) {
    const added = addEnvironment(template, container.path);
    if (added.length > 0) env[container.key] = added;
  }
  // Before all others: what starts after it may use it.
  template.insert(['spec', 'initContainers'], 0, sidecarContainer(settings, virtualServer));
  for (const volume of sidecarVolumes(settings)) template.append(['spec', 'volumes'], volume);
  record(template, { state: 'injected', env });
}

/** Variables that a container has already are its own. */
function addEnvironment(template: TemplateEditor, container: Path): readonly string[] {
  const known = new Set(template.namesIn([...container, 'env']));
  const missing = Object.entries(APP_ENVIRONMENT).filter(([name]) => !known.has(name));
  for (const [name, value] of missing) template.append([...container, 'env'], { name, value });
  return missing.map(([name]) => name);
}

function record(template: TemplateEditor, { state, env }: Pick<Status, 'state' | 'env'>): void {
  const before = template.annotations[STATUS];
  template.prepare(['metadata', 'annotations']);
  template.setAnnotation(STATUS, writeStatus({ state, version: VERSION, made: template.made, env, before }));
}
