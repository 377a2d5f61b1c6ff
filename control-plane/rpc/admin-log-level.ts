import type { LogLevel } from '../../shared/log.ts';
import type { LogLevels } from '../../shared/log-levels.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { invalid } from './admin-fault.ts';
import type { Named, Scoped } from './admin-messages.ts';
import { ofOneReplica } from './admin-one-replica.ts';
import type { AdminPeers } from './admin-peers.ts';
import { type Timestamp, timestamp } from './admin-values.ts';

export interface LogLevelAnswersOptions {
  readonly replica: string;
  readonly levels: LogLevels;
  readonly peers: AdminPeers;
}

interface SetRequest extends Named, Scoped {
  /** As the proto file names them. */
  readonly level: string;
  readonly duration: Timestamp | null;
}

const LEVELS: Readonly<Record<string, LogLevel>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
  SILENT: 'silent',
};
const UNSPECIFIED = 'LOG_LEVEL_UNSPECIFIED';
const LONGEST_MS = 86_400_000;

/** How much a replica says, asked of and set at any of them. */
export function logLevelAnswers(options: LogLevelAnswersOptions): AdminAnswers {
  const { replica, levels } = options;
  const told = () => ({
    name: `replicas/${replica}`,
    level: levels.current.toUpperCase(),
    configuredLevel: levels.configured.toUpperCase(),
    expireTime: levels.endsAt === undefined ? null : timestamp(levels.endsAt),
  });
  return {
    methods: {
      getReplicaLogLevel: (request: Named & Scoped, admin) =>
        ofOneReplica(options, { method: 'GetReplicaLogLevel', request, admin }, told),
      setReplicaLogLevel(request: SetRequest, admin) {
        const level = levelOf(request);
        const forMs = durationOf(request);
        return ofOneReplica(options, { method: 'SetReplicaLogLevel', request, admin }, () => {
          if (level === undefined) levels.restore();
          else levels.override(level, forMs);
          return told();
        });
      },
    },
    watches: {},
  };
}

/** Undefined: the configured one. */
function levelOf({ level }: SetRequest): LogLevel | undefined {
  const known = LEVELS[level];
  if (known === undefined && level !== UNSPECIFIED) throw invalid('level: there is no such level.');
  return known;
}

function durationOf({ duration, level }: SetRequest): number | undefined {
  if (duration === null) return undefined;
  const ms = duration.seconds * 1_000 + duration.nanos / 1_000_000;
  if (level === UNSPECIFIED) throw invalid('duration: the configured level has no end.');
  if (!(ms > 0 && ms <= LONGEST_MS)) throw invalid('duration: expected more than nothing and at most a day.');
  return ms;
}
