import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  type DocumentOptions,
  isCollection,
  isDocument,
  LineCounter,
  type ParseOptions,
  parseAllDocuments,
  parseDocument,
  Scalar,
  type SchemaOptions,
  stringify,
} from 'yaml';
import type { Injection } from './inject.ts';
import type { Json } from './json.ts';
import type { Outcome } from './outcomes.ts';
import { applyToDocument, expandAliases } from './yaml-edits.ts';

/**
 * Manifests as text: YAML with any number of documents, or JSON. A document that is
 * not changed stays as it is, to the byte; in one that is, comments and the order of
 * keys stay, and every value keeps the very letters in which it was written.
 */

/** A text that is no manifest: which document of it, where, and why. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
  /** Counted from one. */
  readonly document: number;
  readonly line: number;

  constructor(message: string, place: { readonly document: number; readonly line: number }) {
    super(message);
    this.document = place.document;
    this.line = place.line;
  }
}

export interface DocumentOutcome extends Outcome {
  /** Counted from one. */
  readonly document: number;
  readonly line: number;
}

export interface ChangedManifest {
  readonly text: string;
  readonly outcomes: readonly DocumentOutcome[];
}

/** Throws `ManifestError`. */
export function changeManifest(text: string, change: (object: Json) => Injection): ChangedManifest {
  const json = readJson(text);
  if (json !== undefined) return changeJson(json, { text, change });
  const lines = new LineCounter();
  const documents = documentsOf(text, { ...AS_WRITTEN, lineCounter: lines });
  const read = documentsOf(text, AS_KUBERNETES_READS);
  const outcomes: DocumentOutcome[] = [];
  let out = '';
  let cursor = 0;
  for (const [index, document] of documents.entries()) {
    const [start, , end] = document.range;
    const place = { document: index + 1, line: lines.linePos(contentStart(document) ?? start).line };
    const object = objectOf(document, read[index], place);
    const changed = object === undefined ? undefined : change(object);
    for (const outcome of changed?.outcomes ?? []) outcomes.push({ ...outcome, ...place });
    if (object === undefined || changed === undefined || changed.edits.length === 0) {
      out += text.slice(cursor, end);
    } else {
      // A comment above the first document is part of it; between two there is nothing but their marker.
      const gap = index === 0 ? '' : text.slice(cursor, start);
      out += gap + rewritten(document, { injection: changed, object, text, source: text.slice(start, end) });
    }
    cursor = end;
  }
  return { text: out + text.slice(cursor), outcomes };
}

/** Every plain word is a text, so that `0644`, `1.10` and `yes` are written as they were; only what is nothing is null. */
const AS_WRITTEN: YamlOptions = { schema: 'failsafe', customTags: ['null'], prettyErrors: false };
/** Kubernetes reads YAML 1.1: there `yes` is true, `0644` is octal, and `<<` merges. */
const AS_KUBERNETES_READS: YamlOptions = { version: '1.1', prettyErrors: false };

type YamlOptions = ParseOptions & DocumentOptions & SchemaOptions;

/** What a document may be blown up by its aliases. */
const MAX_ALIASES = 1_000;

type ReadDocument = Document.Parsed & { readonly range: [number, number, number] };

function documentsOf(text: string, options: YamlOptions): readonly ReadDocument[] {
  const parsed = parseAllDocuments(text, options);
  return Array.isArray(parsed) ? parsed.filter(isDocument).map((each) => each as ReadDocument) : [];
}

/** Undefined: there is nothing in it. */
function objectOf(
  written: ReadDocument,
  read: ReadDocument | undefined,
  place: { readonly document: number; readonly line: number },
): Json | undefined {
  const error = written.errors[0] ?? read?.errors[0];
  if (error !== undefined) {
    throw new ManifestError(`not valid YAML (${error.code.toLowerCase().replaceAll('_', ' ')})`, place);
  }
  let value: unknown;
  try {
    value = read?.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    throw new ManifestError('its aliases cannot be resolved', place);
  }
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw new ManifestError('expected an object', place);
  return value as Json;
}

interface Rewriting {
  readonly injection: Injection;
  readonly object: Json;
  /** Of the whole, which shows how it is laid out. */
  readonly text: string;
  /** Of the document. */
  readonly source: string;
}

/**
 * What was written is read again. Where one anchor serves what is changed and what is
 * not, that tells; then every alias is replaced by what it stands for.
 */
function rewritten(document: ReadDocument, rewriting: Rewriting): string {
  const first = written(document.clone() as ReadDocument, rewriting);
  if (says(first, rewriting.injection.object)) return first;
  expandAliases(document);
  const second = written(document, rewriting);
  if (says(second, rewriting.injection.object)) return second;
  throw new Error('the changed document does not say what it should');
}

function written(document: ReadDocument, { injection, object, text, source }: Rewriting): string {
  applyToDocument(document, { object, edits: injection.edits, create: asWritten });
  const end = /^\.\.\.[ \t]*(?:#.*)?\r?\n?$/m.test(source) ? '...\n' : '';
  const lines = `${document.toString({ ...layoutOf(text), lineWidth: 0, nullStr: '' })}${end}`;
  return source.includes('\r\n') ? lines.replaceAll('\n', '\r\n') : lines;
}

function says(text: string, object: Json): boolean {
  return isDeepStrictEqual(
    parseDocument(text, AS_KUBERNETES_READS).toJS({ maxAliasCount: MAX_ALIASES }),
    object,
  );
}

/** A value in YAML that means the same in both versions, as nodes of a document in which every word is a text. */
function asWritten(value: Json): unknown {
  if (value === null) return new Scalar(null);
  const text = stringify(value, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false });
  const node = parseDocument(text, AS_WRITTEN).contents;
  // It is empty now; what is put into it later stands in lines of its own.
  if (isCollection(node)) node.flow = false;
  return node;
}

/** How a text is indented, by its first group in a group and its first list in a group, and how its braces are spaced. */
function layoutOf(text: string): { indent: number; indentSeq: boolean; flowCollectionPadding: boolean } {
  const group = /^[^\s#-][^\n]*:[ \t]*\n(?:[ \t]*(?:#[^\n]*)?\n)*( +)[^\s#-]/m.exec(text);
  const list = /^( *)(?:- +)*[^\s#-][^\n]*:[ \t]*\n(?:[ \t]*(?:#[^\n]*)?\n)*( *)- /m.exec(text);
  return {
    indent: group?.[1]?.length ?? 2,
    indentSeq: list === null || (list[2] ?? '').length > (list[1] ?? '').length,
    flowCollectionPadding: !/\s[{[]["'\w]/.test(text),
  };
}

function contentStart(document: ReadDocument): number | undefined {
  return document.contents?.range?.[0];
}

function readJson(text: string): Json | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function changeJson(
  object: Json,
  { text, change }: { readonly text: string; readonly change: (object: Json) => Injection },
): ChangedManifest {
  const place = { document: 1, line: 1 };
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw new ManifestError('expected an object', place);
  }
  const changed = change(object);
  const indent = /\n([ \t]+)\S/.exec(text)?.[1];
  return {
    text: changed.edits.length === 0 ? text : `${JSON.stringify(changed.object, null, indent)}\n`,
    outcomes: changed.outcomes.map((outcome) => ({ ...outcome, ...place })),
  };
}
