import type { LogLevel } from '../../shared/log.ts';
import type { LogLevels } from '../../shared/log-levels.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { invalid } from './admin-fault.ts';
import type { Admin } from './admin-gate.ts';
import type { Named, Scoped } from './admin-messages.ts';
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
  const { levels } = options;
  return {
    methods: {
      getReplicaLogLevel: (request: Named & Scoped, admin) =>
        atReplica(options, { request, admin, method: 'GetReplicaLogLevel', act: () => {} }),
      setReplicaLogLevel(request: SetRequest, admin) {
        const level = levelOf(request);
        const forMs = durationOf(request);
        const act = () => (level === undefined ? levels.restore() : levels.override(level, forMs));
        return atReplica(options, { request, admin, method: 'SetReplicaLogLevel', act });
      },
    },
    watches: {},
  };
}

interface Act {
  readonly request: Named & Scoped;
  readonly admin: Admin;
  readonly method: string;
  readonly act: () => void;
}

async function atReplica(
  { replica, levels, peers }: LogLevelAnswersOptions,
  { request, admin, method, act }: Act,
): Promise<object> {
  const [, name] = /^replicas\/(.+)$/.exec(request.name) ?? [];
  if (name === undefined) throw invalid('name: expected replicas/ and the name of a replica.');
  if (name !== replica) return peers.require<object>(name, { method, request, admin });
  act();
  return {
    name: request.name,
    level: levels.current.toUpperCase(),
    configuredLevel: levels.configured.toUpperCase(),
    expireTime: levels.endsAt === undefined ? null : timestamp(levels.endsAt),
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
