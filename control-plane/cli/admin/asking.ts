import { stringify } from 'yaml';
import { EXIT_USAGE, ExitError, type Program } from '../../../shared/lifecycle.ts';
import type { AdminConnection, AdminMessage } from '../../rpc/admin-client.ts';
import { onScreen, pause, type ScreenTerminal } from './screen.ts';
import { type TargetOptions, targetOf } from './target.ts';
import { isRow, joined, type Row, toPlain } from './values.ts';
import type { View } from './views.ts';

/** Where a command runs. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Columns; undefined where the output is no terminal. */
  readonly width: number | undefined;
  /** Lines; undefined where the output is no terminal. */
  readonly height: number | undefined;
  /** Where keys can be read and the whole terminal drawn on; undefined elsewhere. */
  readonly screen: ScreenTerminal | undefined;
  write(text: string): void;
  complain(text: string): void;
}

export interface AdminOptions extends TargetOptions {
  readonly output: 'table' | 'json' | 'yaml';
  readonly watch?: boolean;
}

const AGAIN_MS = 2_000;
/** As `sysexits` has them; what else fails is 1. */
const EXIT_CODES: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: EXIT_USAGE,
  NOT_FOUND: 66,
  UNAVAILABLE: 69,
  DEADLINE_EXCEEDED: 69,
  UNIMPLEMENTED: 69,
  UNAUTHENTICATED: 77,
  PERMISSION_DENIED: 77,
};

export interface Command {
  readonly options: AdminOptions;
  readonly terminal: Terminal;
  readonly program: Program;
}

interface Question {
  ask(admin: AdminConnection): Promise<AdminMessage>;
  readonly view: View;
}

/** One question, and its answer on the terminal; again and again with `--watch`. */
export async function show(command: Command, question: Question): Promise<void> {
  const { options, terminal } = command;
  const on = options.watch === true && options.output === 'table' ? terminal.screen : undefined;
  await connected(command, (admin) =>
    on === undefined ? print(command, { ...question, admin }) : live(command, { ...question, admin, on }),
  );
}

interface Asked extends Question {
  readonly admin: AdminConnection;
}

async function print(command: Command, question: Asked): Promise<void> {
  const { options, terminal, program } = command;
  do {
    const answer = plain(await question.ask(question.admin));
    terminal.write(rendered(answer, { ...question, command }));
    terminal.complain(missingIn(answer));
    if (options.watch === true) await pause(program, AGAIN_MS);
  } while (options.watch === true && !program.stopping.aborted);
}

/** On the whole terminal, drawn over again and again. */
async function live(
  command: Command,
  { on, ...question }: Asked & { readonly on: ScreenTerminal },
): Promise<void> {
  const { terminal } = command;
  const look = async () => {
    const answer = plain(await question.ask(question.admin));
    return `${rendered(answer, { ...question, command })}${missingIn(answer)}`;
  };
  await onScreen(command, {
    on,
    intervalMs: AGAIN_MS,
    first: await look(),
    look,
    height: () => terminal.height,
  });
}

function missingIn(answer: Row): string {
  const missing = joined(answer['unreachable']);
  return missing === '' ? '' : `not asked, for they cannot be reached: ${missing}\n`;
}

/** A line for each event of a watch, until the program is told to stop. */
export async function follow(
  command: Command,
  watch: { readonly method: string; readonly request: AdminMessage; line(event: Row): string },
): Promise<void> {
  await connected(command, async (admin) => {
    const { options, terminal, program } = command;
    for await (const event of admin.watch(watch.method, watch.request, program.stopping)) {
      const row = plain(event);
      if (options.output === 'json') terminal.write(`${JSON.stringify(row)}\n`);
      else if (options.output === 'yaml') terminal.write(`---\n${stringify(row)}`);
      else terminal.write(watch.line(row));
    }
  });
}

/** All pages of a list, as one answer. */
export async function allPages(
  admin: AdminConnection,
  {
    method,
    field,
    request,
  }: { readonly method: string; readonly field: string; readonly request: AdminMessage },
): Promise<AdminMessage> {
  const found: unknown[] = [];
  for (let pageToken = ''; ; ) {
    const answer = await admin.ask(method, { pageSize: 1_000, ...request, pageToken });
    const page: unknown = answer[field];
    if (Array.isArray(page)) found.push(...page);
    pageToken = String(answer['nextPageToken'] ?? '');
    if (pageToken === '') return { ...answer, [field]: found };
  }
}

function rendered(
  answer: Row,
  { view, command }: { readonly view: View; readonly command: Command },
): string {
  const { options, terminal } = command;
  const { nextPageToken: _, ...rest } = answer;
  return printed(options.output, rest) ?? view(answer, terminal.width);
}

/** For programs; undefined where a person is to read it. */
export function printed(output: AdminOptions['output'], value: unknown): string | undefined {
  if (output === 'json') return `${JSON.stringify(value, undefined, 2)}\n`;
  return output === 'yaml' ? stringify(value) : undefined;
}

export function plain(message: AdminMessage): Row {
  const value = toPlain(message);
  return isRow(value) ? value : {};
}

/** An admin's connection for as long as it is used. Rejects with `ExitError`, which says what to do. */
export async function connected(
  { options, terminal }: Command,
  use: (admin: AdminConnection) => Promise<void>,
): Promise<void> {
  // What only these commands need is loaded with the first of them.
  const { AdminConnection, AdminCallError } = await import('../../rpc/admin-client.ts');
  const target = targetOf(options, terminal.env);
  let admin: AdminConnection | undefined;
  try {
    admin = new AdminConnection(target);
    await use(admin);
  } catch (thrown) {
    if (!(thrown instanceof AdminCallError)) throw thrown;
    throw new ExitError(sentence(thrown, target.address), EXIT_CODES[thrown.status] ?? 1);
  } finally {
    admin?.close();
  }
}

/** What went wrong, and what to do about it. */
function sentence(error: { readonly status: string; readonly message: string }, address: string): string {
  switch (error.status) {
    case 'UNAVAILABLE':
    case 'DEADLINE_EXCEEDED':
      return `no answer from ${address}: ${error.message}\nIs a replica running there? Another address: --address or $OUTRIGGER_ADMIN_ADDRESS.`;
    case 'UNAUTHENTICATED':
      return `${error.message}\nA token with the admin role: --token-file, $OUTRIGGER_ADMIN_TOKEN_FILE or $OUTRIGGER_ADMIN_TOKEN.`;
    case 'PERMISSION_DENIED':
      return `${error.message}\nWho is an admin is said under "admin" in the configuration of the control plane.`;
    case 'UNIMPLEMENTED':
      return `${error.message}\nIt is turned on under "admin" in the configuration of the control plane.`;
    default:
      return error.message;
  }
}
