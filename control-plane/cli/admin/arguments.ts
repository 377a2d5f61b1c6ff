import type { Command } from 'commander';
import type { AdminMessage } from '../../rpc/admin-client.ts';

/** What is written on the command line, as the admin API takes it. */

export interface SessionFilter {
  readonly filter?: string;
  readonly subject?: string;
  readonly backend?: string;
  readonly replica?: string;
  readonly olderThan?: string;
}

export function filtered(command: Command): Command {
  return command
    .option('--filter <filter>', 'such as: subject = "alice" AND age > 10m')
    .option('--subject <subject>', 'of this principal')
    .option('--backend <name>', 'with this backend')
    .option('--replica <name>', 'served by this replica')
    .option('--older-than <duration>', 'such as 90s, 10m, 2h, 1d');
}

export function filterOf({ filter, subject, backend, replica, olderThan }: SessionFilter): string {
  const equals = (field: string, value: string | undefined) =>
    value === undefined ? [] : [`${field} = "${value.replace(/["\\]/g, '\\$&')}"`];
  return [
    ...(filter === undefined || filter.trim() === '' ? [] : [filter]),
    ...equals('subject', subject),
    ...equals('backend', backend),
    ...equals('replica', replica),
    ...(olderThan === undefined ? [] : [`age > ${olderThan}`]),
  ].join(' AND ');
}

export function sessionName(name: string): string {
  return name.startsWith('sessions/') ? name : `sessions/${name}`;
}

export function named(collection: string, name: string): AdminMessage {
  return { name: name.startsWith(`${collection}/`) ? name : `${collection}/${name}` };
}
