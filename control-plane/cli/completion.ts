import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** One command, as a shell completes it. */
interface Entry {
  /** The words that lead to it, after the program's name; empty for the program itself. */
  readonly path: readonly string[];
  readonly about: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  /** What may stand where no command does. */
  readonly arguments: readonly string[];
  readonly flags: readonly Flag[];
}

interface Flag {
  readonly short: string | undefined;
  readonly long: string;
  readonly about: string;
  /** What stands after it: one of these words, a file, something else, or nothing. */
  readonly value: readonly string[] | 'file' | 'other' | 'none';
}

/** A script that completes every command and option of the program, and starts nothing while it does. */
export function completionScript(shell: Shell, program: Command): string {
  const entries = entriesOf(program, []);
  const head = `# Completion of ${program.name()} for ${shell}.\n`;
  if (shell === 'bash') return head + bash(program.name(), entries);
  return head + (shell === 'zsh' ? zsh(program.name(), entries) : fish(program.name(), entries));
}

/** What a group of commands does where none of them is named. */
const DEFAULT_COMMAND = 'list';

function entriesOf(command: Command, path: readonly string[]): Entry[] {
  const help = command.createHelp();
  const below = help.visibleCommands(command);
  const byDefault = below.find((each) => each.name() === DEFAULT_COMMAND);
  const entry: Entry = {
    path,
    about: command.description(),
    commands: below.map((each) => ({ name: each.name(), about: each.description() })),
    arguments: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    flags: [
      ...(byDefault === undefined ? [] : help.visibleOptions(byDefault)),
      ...help.visibleOptions(command),
    ]
      .flatMap(flagOf)
      .filter((flag, at, all) => all.findIndex(({ long }) => long === flag.long) === at),
  };
  return [
    entry,
    ...below
      .filter((each) => each.name() !== 'help')
      .flatMap((each) => entriesOf(each, [...path, each.name()])),
  ];
}

function flagOf({ short, long, description, argChoices, flags }: Option): Flag[] {
  if (long === undefined || long === null) return [];
  const takesValue = /[<[]/.test(flags);
  const free = /<(file|folder)/.test(flags) ? 'file' : 'other';
  const value = argChoices ?? (takesValue ? free : 'none');
  return [{ short: short ?? undefined, long, about: description, value }];
}

function wordsOf({ short, long }: Flag): string[] {
  return short === undefined ? [long] : [short, long];
}

/** Case patterns of the paths, and of the options that take a value, whose next word is no command. */
function bash(name: string, entries: readonly Entry[]): string {
  const flags = entries.flatMap((entry) => entry.flags);
  const takers = [...new Set(flags.filter(({ value }) => value !== 'none').flatMap(wordsOf))];
  const cases = entries.map(
    ({ path, commands, arguments: choices, flags: own }) =>
      `    '${path.join(' ')}') words='${[...commands.map((each) => each.name), ...choices, ...own.flatMap(wordsOf)].join(' ')}' ;;\n`,
  );
  const commands = entries.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`);
  return `_${name}() {
  local cur prev word at='' skip='' words='' i
  cur=\${COMP_WORDS[COMP_CWORD]}
  prev=\${COMP_WORDS[COMP_CWORD-1]}
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $skip ]]; then skip=''; continue; fi
    case $word in
      ${takers.join('|')}) skip=1; continue ;;
    esac
    case "\${at:+$at }$word" in
      ${commands.join('|')}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at $prev" in
${valueCases(entries)}  esac
  case $at in
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _${name} ${name}
`;
}

function valueCases(entries: readonly Entry[]): string {
  return entries
    .flatMap(({ path, flags }) =>
      flags
        .filter(({ value }) => value !== 'none')
        .map((flag) => {
          const patterns = wordsOf(flag).map((word) => `'${path.join(' ')} ${word}'`);
          const { value } = flag;
          const words = typeof value === 'string' ? '' : value.join(' ');
          // Without words of ours bash completes files.
          const reply = words === '' ? 'COMPREPLY=()' : `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`;
          return `    ${patterns.join('|')}) ${reply}; return ;;\n`;
        }),
    )
    .join('');
}

function zsh(name: string, entries: readonly Entry[]): string {
  const functions = entries.map((entry) => {
    const flags = entry.flags.flatMap((flag) =>
      wordsOf(flag).map((word) => `    '${word}[${zshText(flag.about)}]${zshValue(flag)}'`),
    );
    const below = entry.commands.map((each) => `      '${each.name}:${zshText(each.about)}'`);
    const leads = entry.commands.map(
      (each) => `      ${each.name}) ${zshFunction(name, [...entry.path, each.name])} ;;`,
    );
    const rest =
      below.length === 0
        ? `    '*:argument:${entry.arguments.length === 0 ? '_files' : `(${entry.arguments.join(' ')})`}'`
        : `    '1: :->command' '*:: :->rest'`;
    const states =
      below.length === 0
        ? ''
        : `
  case $state in
    command) local -a commands=(
${below.join('\n')}
    ); _describe command commands ;;
    rest) case $words[1] in
${leads.filter((lead) => !/^ *help\)/.test(lead)).join('\n')}
    esac ;;
  esac`;
    return `${zshFunction(name, entry.path)}() {
  local curcontext="$curcontext" state line
  _arguments -C \\
${[...flags, rest].join(' \\\n')}${states}
}
`;
  });
  return `#compdef ${name}\n${functions.join('')}compdef _${name} ${name}\n`;
}

function zshFunction(name: string, path: readonly string[]): string {
  return `_${[name, ...path].join('_').replace(/-/g, '_')}`;
}

function zshValue({ value }: Flag): string {
  if (value === 'none') return '';
  if (typeof value === 'string') return value === 'file' ? ':file:_files' : ':value: ';
  return `:value:(${value.join(' ')})`;
}

function zshText(text: string): string {
  return text.replace(/'/g, "'\\''").replace(/[[\]:]/g, '\\$&');
}

function fish(name: string, entries: readonly Entry[]): string {
  const paths = entries.filter(({ path }) => path.length > 0).map(({ path }) => path.join(' '));
  const head = `function __${name}_at
  set -l at
  for word in (commandline -opc)[2..-1]
    contains -- (string join -- ' ' $at $word) ${paths.map((path) => `'${path}'`).join(' ')}; and set -a at $word
  end
  string join ' ' -- $at
end
function __${name}_in
  test (__${name}_at) = "$argv[1]"
end
complete -c ${name} -e
`;
  const lines = entries.flatMap(({ path, commands, arguments: choices, flags }) => {
    const here = `complete -c ${name} -n '__${name}_in "${path.join(' ')}"'`;
    return [
      ...commands.map((each) => `${here} -f -a ${each.name} -d '${fishText(each.about)}'`),
      ...choices.map((each) => `${here} -f -a ${each}`),
      ...flags.map((flag) => `${here} ${fishFlag(flag)} -d '${fishText(flag.about)}'`),
    ];
  });
  return `${head}${lines.join('\n')}\n`;
}

function fishFlag({ short, long, value }: Flag): string {
  const names = `${short === undefined ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
  if (value === 'none') return names;
  if (value === 'file') return `${names} -r -F`;
  return typeof value === 'string' ? `${names} -x` : `${names} -x -a '${value.join(' ')}'`;
}

function fishText(text: string): string {
  return text.replace(/['\\]/g, '\\$&');
}
