import { fileURLToPath } from 'node:url';
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXIT_USAGE, runProgram } from '../../shared/lifecycle.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../../shared/log.ts';
import { VERSION } from '../../shared/version.ts';
import { loadSettings } from '../config.ts';
import { checkPolicies } from '../policy-check.ts';
import { addAdminCommands } from './admin/commands.ts';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { addInjectCommands } from './inject.ts';
import type { UpOptions } from './plan.ts';
import { ACTIONS, KINDS, type PolicyOptions, policyCheck } from './policy.ts';
import { up } from './up.ts';

/**
 * The `outrigger` command, but for `control-plane`, `sidecar`, `connect` and `pins`: those start
 * without it (the launcher beside it becomes them), and are described here only.
 */

const DEFAULT_CONFIG = 'outrigger.yaml';
const DEFAULT_PORT = 4280;

const outrigger = new Command('outrigger')
  .description('A service mesh for the Model Context Protocol.')
  .version(VERSION, '-V, --version', 'print the version')
  .showHelpAfterError('(outrigger --help shows what there is)')
  .exitOverride();

withLogging(
  outrigger
    .command('up')
    .description('bring up a whole mesh on this machine: replicas, a sidecar, helper processes')
    .option('--config <file>', 'the configuration file', DEFAULT_CONFIG)
    .option('--replicas <count>', 'how many replicas (the file says, else 2)', wholeNumber)
    .option(
      '--store <store>',
      'embedded, or a redis:// URL ($OUTRIGGER_STORE or the file says, else embedded)',
    )
    .option('--state <folder>', 'the state folder (the file says, else .outrigger)')
    .option(
      '--port-base <port>',
      'the MCP port; the others follow it; 0: free ones',
      wholeNumber,
      DEFAULT_PORT,
    ),
).action((options: UpOptions) =>
  runProgram((program) =>
    up(
      options,
      {
        command: fileURLToPath(new URL('./outrigger.js', import.meta.url)),
        guard: fileURLToPath(new URL('./guard.js', import.meta.url)),
        cwd: process.cwd(),
        env: process.env,
      },
      program,
    ),
  ),
);

withLogging(
  outrigger
    .command('control-plane')
    .description('run one replica of the control plane')
    .requiredOption('--config <file>', 'the configuration file')
    .option('--replica <name>', "this replica's name (the file says, else the host's)")
    .option('--listen <host:port>', 'the address of the mesh stream (else 127.0.0.1:4290)')
    .option('--ops <host:port>', 'the address of health and metrics (else 127.0.0.1:4291)')
    .option('--store <store>', 'embedded, memory, or a redis:// URL (else $OUTRIGGER_STORE)')
    .option('--state <folder>', 'the state folder (else .outrigger)')
    .option('--shared-state', 'every replica has this state folder, so its keys will do for Redis too'),
);

withLogging(
  outrigger
    .command('sidecar')
    .description('run the sidecar beside an agent')
    .option('--config <file>', 'a configuration file')
    .option('--control-plane <host:port...>', 'the replicas')
    .option('--virtual-server <name>', 'the virtual server to front (else default)')
    .option('--node <name>', "this sidecar's name, stable across restarts")
    .option('--listen <host:port>', 'the address of MCP (else 127.0.0.1:4280)')
    .option('--ops <host:port>', 'the address of health and metrics (else 127.0.0.1:4281)')
    .option('--allow-non-loopback', 'listen where other machines can reach it'),
);

withLogging(
  outrigger
    .command('connect')
    .description('connect an agent that speaks stdio: messages on standard input and output, one a line')
    .option('--url <url>', 'the sidecar (else $OUTRIGGER_URL, else http://127.0.0.1:4280/mcp), or unix:/path')
    .option('--token-file <file>', 'where the token is (else $OUTRIGGER_TOKEN, $OUTRIGGER_TOKEN_FILE)')
    .option('--allow-non-loopback', 'reach a sidecar on another machine, in clear text'),
);

addInjectCommands(outrigger, {
  run: (action) => runProgram(action),
  around: { cwd: process.cwd(), env: process.env },
});

outrigger
  .command('webhook')
  .description('run the admission webhook that gives pods their sidecars')
  .requiredOption('--config <file>', 'its configuration file');

outrigger
  .command('config')
  .description('work with configuration files')
  .command('validate')
  .description('check a configuration file as a replica would; exit code 64 when it is wrong')
  .argument('[file]', 'the configuration file', DEFAULT_CONFIG)
  .action((file: string) =>
    runProgram(async () => {
      const settings = loadSettings({ file, env: process.env, cwd: process.cwd() });
      checkPolicies(settings);
      const { backends, virtualServers } = settings;
      process.stdout.write(
        `${file} is valid: ${backends.length} ${plural('backend', backends.length)}, ` +
          `${virtualServers.length} ${plural('virtual server', virtualServers.length)}\n`,
      );
    }),
  );

