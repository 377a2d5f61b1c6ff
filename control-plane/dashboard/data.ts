import type { Admin } from '../rpc/admin-gate.ts';
import type { AdminQuestions } from '../rpc/admin-questions.ts';
import type {
  BackendView,
  Explanation,
  Overview,
  ReplicaHistory,
  ReplicaView,
  SessionPage,
  SidecarPage,
  StatsView,
  Timestamp,
} from './wire.ts';

/** One admin with one question. */
export interface Asked {
  readonly replica: string;
  readonly questions: AdminQuestions;
  readonly admin: Admin;
  readonly parameters: URLSearchParams;
}

/** What the page may ask, by the last part of its path. None of it changes anything. */
export const QUESTIONS: ReadonlyMap<string, (asked: Asked) => Promise<object>> = new Map<
  string,
  (asked: Asked) => Promise<object>
>([
  ['overview', overview],
  ['sidecars', sidecars],
  ['sessions', sessions],
  ['explain', explain],
]);

/** Replicas, backends and sidecars beyond that are a case for the command line. */
const MOST = 200;
const SESSIONS_A_PAGE = 25;

async function overview(asked: Asked): Promise<Overview> {
  const replicas = await replicasOf(asked);
  const scope = { localOnly: replicas.alone !== '' };
  const sinceTime = momentOf(asked.parameters.get('since'));
  const [stats, backends, history] = await Promise.all([
    ask<Partly<{ replicas: readonly StatsView[] }>>(asked, 'GetStats', scope),
    ask<Partly<{ backends: readonly BackendView[] }>>(asked, 'ListBackends', { ...scope, pageSize: MOST }),
    ask<Partly<{ replicas: readonly ReplicaHistory[] }>>(asked, 'GetHistory', { ...scope, sinceTime }),
  ]);
  const silent = [stats, backends].flatMap(({ unreachable }) => unreachable);
  return {
    replica: asked.replica,
    now: Date.now(),
    alone: replicas.alone,
    replicas: replicas.replicas,
    stats: stats.replicas.map(({ replica, sessions, exchanges, residentBytes, loopDelay }) => ({
      replica,
      sessions,
      exchanges,
      residentBytes,
      loopDelay,
    })),
    backends: backends.backends,
    history: history.replicas,
    unreachable: [...new Set(silent)].sort(),
  };
}

/** Of milliseconds since 1970, by the clock of whoever answered before. */
function momentOf(written: string | null): Timestamp {
  const ms = /^\d{1,15}$/.test(written ?? '') ? Number(written) : 0;
  return { seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1_000_000 };
}

/** The store knows the replicas; where it cannot be asked, this one goes on telling of itself. */
async function replicasOf(
  asked: Asked,
): Promise<{ readonly replicas: readonly ReplicaView[]; readonly alone: string }> {
  try {
    const { replicas } = await ask<{ readonly replicas: readonly ReplicaView[] }>(asked, 'ListReplicas', {
      pageSize: MOST,
    });
    return { replicas, alone: '' };
  } catch (thrown) {
    const { reason, message } = asked.questions.refusal(thrown);
    if (reason !== 'STORE_UNAVAILABLE') throw thrown;
    return { replicas: [], alone: message };
  }
}

async function sidecars(asked: Asked): Promise<SidecarPage> {
  const { alone } = await replicasOf(asked);
  const request = { pageSize: MOST, localOnly: alone !== '' };
  const answer = await ask<Partly<ListedSidecars>>(asked, 'ListSidecars', request);
  const { nextPageToken, unreachable } = answer;
  const shown = answer.sidecars.map(({ name, virtualServer, state, streams, lists }) => {
    const counts: Record<string, number> = {};
    for (const list of lists) counts[list.state] = (counts[list.state] ?? 0) + 1;
    return { name, virtualServer, state, streams, lists: counts };
  });
  return { sidecars: shown, nextPageToken, unreachable };
}

interface ListedSidecars {
  readonly sidecars: readonly (Omit<SidecarPage['sidecars'][number], 'lists'> & {
    readonly lists: readonly { readonly state: string }[];
  })[];
  readonly nextPageToken: string;
}

function sessions(asked: Asked): Promise<SessionPage> {
  const { parameters } = asked;
  return ask(asked, 'ListSessions', {
    pageSize: SESSIONS_A_PAGE,
    pageToken: parameters.get('pageToken') ?? '',
    filter: parameters.get('filter') ?? '',
  });
}

function explain(asked: Asked): Promise<Explanation> {
  return ask(asked, 'ExplainSession', { name: asked.parameters.get('name') ?? '' });
}

type Partly<Answer> = Answer & { readonly unreachable: readonly string[] };

async function ask<Answer>({ questions, admin }: Asked, method: string, request: object): Promise<Answer> {
  return (await questions.ask(method, request, admin)) as Answer;
}
