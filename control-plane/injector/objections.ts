import type { InjectOptions, TemplateOutcome } from './inject.ts';
import { isList, isMap, type Json } from './json.ts';
import { optInOf } from './outcomes.ts';
import { INJECT, STATUS, VIRTUAL_SERVER } from './settings.ts';
import { CONTAINER, PORTS, TLS_VOLUME, TOKEN_VOLUME } from './sidecar-container.ts';
import { readStatus } from './status.ts';
import type { TemplateEditor } from './template-editor.ts';

/** Set by a node for the pods that it runs by itself. */
const MIRROR = 'kubernetes.io/config.mirror';
/** As a sidecar takes it. */
const VIRTUAL_SERVER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Why a pod or template gets no sidecar; undefined: it gets one. */
export function objection(template: TemplateEditor, options: InjectOptions): TemplateOutcome | undefined {
  return malformed(template) ?? alreadyThere(template) ?? unwished(template, options) ?? impossible(template);
}

/** What we could only break further. */
function malformed(template: TemplateEditor): TemplateOutcome | undefined {
  const groups = [['metadata'], ['metadata', 'labels'], ['metadata', 'annotations']];
  for (const path of groups) {
    if (!isAbsentOr(isMap, template.at(path))) return invalid(path);
  }
  for (const path of [
    ['spec', 'initContainers'],
    ['spec', 'volumes'],
  ]) {
    if (!isAbsentOr(isList, template.at(path))) return invalid(path);
  }
  if (template.items(['spec', 'containers']).length === 0) return invalid(['spec', 'containers']);
  const keys = template.containers().map(({ key }) => key);
  if (new Set(keys).size < keys.length || keys.some((key) => key.endsWith('/'))) {
    return invalid(['spec', 'containers']);
  }
  for (const { path, key } of template.containers()) {
    if (!isAbsentOr(isList, template.at([...path, 'env']))) return invalid([key, 'env']);
  }
  return undefined;
}

function alreadyThere(template: TemplateEditor): TemplateOutcome | undefined {
  const text = template.annotations[STATUS];
  const status = text === undefined ? undefined : readStatus(text);
  if (text !== undefined && status === undefined) return { reason: 'invalid_annotation', detail: STATUS };
  const there = template.namesIn(['spec', 'initContainers']).includes(CONTAINER);
  if (status?.state !== 'injected') return undefined;
  // A status without its sidecar was copied from elsewhere, and what it says of this template is wrong.
  return there ? { reason: 'already_injected' } : { reason: 'invalid_annotation', detail: STATUS };
}

/** Who says no is heard, wherever that is said. */
function unwished(template: TemplateEditor, { demandOptIn }: InjectOptions): TemplateOutcome | undefined {
  const said = [optInOf(template.labels), optInOf(template.annotations)];
  if (said.includes('disabled')) return { reason: 'opted_out' };
  if (said.includes('unclear')) return { reason: 'invalid_annotation', detail: INJECT };
  return demandOptIn && !said.includes('enabled') ? { reason: 'not_opted_in' } : undefined;
}

function impossible(template: TemplateEditor): TemplateOutcome | undefined {
  const server = template.said(VIRTUAL_SERVER);
  if (server !== undefined && !VIRTUAL_SERVER_NAME.test(server)) {
    return { reason: 'invalid_annotation', detail: VIRTUAL_SERVER };
  }
  if (template.annotations[MIRROR] !== undefined) return { reason: 'static_pod' };
  if (template.at(['spec', 'os', 'name']) === 'windows') return { reason: 'windows' };
  if (template.at(['spec', 'hostNetwork']) === true) return { reason: 'host_network' };
  const names = [
    ...template.namesIn(['spec', 'initContainers']),
    ...template.namesIn(['spec', 'containers']),
  ];
  if (names.includes(CONTAINER)) return { reason: 'name_conflict', detail: CONTAINER };
  const volume = template
    .namesIn(['spec', 'volumes'])
    .find((name) => name === TOKEN_VOLUME || name === TLS_VOLUME);
  if (volume !== undefined) return { reason: 'name_conflict', detail: volume };
  const port = template.containers().flatMap(({ path }) => portsOf(template.items([...path, 'ports'])))[0];
  return port === undefined ? undefined : { reason: 'port_conflict', detail: String(port) };
}

/** Those of the sidecar's. */
function portsOf(ports: readonly Json[]): readonly number[] {
  const declared = ports.map((port) => (isMap(port) ? port['containerPort'] : undefined));
  return PORTS.filter((port) => declared.includes(port));
}

function isAbsentOr(is: (value: Json | undefined) => boolean, value: Json | undefined): boolean {
  return value === undefined || value === null || is(value);
}

function invalid(path: readonly string[]): TemplateOutcome {
  return { reason: 'invalid_template', detail: path.join('.') };
}
