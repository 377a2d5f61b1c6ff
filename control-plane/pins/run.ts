import { readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { EXIT_USAGE, ExitError } from '../../shared/lifecycle.ts';
import { loadSettings } from '../config.ts';
import type { PinningSettings } from '../settings.ts';
import { formatPins } from '../virtual-server/pin-file.ts';
import { DefinitionPins, type Pins } from '../virtual-server/pins.ts';
import { askBackends, codeOf, type PinsEnvironment } from './ask-backends.ts';
import type { PinsOptions } from './command-line.ts';
import { approving, type Change, changesOf, count, describeChanges } from './comparison.ts';

export interface PinsResult {
  /** For standard output. */
  readonly text: string;
  readonly exitCode: number;
}

/** `sysexits`: a backend cannot be asked, and nothing else is to be said. */
const EXIT_UNAVAILABLE = 69;
const EXIT_DIFFERS = 1;

/** Asks the configured backends what they show, and compares it with what was approved, or approves it. Throws `ExitError`. */
export async function runPins(options: PinsOptions, environment: PinsEnvironment): Promise<PinsResult> {
  const { env, cwd } = environment;
  const unwrittenPins = options.command === 'write';
  const settings = loadSettings({ file: options.config, env, cwd, unwrittenPins });
  const { pinning } = settings.admission;
  if (pinning === undefined)
    throw new ExitError(`${options.config}: pinning: is required here, with the name of a file`, EXIT_USAGE);
  const answers = await askBackends(settings, options, environment);
  const compared = answers.flatMap((answer) => ('shown' in answer ? [answer] : []));
  const pins = new DefinitionPins(pinning);
  const changes = new Map(compared.map((each) => [each, changesOf(each, pins, pinning.approved)]));
  const said = answers.map((answer) =>
    'shown' in answer
      ? describeChanges(answer, changes.get(answer) ?? [])
      : `${answer.backend}: cannot be asked: ${answer.problem}\n`,
  );
  const silent = compared.length < answers.length;
  if (options.command === 'check') {
    const differs = [...changes.values()].flat().some(isOther);
    return { text: said.join(''), exitCode: differs ? EXIT_DIFFERS : silent ? EXIT_UNAVAILABLE : 0 };
  }
  const last = write(pinning, approving(pinning.approved, compared, options.add), cwd);
  return { text: `${said.join('')}${last}\n`, exitCode: silent ? EXIT_UNAVAILABLE : 0 };
}

/** What is not shown may be shown to others, and nobody uses it here; what is new may be as welcome as what is approved. */
function isOther({ welcome }: Change): boolean {
  return !welcome;
}

/** Whole or not at all: replicas look at it while it is written. */
function write({ file }: PinningSettings, pins: Pins, cwd: string): string {
  const name = relative(cwd, file);
  const text = formatPins(pins);
  try {
    if (textOf(file) === text) return `${name} says so already`;
    const place = placeOf(file);
    const scratch = `${place}.${process.pid}`;
    writeFileSync(scratch, text);
    renameSync(scratch, place);
  } catch (error) {
    throw new ExitError(`${name}: cannot be written (${codeOf(error)})`);
  }
  const definitions = [...pins.values()].flatMap(({ tools, prompts }) =>
    [...tools.values(), ...prompts.values()].flat(),
  );
  return `${name} is written: ${count(definitions.length, 'definition')} of ${count(pins.size, 'backend')}`;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Where a symbolic link leads; it stays. */
function placeOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