outrigger
  .command('policy')
  .description('work with admission policies')
  .command('check')
  .description('explain who may do what, and why; exit code 0 when it is allowed, 1 when it is not')
  .option('--config <file>', 'the configuration file', DEFAULT_CONFIG)
  .option('--claims <json>', "the claims of the caller's token")
  .option(
    '--token-file <file>',
    'the token itself, a JWT, which is read and not verified; - is standard input',
  )
  .option('--anonymous', 'a caller without a token')
  .addOption(new Option('--action <action>', 'what it wants to do').choices(ACTIONS).default('call'))
  .addOption(new Option('--kind <kind>', 'what it asks for').choices(KINDS).default('tool'))
  .requiredOption('--backend <name>', 'the configured name of the backend')
  .requiredOption('--name <name>', "the backend's own name or URI of the item")
  .option('--visible <name>', 'the name by which the client knows it (else the same)')
  .option('--annotations <json>', 'what the backend says of it, such as {"readOnlyHint":true}')
  .option('--arguments <json>', 'the arguments of the call')
  .addOption(
    new Option('-o, --output <format>', 'for people or for programs')
      .choices(['text', 'json'])
      .default('text'),
  )
  .action((options: PolicyOptions) =>
    runProgram(async () => {
      const { text, allowed } = policyCheck(options, { env: process.env, cwd: process.cwd() });
      process.stdout.write(text);
      if (!allowed) process.exitCode = 1;
    }),
  );

outrigger
  .command('doctor')
  .description('look at everything that a mesh rests on, and say what to do about what is wrong')
  .option('--config <file>', 'of a control plane (else outrigger.yaml, where there is one)')
  .option('--sidecar-config <file>', 'of a sidecar (else sidecar.yaml, or $OUTRIGGER_SIDECAR_CONFIG)')
  .option('--address <host:port>', 'a replica that must answer (else $OUTRIGGER_ADMIN_ADDRESS)')
  .option('--token-file <file>', 'a token with the admin role (else $OUTRIGGER_ADMIN_TOKEN[_FILE])')
  .option('--caller-token-file <file>', 'ask backends under the token of a caller; - is standard input')
  .option('--ca <file>', 'who vouches for the replica: TLS')
  .option('--cert <file>', 'a certificate of your own')
  .option('--key <file>', 'and its key')
  .option('--server-id <id>', 'the SPIFFE id of the replica, where its certificate has no name')
  .addOption(
    new Option('-o, --output <format>', 'for people or for programs')
      .choices(['table', 'json', 'yaml'])
      .default('table'),
  )
  .addHelpText(
    'after',
    `
Looks, as far as what it is given leads: at versions, configuration, ports, store, keys, clocks, issuers,
backends (a whole handshake each), certificates, tokens, replicas and sidecars. Nothing is changed.

Exit codes: 0 nothing failed (there may be warnings); 1 something failed; 64 wrong usage.`,
  );

const pins = outrigger
  .command('pins')
  .description('approve what tools and prompts say of themselves, and see what changed since');

withAsking(
  pins
    .command('write')
    .description(
      'approve everything that the backends show now, and print how it differs from what was approved',
    ),
)
  .option(
    '--add',
    'everything that is approved stays so, for backends that show callers different definitions',
  )
  .addHelpText('after', '\nExit codes: 0 written; 69 written, but for backends that could not be asked.');

withAsking(
  pins.command('check').description('print how what the backends show now differs from what was approved'),
).addHelpText(
  'after',
  '\nExit codes: 0 as approved; 1 something is changed or new; 69 some backends could not be asked, the others\nare as approved. What is approved and not shown is printed and no difference.',
);

addAdminCommands(outrigger, {
  env: process.env,
  // Who says how wide it is means it, also in a pipe.
  get width() {
    return Number(process.env['COLUMNS']) || (process.stdout.isTTY ? process.stdout.columns : undefined);
  },
  get height() {
    // A terminal of a program's making may have no size.
    return (process.stdout.isTTY && process.stdout.rows) || undefined;
  },
  screen:
    process.stdin.isTTY && process.stdout.isTTY
      ? { input: process.stdin, write: (text) => process.stdout.write(text) }
      : undefined,
  write: (text) => process.stdout.write(text),
  complain: (text) => process.stderr.write(text),
});

outrigger
  .command('completion')
  .description('print a script with which a shell completes commands and options')
  .addArgument(new Argument('<shell>', 'whose').choices(SHELLS))
  .addHelpText(
    'after',
    `
  bash   source <(outrigger completion bash)                     in ~/.bashrc
  zsh    source <(outrigger completion zsh)                      in ~/.zshrc, after compinit
  fish   outrigger completion fish > ~/.config/fish/completions/outrigger.fish`,
  )
  .action((shell: Shell) => {
    process.stdout.write(completionScript(shell, outrigger));
  });

outrigger
  .command('version')
  .description('print the version')
  .action(() => {
    process.stdout.write(`${VERSION}\n`);
  });

try {
  await outrigger.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
}

function withLogging(command: Command): Command {
  return command
    .option('--log-level <level>', `one of ${LOG_LEVELS.join(', ')}`)
    .option('--log-format <format>', `one of ${LOG_FORMATS.join(', ')}`);
}

function withAsking(command: Command): Command {
  return command
    .option(
      '--config <file>',
      'the configuration file, which names the file of what is approved',
      DEFAULT_CONFIG,
    )
    .option('--backend <name>', 'this backend only; repeat it for more')
    .option(
      '--token-file <file>',
      "ask as the caller whose token it is; without one under the mesh's own credentials; - is standard input",
    );
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}
