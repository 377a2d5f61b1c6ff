import type { Command } from 'commander';
import * as v from 'valibot';
import { duration } from '../../../shared/config/quantity.ts';
import { LOG_LEVELS } from '../../../shared/log.ts';
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

const CONFIGURED = 'configured';
const Lasts = duration({ min: '1s', max: '24h' });

/** What to ask about how much a replica logs; a text where what was written makes no sense. */
export function logLevelQuestion({
  name,
  level,
  lasts,
}: {
  readonly name: string;
  readonly level: string | undefined;
  readonly lasts: string | undefined;
}): { readonly method: string; readonly request: AdminMessage } | string {
  const replica = named('replicas', name);
  if (level === undefined)
    return lasts === undefined ? { method: 'GetReplicaLogLevel', request: replica } : 'expected a level';
  const known = LOG_LEVELS.find((each) => each === level);
  if (known === undefined && level !== CONFIGURED)
    return `expected one of ${[...LOG_LEVELS, CONFIGURED].join(', ')}`;
  const request = { ...replica, level: known?.toUpperCase() ?? 'LOG_LEVEL_UNSPECIFIED' };
  if (lasts === undefined) return { method: 'SetReplicaLogLevel', request };
  const { success, output, issues } = v.safeParse(Lasts, lasts);
  if (!success) return `--for: ${issues[0].message}`;
  const seconds = { seconds: Math.floor(output / 1_000), nanos: (output % 1_000) * 1_000_000 };
  return { method: 'SetReplicaLogLevel', request: { ...request, duration: seconds } };
}
