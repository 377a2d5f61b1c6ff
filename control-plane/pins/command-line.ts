import { parseArgs } from 'node:util';
import { EXIT_USAGE, ExitError } from '../../shared/lifecycle.ts';

export interface PinsOptions {
  readonly command: 'write' | 'check';
  readonly config: string;
  /** These backends only; undefined: all. */
  readonly backends: readonly string[] | undefined;
  /** Where the caller's token is; `-` is standard input. */
  readonly tokenFile: string | undefined;
  /** What is approved already stays. */
  readonly add: boolean;
}

const DEFAULT_CONFIG = 'outrigger.yaml';

/** Throws `ExitError`. */
export function readCommandLine(argv: readonly string[]): PinsOptions {
  const { values, positionals } = parse(argv);
  const [command, ...more] = positionals;
  if ((command !== 'write' && command !== 'check') || more.length > 0)
    throw usage('expected outrigger pins write, or outrigger pins check');
  if (values.add === true && command === 'check') throw usage('--add is for outrigger pins write');
  return {
    command,
    config: values.config ?? DEFAULT_CONFIG,
    backends: values.backend,
    tokenFile: values['token-file'],
    add: values.add ?? false,
  };
}

function parse(argv: readonly string[]) {
  const options = {
    config: { type: 'string' },
    backend: { type: 'string', multiple: true },
    'token-file': { type: 'string' },
    add: { type: 'boolean' },
  } as const;
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function usage(problem: string): ExitError {
  return new ExitError(`${problem}\n(outrigger pins --help shows what there is)`, EXIT_USAGE);
}
