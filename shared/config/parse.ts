import * as v from 'valibot';
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { EXIT_USAGE, ExitError } from '../lifecycle.ts';
import { type Environment, expandVariables, type Path, type Problem } from './variables.ts';

/**
 * A configuration file, YAML or JSON (which is YAML), checked strictly and as a
 * whole: every problem is told, with its place in the file and its path, and no
 * value is ever part of the message, because any of them may be a secret.
 */

/** One thing that is wrong. */
export interface ConfigFault {
  /** Empty where it is in no place of the file. */
  readonly path: Path;
  /** For people, with its place in the file. */
  readonly line: string;
}

/** What is wrong with a configuration, one line a problem. Ends the program with code 64. */
export class ConfigError extends ExitError {
  override readonly name = 'ConfigError';
  readonly faults: readonly ConfigFault[];

  constructor(problems: readonly (string | ConfigFault)[]) {
    const faults = problems.map((each) => (typeof each === 'string' ? { path: [], line: each } : each));
    super(faults.map(({ line }) => line).join('\n'), EXIT_USAGE);
    this.faults = faults;
  }
}

export interface ParseOptions {
  /** How messages name the file. */
  readonly file: string;
  readonly env: Environment;
}

/** A parsed file that can still tell where in it a path stands. */
export interface Parsed<Output> {
  readonly value: Output;
  /** The same error that the schema's own problems give, for checks that a schema cannot say. */
  refuse(problems: readonly Problem[]): ConfigError;
}

/** Throws `ConfigError`. */
export function parseConfig<Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
  options: ParseOptions,
): Parsed<v.InferOutput<Schema>> {
  const source = readSource(text, options.file);
  const problems: Problem[] = [];
  const expanded = expandVariables(source.document ?? {}, options.env, problems);
  const result = validate(schema, expanded, problems);
  const refuse = (found: readonly Problem[]) => new ConfigError(source.tell(found));
  if (result === undefined || problems.length > 0) throw refuse(problems);
  return { value: result.output, refuse };
}

/** How a path is written in messages: `mcpServers.files.args[0]`. */
function showPath(path: Path): string {
  return path.reduce<string>((shown, key) => {
    if (typeof key === 'number') return `${shown}[${key}]`;
    if (!/^[A-Za-z0-9_-]+$/.test(key)) return `${shown}[${JSON.stringify(key)}]`;
    return shown === '' ? key : `${shown}.${key}`;
  }, '');
}

interface Source {
  readonly document: unknown;
  /** In the order of the file. */
  tell(problems: readonly Problem[]): ConfigFault[];
}

function readSource(text: string, file: string): Source {
  const lines = new LineCounter();
  const parsed = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  if (parsed.errors.length > 0) {
    throw new ConfigError(parsed.errors.map((each) => `${at(each.pos[0])}: ${syntaxProblem(each.code)}`));
  }
  return {
    document: parsed.toJS({ maxAliasCount: 100 }),
    tell(problems) {
      const placed = problems.map((problem) => ({
        ...problem,
        offset: offsetOf(parsed.contents, problem.path),
      }));
      placed.sort((one, other) => (one.offset ?? 0) - (other.offset ?? 0));
      return placed.map(({ path, message, offset }) => {
        const where = offset === undefined ? file : at(offset);
        const shown = path.length === 0 ? '' : ` ${showPath(path)}:`;
        return { path, line: `${where}:${shown} ${message}` };
      });
    },
  };
}

/** The parser's own sentences quote the file; its codes do not. */
function syntaxProblem(code: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key stands here twice';
  return `not valid YAML or JSON (${code.toLowerCase().replaceAll('_', ' ')})`;
}

/** Where the deepest part of the path that the file has stands. */
function offsetOf(contents: unknown, path: Path): number | undefined {
  let node = contents;
  let offset: number | undefined;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((each) => isScalar(each.key) && String(each.key.value) === key);
      if (pair === undefined) return offset;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = (isNode(node) ? node.range?.[0] : undefined) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

/**
 * A strict object stops at its first unknown key. So that all of them are told,
 * each found one is taken away and the rest is looked at again.
 */
function validate<Schema extends v.GenericSchema>(schema: Schema, input: unknown, problems: Problem[]) {
  for (;;) {
    const result = v.safeParse(schema, input);
    if (result.success) return result;
    const unknown = result.issues.filter(
      (each) => each.expected === 'never' && each.type === 'strict_object',
    );
    const told = unknown.length > 0 ? unknown : result.issues;
    for (const issue of told) {
      const path = pathOf(issue);
      // A text that could not be expanded is its own problem, not also one of what is left of it.
      if (!problems.some((each) => showPath(each.path) === showPath(path))) {
        problems.push({ path, message: issue.message });
      }
    }
    if (unknown.length === 0) return undefined;
    for (const issue of unknown) remove(input, pathOf(issue));
  }
}

function pathOf(issue: v.BaseIssue<unknown>): Path {
  return (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)));
}

function remove(input: unknown, path: Path): void {
  const parent = path.slice(0, -1).reduce<unknown>((node, key) => Reflect.get(Object(node), key), input);
  Reflect.deleteProperty(Object(parent), path.at(-1) ?? '');
}
