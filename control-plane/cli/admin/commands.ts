import { type Command, InvalidArgumentError, Option } from 'commander';
import { suggest } from '../../../shared/config/suggest.ts';
import { EXIT_USAGE, ExitError, type Program, runProgram } from '../../../shared/lifecycle.ts';
import { createLogger } from '../../../shared/log.ts';
import type { AdminConnection, AdminMessage } from '../../rpc/admin-client.ts';
import { filtered, filterOf, logLevelQuestion, named, type SessionFilter, sessionName } from './arguments.ts';
import { type AdminOptions, allPages, follow, show, type Terminal } from './asking.ts';
import { top } from './top.ts';
import { id, isRow, type Row, text } from './values.ts';
import {
  backendsView,
  backendView,
  capabilitiesView,
  checkView,
  configView,
  explainView,
  logLevelView,
  refreshView,
  reloadView,
  replicasView,
  replicaView,
  sessionsView,
  sessionView,
  sidecarsView,
  sidecarView,
  statsView,
  type View,
} from './views.ts';

const EXIT_CODES =
  '\nExit codes: 0; 64 wrong usage; 66 there is no such thing; 69 no replica answers; 77 not allowed; 1 otherwise.';

/** The commands that ask a running mesh, by its admin API. */
export function addAdminCommands(outrigger: Command, terminal: Terminal): void {
  const cli = new AdminCommands(terminal);
  cli.sessions(
    outrigger.command('sessions').description('who is connected, and what is wrong with a session'),
  );
  cli.backends(
    outrigger.command('backends').description('the MCP servers behind the mesh, and how they fare'),
  );
  cli.sidecars(
    outrigger.command('sidecars').description('the sidecars, and which lists they answer by themselves'),
  );
  cli.replicas(
    outrigger.command('replicas').description('the replicas of the control plane, and their load'),
  );
  cli.capabilities(outrigger.command('capabilities'));
  cli.stats(outrigger.command('stats'));
  cli.top(outrigger.command('top'));
  const config = outrigger.commands.find((each) => each.name() === 'config');
  if (config !== undefined) cli.config(config);
}

