/**
 * `${VAR}` and `${VAR:-default}` in the texts of a configuration file. A variable
 * without a value and without a default is a problem, never an empty text. An
 * empty variable counts as unset where there is a default, as in a shell.
 * `$${` writes a literal `${`.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where in the document something stands. */
export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  readonly message: string;
}

const REFERENCE = /\$?\$\{([^}]*)\}?/g;
// biome-ignore lint/suspicious/noTemplateCurlyInString: this is the notation itself
const NOTATION = 'a variable is written ${NAME} or ${NAME:-default}';
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/** The same document with every text expanded; what cannot be is added to `problems`. */
export function expandVariables(document: unknown, env: Environment, problems: Problem[]): unknown {
  return expand(document, []);

  function expand(value: unknown, path: Path): unknown {
    if (typeof value === 'string') return expandText(value, path);
    if (Array.isArray(value)) return value.map((each, index) => expand(each, [...path, index]));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, expand(each, [...path, key])]),
    );
  }

  function expandText(text: string, path: Path): string {
    return text.replace(REFERENCE, (whole: string, inside: string) => {
      if (whole.startsWith('$$')) return whole.slice(1);
      const [matched, name, fallback] = INSIDE.exec(inside) ?? [];
      if (matched === undefined || name === undefined || !whole.endsWith('}')) {
        problems.push({ path, message: NOTATION });
        return '';
      }
      const found = env[name];
      if (found !== undefined && (found !== '' || fallback === undefined)) return found;
      if (fallback !== undefined) return fallback;
      problems.push({ path, message: `the environment variable ${name} is not set` });
      return '';
    });
  }
}
