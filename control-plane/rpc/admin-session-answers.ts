import type { BackendRegistry } from '../backend/registry.ts';
import type { Admission } from '../session/admission.ts';
import { adminName } from '../session/record-names.ts';
import type { SessionPlane } from '../session/session-plane.ts';
import type { Settings } from '../settings.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { explainView } from './admin-capabilities.ts';
import { explainLive } from './admin-explain.ts';
import { fieldsOf, masked } from './admin-fields.ts';
import type { Admin } from './admin-gate.ts';
import type { AdminLocal } from './admin-local.ts';
import type {
  GetRequest,
  ListSessionsRequest,
  Named,
  PrincipalMessage,
  Scoped,
  SessionMessage,
} from './admin-messages.ts';
import { type AdminPeers, isUnreachable, type Question } from './admin-peers.ts';
import type { AdminSessions, StoredSession } from './admin-sessions.ts';

export interface SessionAnswersOptions {
  readonly settings: () => Settings;
  readonly sessions: AdminSessions;
  readonly plane: Pick<SessionPlane, 'manager' | 'lists'>;
  readonly admission: Admission;
  readonly registry: BackendRegistry;
  readonly local: AdminLocal;
  readonly peers: AdminPeers;
}

const fields = fieldsOf<SessionMessage>({
  name: true,
  principal: true,
  client: true,
  virtualServer: true,
  backends: true,
  replica: true,
  epoch: true,
  restores: true,
  createTime: true,
  takeTime: true,
  useTime: true,
  idleExpireTime: true,
  expireTime: true,
});

/** What is asked about sessions: the store has all of them, and the owner knows the rest. */
export function sessionAnswers(options: SessionAnswersOptions): AdminAnswers {
  const { sessions } = options;
  return {
    methods: {
      listSessions: async (request: ListSessionsRequest) => {
        const { readMask } = request;
        const page = await sessions.list(request);
        return { ...page, sessions: page.sessions.map((each) => masked(each, { readMask, fields })) };
      },
      getSession: async ({ name, readMask }: GetRequest) =>
        masked(sessions.message(await sessions.get(name)), { readMask, fields }),
      explainSession: (request: Named & Scoped, admin) => explain(options, request, admin),
      lookupSession: async ({ sessionId }: { readonly sessionId: string }) =>
        sessions.message(await sessions.lookup(sessionId)),
      terminateSession: (request: Named & Scoped, admin) => terminate(options, request, admin),
      terminatePrincipalSessions: async (principal: PrincipalMessage) => ({
        terminatedCount: await sessions.terminateAll(principal),
      }),
      listCapabilities: (request: CapabilitiesRequest, admin) => capabilities(options, request, admin),
    },
    watches: {
      watchSessions: ({
        filter,
        resumeToken,
      }: {
        readonly filter: string;
        readonly resumeToken: string;
      }) => ({
        of: `sessions ${filter}`,
        resumeToken,
        list: () => sessions.all(filter),
        event: (type, session) => ({ type, session }),
      }),
    },
  };
}

/** By its owner, which serves nothing of it from then on; otherwise in the store, which its owner hears of. */
async function terminate(
  { sessions, peers, local }: SessionAnswersOptions,
  { name, localOnly }: Named & Scoped,
  admin: Admin,
): Promise<object> {
  const { owner } = (await sessions.get(name)).listing.header;
  if (!localOnly && owner !== local.replica) {
    const question = { method: 'TerminateSession', request: { name }, admin };
    const [asked] = await Promise.allSettled([peers.askOne<object>(owner, question)]);
    if (asked.status === 'fulfilled' && asked.value !== undefined) return {};
  }
  await sessions.terminate(name);
  return {};
}

interface CapabilitiesRequest extends Scoped {
  readonly session: string;
}

async function explain(
  options: SessionAnswersOptions,
  { name, localOnly }: Named & Scoped,
  admin: Admin,
): Promise<object> {
  const { sessions, plane, settings, registry, local } = options;
  const stored = await sessions.get(name);
  const session = sessions.message(stored);
  const live = plane.manager.named(adminName(stored.listing.key));
  if (live !== undefined) {
    const known = new Map(settings().backends.map((each) => [each.name, each.credential.strategy]));
    const explained = explainLive(live, {
      strategy: (backend) => known.get(backend) ?? '',
      health: (backend) => registry.health(backend),
      lists: local.listsOf(live.adminName),
    });
    return { ...explained, session, unreachable: [] };
  }
  const asleep = { session, state: 'STORED', findings: [ASLEEP], unreachable: [] };
  const question = { method: 'ExplainSession', request: { name }, admin };
  return (localOnly ? undefined : await askOwner(options, { stored, question })) ?? asleep;
}

const ASLEEP = 'No replica has it in memory: the next request of its client restores it.';

async function capabilities(
  options: SessionAnswersOptions,
  { session: name, localOnly }: CapabilitiesRequest,
  admin: Admin,
): Promise<object> {
  const { sessions, plane, admission } = options;
  const stored = await sessions.get(name);
  const live = plane.manager.named(adminName(stored.listing.key));
  if (live !== undefined) {
    const views = await plane.lists.seen(live);
    return { views: views.map((view) => explainView(view, admission)), unreachable: [] };
  }
  const question = { method: 'ListCapabilities', request: { session: name }, admin };
  const asked = localOnly ? undefined : await askOwner(options, { stored, question });
  return asked ?? { views: [], unreachable: [] };
}

/** What the owner says; that it cannot be asked, where it cannot; undefined where nobody has heard of it lately. */
async function askOwner(
  { peers, sessions }: SessionAnswersOptions,
  { stored, question }: { readonly stored: StoredSession; readonly question: Question },
): Promise<object | undefined> {
  const { owner } = stored.listing.header;
  try {
    return await peers.askOne<object>(owner, question);
  } catch (thrown) {
    if (!isUnreachable(thrown)) throw thrown;
    const findings = [`Its owner, the replica "${owner}", could not be asked.`];
    const unreachable = [`replicas/${owner}`];
    return { session: sessions.message(stored), state: 'UNKNOWN', findings, views: [], unreachable };
  }
}
