import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Environment } from '../../shared/config/variables.ts';
import { ReadFiles } from '../../shared/config/watched-files.ts';
import { ExitError } from '../../shared/lifecycle.ts';
import { type InjectionFlags, loadInjectionSettings } from '../injector/config.ts';
import { annotate, type Injection, inject } from '../injector/inject.ts';
import type { Json } from '../injector/json.ts';
import { changeManifest, type DocumentOutcome, ManifestError } from '../injector/manifest.ts';
import { SENTENCES, SURPRISING } from '../injector/outcomes.ts';
import { uninject } from '../injector/uninject.ts';

/** `outrigger inject` and `outrigger uninject`: manifests in, manifests out, and a line for each workload on standard error. */

/** `sysexits`: a manifest that cannot be read. */
const EXIT_DATA = 65;
/** A workload that should have a sidecar has none. */
const EXIT_DECLINED = 1;
const STANDARD_INPUT = '-';

export interface Surroundings {
  readonly cwd: string;
  readonly env: Environment;
}

interface InjectCommand extends InjectionFlags {
  readonly filename: readonly string[];
  readonly manual?: boolean;
  readonly config?: string;
}

type Run = (action: () => Promise<void>) => Promise<void>;

/** Adds both commands. `run` gives an action its life, and its exit code. */
export function addInjectCommands(
  outrigger: Command,
  { run, around }: { readonly run: Run; readonly around: Surroundings },
): void {
  withFiles(outrigger.command('inject'))
    .description('mark the workloads of manifests for the webhook, or give them a sidecar right here')
    .option('--manual', 'write the sidecar into the manifests; no webhook is needed then')
    .option('--config <file>', "the webhook's configuration file, for its sidecar section")
    .option('--image <name>', "the sidecar's image")
    .option('--control-plane <host:port>', 'a name that resolves to all replicas')
    .option('--virtual-server <name>', 'for workloads that name none')
    .option('--audience <audience>', 'of the service account tokens that sidecars show')
    .option('--tls-secret <name>', "the secret with the sidecar's certificate, in the workload's namespace")
    .option('--server-name <name>', "the name in the replicas' certificates")
    .option('--server-id <spiffe-id>', 'or their SPIFFE id')
    .action((options: InjectCommand) =>
      run(async () => {
        const { filename, manual = false, config, ...flags } = options;
        const settings = loadInjectionSettings(flags, { ...around, file: config, files: new ReadFiles() });
        const change = manual ? inject : annotate;
        rewrite(filename, { around, change: (object) => change(object, { settings, demandOptIn: false }) });
      }),
    );
  withFiles(outrigger.command('uninject'))
    .description('take out of manifests what outrigger inject put into them')
    .action(({ filename }: InjectCommand) =>
      run(async () => rewrite(filename, { around, change: uninject })),
    );
}

function withFiles(command: Command): Command {
  return command.option('-f, --filename <file...>', 'manifests in YAML or JSON; - is standard input', [
    STANDARD_INPUT,
  ]);
}

interface Rewrite {
  readonly around: Surroundings;
  readonly change: (object: Json) => Injection;
}

/** Nothing is written before everything could be read. */
function rewrite(files: readonly string[], { around, change }: Rewrite): void {
  const texts: string[] = [];
  const told: string[] = [];
  let declined = false;
  for (const file of files) {
    const name = file === STANDARD_INPUT ? 'standard input' : file;
    const { text, outcomes } = changed(name, read(file, around.cwd), change);
    texts.push(text);
    told.push(...outcomes.map((outcome) => sentence(name, outcome)));
    declined ||= outcomes.some(({ reason }) => SURPRISING.has(reason));
  }
  process.stdout.write(joined(texts));
  process.stderr.write(told.map((line) => `${line}\n`).join(''));
  if (declined) process.exitCode = EXIT_DECLINED;
}

function changed(name: string, text: string, change: Rewrite['change']): ReturnType<typeof changeManifest> {
  try {
    return changeManifest(text, change);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const { document, line, message } = error;
    throw new ExitError(`${name}:${line}: document ${document}: ${message}`, EXIT_DATA);
  }
}

function read(file: string, cwd: string): string {
  try {
    return readFileSync(file === STANDARD_INPUT ? 0 : resolve(cwd, file), 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ExitError(`${file}: cannot be read (${code})`, EXIT_DATA);
  }
}

function sentence(name: string, { kind, name: workload, line, reason, detail }: DocumentOutcome): string {
  const what = [kind || 'an object without a kind', workload].filter(Boolean).join(' ');
  return `${name}:${line}: ${what} ${SENTENCES[reason]}${detail === undefined ? '' : ` (${detail})`} [${reason}]`;
}

/** Several files become documents of one. */
function joined(texts: readonly string[]): string {
  return texts.reduce((all, text) => {
    if (all === '') return text;
    return `${all}${all.endsWith('\n') ? '' : '\n'}${/^---/.test(text) ? '' : '---\n'}${text}`;
  }, '');
}