class AdminCommands {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  sessions(command: Command): void {
    filtered(this.#leaf(listOf(command), 'list them', { watch: true })).action(
      (options: AdminOptions & SessionFilter) =>
        this.#show(options, {
          ask: (admin) =>
            allPages(admin, {
              method: 'ListSessions',
              field: 'sessions',
              request: { filter: filterOf(options) },
            }),
          view: sessionsView,
        }),
    );
    this.#leaf(command.command('get'), 'what the store knows of one')
      .argument('<session>')
      .action((session: string, options: AdminOptions) =>
        this.#ask(options, {
          method: 'GetSession',
          request: { name: sessionName(session) },
          view: sessionView,
        }),
      );
    this.#leaf(command.command('explain'), 'everything about one: its backends, who is missing and why', {
      watch: true,
    })
      .argument('<session>')
      .action((session: string, options: AdminOptions) =>
        this.#ask(options, {
          method: 'ExplainSession',
          request: { name: sessionName(session) },
          view: explainView,
        }),
      );
    this.#leaf(
      command.command('lookup'),
      'find one by its session id, which is read from standard input',
    ).action((options: AdminOptions) =>
      this.#show(options, {
        ask: async (admin) => admin.ask('LookupSession', { sessionId: await standardInput() }),
        view: sessionView,
      }),
    );
    this.#terminate(this.#leaf(command.command('terminate'), 'end some for good, or all of a principal'));
    this.#leaf(command.command('watch'), 'a line for each that begins, changes or ends')
      .option('--filter <filter>', 'such as: subject = "alice" AND age > 10m')
      .action((options: AdminOptions & SessionFilter) =>
        this.#follow(options, {
          method: 'WatchSessions',
          request: { filter: options.filter ?? '' },
          line: (event) => eventLine(event, 'session'),
        }),
      );
  }

  backends(command: Command): void {
    this.#leaf(listOf(command), 'list them, replica by replica', {
      watch: true,
    }).action((options: AdminOptions) =>
      this.#show(options, {
        ask: (admin) => allPages(admin, { method: 'ListBackends', field: 'backends', request: {} }),
        view: backendsView,
      }),
    );
    this.#leaf(command.command('get'), 'one of them')
      .argument('<backend>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'GetBackend', request: named('backends', name), view: backendView }),
      );
    this.#leaf(command.command('refresh'), 'read its lists anew in every live session')
      .argument('<backend>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'RefreshBackend', request: named('backends', name), view: refreshView }),
      );
    this.#leaf(command.command('watch'), 'a line for each change').action((options: AdminOptions) =>
      this.#follow(options, {
        method: 'WatchBackends',
        request: {},
        line: (event) => eventLine(event, 'backend'),
      }),
    );
  }

  sidecars(command: Command): void {
    this.#leaf(listOf(command), 'list them', { watch: true }).action((options: AdminOptions) =>
      this.#show(options, {
        ask: (admin) => allPages(admin, { method: 'ListSidecars', field: 'sidecars', request: {} }),
        view: sidecarsView,
      }),
    );
    this.#leaf(command.command('get'), 'one of them, and each list that it answers')
      .argument('<sidecar>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'GetSidecar', request: named('sidecars', name), view: sidecarView }),
      );
  }

  replicas(command: Command): void {
    this.#leaf(listOf(command), 'list them', { watch: true }).action((options: AdminOptions) =>
      this.#show(options, {
        ask: (admin) => allPages(admin, { method: 'ListReplicas', field: 'replicas', request: {} }),
        view: replicasView,
      }),
    );
    this.#leaf(command.command('get'), 'one of them')
      .argument('<replica>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'GetReplica', request: named('replicas', name), view: replicaView }),
      );
    this.#leaf(command.command('drain'), 'send its sidecars to the others; it goes on running')
      .argument('<replica>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'DrainReplica', request: named('replicas', name), view: replicaView }),
      );
    this.#leaf(command.command('undrain'), 'let it take sidecars again')
      .argument('<replica>')
      .action((name: string, options: AdminOptions) =>
        this.#ask(options, { method: 'UndrainReplica', request: named('replicas', name), view: replicaView }),
      );
    this.#logLevel(
      this.#leaf(command.command('log-level'), 'how much it logs; with a level, so from now on'),
    );
  }

  capabilities(command: Command): void {
    this.#leaf(command, 'what a session sees, what it does not, and why not that', { watch: true })
      .argument('<session>')
      .action((session: string, options: AdminOptions) =>
        this.#ask(options, {
          method: 'ListCapabilities',
          request: { session: sessionName(session) },
          view: capabilitiesView,
        }),
      );
  }

  stats(command: Command): void {
    this.#leaf(command, 'load, memory and delay of each replica', { watch: true }).action(
      (options: AdminOptions) => this.#ask(options, { method: 'GetStats', request: {}, view: statsView }),
    );
  }

  top(command: Command): void {
    this.#leaf(
      command,
      'sessions, calls, their latency and failures, by replica and backend, as they are now',
    )
      .addOption(
        new Option('--interval <duration>', 'between two looks').argParser(interval).default(2_000, '2s'),
      )
      .option('--once', 'one look and no more, as where the output is no terminal')
      .action(({ interval: intervalMs, ...options }: AdminOptions & { interval: number; once?: boolean }) =>
        run((program) => top({ options: { ...options, intervalMs }, terminal: this.#terminal, program })),
      );
  }

  config(command: Command): void {
    this.#leaf(command.command('get'), 'what is in force at a running replica').action(
      (options: AdminOptions) => this.#ask(options, { method: 'GetConfig', request: {}, view: configView }),
    );
    this.#leaf(
      command.command('check'),
      'whether a running replica could take on its file as it is now',
    ).action((options: AdminOptions) =>
      this.#ask(options, {
        method: 'ValidateConfig',
        request: {},
        view: checkView,
        isGood: ({ valid }) => valid === true,
      }),
    );
    this.#leaf(command.command('reload'), 'let every replica take on its file as it is now').action(
      (options: AdminOptions) =>
        this.#ask(options, { method: 'ReloadConfig', request: {}, view: reloadView, isGood: wasTaken }),
    );
  }

  #logLevel(command: Command): void {
    command
      .argument('<replica>')
      .argument('[level]', 'debug, info, warn, error or silent; configured: what its file says')
      .option('--for <duration>', 'and back after that, such as 90s, 10m, 2h')
      .action(
        (name: string, level: string | undefined, options: AdminOptions & { readonly for?: string }) => {
          const asked = logLevelQuestion({ name, level, lasts: options.for });
          if (typeof asked === 'string') command.error(asked);
          else return this.#ask(options, { ...asked, view: logLevelView });
        },
      );
  }

  #terminate(command: Command): void {
    command
      .argument('[session...]')
      .option('--subject <subject>', 'all sessions of this principal')
      .option('--issuer <issuer>', 'whose issuer this is')
      .option('--tenant <tenant>', 'and whose tenant', '')
      .action((sessions: readonly string[], options: AdminOptions & PrincipalOptions) => {
        const { subject, issuer, tenant } = options;
        const all = subject !== undefined && issuer !== undefined;
        if (all === sessions.length > 0) command.error(TERMINATE_USAGE);
        return this.#show(options, {
          ask: (admin) =>
            all
              ? admin.ask('TerminatePrincipalSessions', { subject, issuer, tenant })
              : terminateEach(admin, sessions),
          view: ({ terminatedCount }) => `Ended: ${text(terminatedCount)}.\n`,
        });
      });
  }

  #leaf(command: Command, description: string, { watch = false } = {}): Command {
    const leaf = command
      .description(description)
      .addOption(
        new Option('-o, --output <format>', 'for people or for programs')
          .choices(['table', 'json', 'yaml'])
          .default('table'),
      )
      .option('--address <host:port>', 'any replica (else $OUTRIGGER_ADMIN_ADDRESS, else 127.0.0.1:4290)')
      .option('--token-file <file>', 'a token with the admin role (else $OUTRIGGER_ADMIN_TOKEN[_FILE])')
      .option('--ca <file>', 'who vouches for the replica: TLS')
      .option('--cert <file>', 'a certificate of your own')
      .option('--key <file>', 'and its key')
      .option('--server-id <id>', 'the SPIFFE id of the replica, where its certificate has no name')
      .addHelpText('after', EXIT_CODES);
    return watch ? leaf.option('-w, --watch', 'again and again, until you stop it') : leaf;
  }

  #ask(options: AdminOptions, question: Question): Promise<void> {
    const { method, request, view, isGood = () => true } = question;
    return this.#show(options, {
      ask: (admin) => admin.ask(method, request),
      view,
      isGood,
    });
  }

  #show(
    options: AdminOptions,
    question: {
      ask(admin: AdminConnection): Promise<AdminMessage>;
      view: View;
      isGood?: (answer: AdminMessage) => boolean;
    },
  ): Promise<void> {
    return run((program) =>
      show(
        { options, terminal: this.#terminal, program },
        {
          view: question.view,
          async ask(admin) {
            const answer = await question.ask(admin);
            if (question.isGood?.(answer) === false) process.exitCode = 1;
            return answer;
          },
        },
      ),
    );
  }

  #follow(options: AdminOptions, watch: Parameters<typeof follow>[1]): Promise<void> {
    return run((program) => follow({ options, terminal: this.#terminal, program }, watch));
  }
}

interface PrincipalOptions {
  readonly subject?: string;
  readonly issuer?: string;
  readonly tenant: string;
}

interface Question {
  readonly method: string;
  readonly request: AdminMessage;
  readonly view: View;
  /** Whether the answer is good news; else the exit code is 1. */
  readonly isGood?: (answer: AdminMessage) => boolean;
}

const SHORTEST_MS = 100;
const LONGEST_MS = 600_000;

/** In milliseconds. */
function interval(written: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(written) ?? [];
  const ms = Number(number) * (unit === 'ms' ? 1 : unit === 'm' ? 60_000 : 1_000);
  if (ms >= SHORTEST_MS && ms <= LONGEST_MS) return ms;
  throw new InvalidArgumentError('expected a duration from 100ms to 10m, such as 2s');
}

/** What a group does where it is told nothing else. A word that is none of its commands is taken for a slip of one. */
function listOf(group: Command): Command {
  group.addHelpText('after', '\nWithout a command it lists them, with the options of list.');
  const list = group.command('list', { isDefault: true }).allowExcessArguments();
  return list.hook('preAction', ({ args: [word] }) => {
    if (word === undefined) return;
    const names = group.commands.map((each) => each.name());
    const meant = suggest(word, names);
    list.error(`error: unknown command '${word}'${meant === undefined ? '' : `\n(Did you mean ${meant}?)`}`);
  });
}

/** What these commands say is their answer: of the life of their program only what goes wrong is told. */
function run(start: (program: Program) => Promise<void>): Promise<void> {
  return runProgram((program) => {
    const destination = { write: (line: string) => void process.stderr.write(line) };
    program.configure({ log: createLogger({ level: 'warn', destination }), graceMs: CLOSING_MS });
    return start(program);
  });
}

const CLOSING_MS = 2_000;

const TERMINATE_USAGE = 'expected the names of sessions, or --subject and --issuer';

async function terminateEach(admin: AdminConnection, sessions: readonly string[]): Promise<AdminMessage> {
  for (const session of sessions) await admin.ask('TerminateSession', { name: sessionName(session) });
  return { terminatedCount: sessions.length };
}

function wasTaken({ results }: AdminMessage): boolean {
  return Array.isArray(results) && results.every((each) => isRow(each) && each['outcome'] !== 'REJECTED');
}

function eventLine(event: Row, field: string): string {
  const entry = event[field];
  const { name, principal, replica, replicas } = isRow(entry) ? entry : {};
  const who = isRow(principal) && text(principal['subject']) !== '' ? text(principal['subject']) : '';
  const where = Array.isArray(replicas)
    ? replicas
        .map((each) => (isRow(each) ? `${text(each['replica'])}: ${text(each['state'])}` : ''))
        .join(', ')
    : text(replica);
  return `${[text(event['type']).padEnd(8), id(name), who, where]
    .filter((part) => part !== '')
    .join('  ')
    .trimEnd()}\n`;
}

/** A session id is a secret: everybody on a machine can read a command line. */
async function standardInput(): Promise<string> {
  if (process.stdin.isTTY) throw new ExitError('give the session id on standard input', EXIT_USAGE);
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString().trim();
}
