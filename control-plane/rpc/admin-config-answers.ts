import type { Settings } from '../settings.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { others } from './admin-fleet-answers.ts';
import type { Scoped } from './admin-messages.ts';
import type { AdminPeers } from './admin-peers.ts';
import { timestamp } from './admin-values.ts';

/** The configuration as a running replica has it, and can have it anew. */
export interface ConfigControl {
  readonly file: string;
  readonly digest: string;
  /** In milliseconds since the epoch. */
  readonly loadedAt: number;
  check(): ConfigFindings & { readonly differs: boolean };
  reload(): ConfigFindings & { readonly result: 'applied' | 'unchanged' | 'rejected' };
}

interface ConfigFindings {
  readonly problems: readonly string[];
  /** What needs a restart. */
  readonly waiting: readonly string[];
}

export interface ConfigAnswersOptions {
  readonly settings: () => Settings;
  readonly config: () => ConfigControl;
  readonly peers: AdminPeers;
}

interface ReloadMessage {
  readonly results: readonly object[];
}

/** What is asked about the configuration. It is told by parts that are known to hold no secret. */
export function configAnswers({ settings, config, peers }: ConfigAnswersOptions): AdminAnswers {
  return {
    methods: {
      getConfig: () => {
        const { file, digest, loadedAt } = config();
        return { file, digest, loadTime: timestamp(loadedAt), ...described(settings()) };
      },
      validateConfig: () => {
        const { problems, differs, waiting } = config().check();
        return { valid: problems.length === 0, problems, differs, needsRestart: waiting };
      },
      reloadConfig: async (request: Scoped, admin) => {
        const question = { method: 'ReloadConfig', request: {}, admin };
        const { answers, unreachable } = await others<ReloadMessage>({ peers }, request, question);
        const { result, problems, waiting } = config().reload();
        const own = {
          replica: settings().replica,
          outcome: result.toUpperCase(),
          problems,
          needsRestart: waiting,
          digest: config().digest,
        };
        return { results: [own, ...answers.flatMap(({ results }) => results)], unreachable };
      },
    },
    watches: {},
  };
}

function described({ replica, virtualServers, identity, limits }: Settings) {
  return {
    replica,
    virtualServers: virtualServers.map(({ name, backends, naming }) => ({
      name,
      backends,
      naming: naming.mode,
    })),
    issuers: identity.issuers.map(({ issuer }) => issuer),
    anonymous: identity.anonymous,
    limits: Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, String(value)])),
  };
}
