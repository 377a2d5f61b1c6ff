import { type Column, table } from './table.ts';
import { clean, fold } from './text.ts';
import { age, id, isRow, joined, mib, type Row, readable, rows, text } from './values.ts';

/** Answers of the admin API as people read them. */
export type View = (answer: Row, width: number | undefined) => string;

type Columns = readonly Column<Row>[];

const SESSIONS: Columns = [
  { title: 'SESSION', whole: true, text: ({ name }) => id(name) },
  { title: 'PRINCIPAL', text: ({ principal }) => principalOf(principal) },
  { title: 'CLIENT', text: ({ client }) => text(client) },
  { title: 'BACKENDS', text: ({ backends }) => joined(backends) },
  { title: 'REPLICA', text: ({ replica }) => text(replica) },
  { title: 'RESTORES', text: ({ restores }) => text(restores) },
  { title: 'AGE', text: ({ createTime }) => age(createTime) },
  { title: 'USED', text: ({ useTime }) => age(useTime) },
];

const BACKEND_ROWS: Columns = [
  { title: 'BACKEND', text: ({ name }) => id(name) },
  { title: 'KIND', text: ({ kind }) => text(kind) },
  { title: 'PLACE', text: ({ place }) => text(place) },
  { title: 'CREDENTIAL', text: ({ credentialStrategy }) => text(credentialStrategy) },
  { title: 'REPLICA', text: ({ replica }) => text(replica) },
  { title: 'STATE', text: ({ state }) => text(state) },
  { title: 'SINCE', text: ({ sinceTime }) => age(sinceTime) },
  { title: 'LAST FAULT', text: ({ lastFault }) => text(lastFault) },
  { title: 'OPEN', text: ({ sessionsOpen }) => text(sessionsOpen) },
  { title: 'MISSING', text: ({ sessionsMissing }) => text(sessionsMissing) },
];

const SIDECARS: Columns = [
  { title: 'SIDECAR', text: ({ name }) => id(name) },
  { title: 'SERVER', text: ({ virtualServer }) => text(virtualServer) },
  { title: 'STATE', text: ({ state }) => text(state) },
  { title: 'LISTS', text: ({ lists }) => countsOf(rows(lists)) },
  {
    title: 'REPLICAS',
    text: ({ streams }) =>
      rows(streams)
        .map(({ replica }) => text(replica))
        .join(', '),
  },
  { title: 'EXCHANGES', text: ({ streams }) => String(sumOf(rows(streams), 'exchanges')) },
];

const REPLICAS: Columns = [
  { title: 'REPLICA', text: ({ name }) => id(name) },
  { title: 'STATE', text: ({ state }) => text(state) },
  { title: 'ADDRESS', text: ({ address }) => text(address) },
  { title: 'SESSIONS', text: ({ sessions }) => text(sessions) },
  { title: 'STREAMS', text: ({ streams }) => text(streams) },
  { title: 'EXCHANGES', text: ({ exchanges }) => text(exchanges) },
  { title: 'VERSION', text: ({ version }) => text(version) },
  { title: 'CONFIG', text: ({ configDigest }) => text(configDigest) },
  { title: 'UP', text: ({ startTime }) => age(startTime) },
  { title: 'HEARD', text: ({ heartbeatTime }) => age(heartbeatTime) },
];

const LOG_LEVEL: Columns = [
  { title: 'REPLICA', text: ({ name }) => id(name) },
  { title: 'LEVEL', text: ({ level }) => text(level) },
  { title: 'CONFIGURED', text: ({ configuredLevel }) => text(configuredLevel) },
  { title: 'BACK IN', text: ({ expireTime }) => age(expireTime) },
];

const STATS: Columns = [
  { title: 'REPLICA', text: ({ replica }) => text(replica) },
  { title: 'UP', text: ({ uptime }) => readable(uptime) },
  { title: 'SESSIONS', text: ({ sessions }) => text(sessions) },
  { title: 'BUSY', text: ({ busySessions }) => text(busySessions) },
  { title: 'SIDECARS', text: ({ sidecars }) => text(sidecars) },
  { title: 'EXCHANGES', text: ({ exchanges }) => text(exchanges) },
  { title: 'RESIDENT', text: ({ residentBytes }) => mib(residentBytes) },
  { title: 'HEAP', text: ({ heapBytes }) => mib(heapBytes) },
  { title: 'CPU', text: ({ cpuTime }) => readable(cpuTime) },
  { title: 'LOOP P99', text: ({ loopDelay }) => readable(loopDelay) },
];

const CAPABILITIES: Columns = [
  { title: 'KIND', text: ({ kind }) => text(kind) },
  { title: 'NAME', text: ({ visible, original }) => text(visible) || text(original) },
  { title: 'BACKEND', text: ({ backend }) => text(backend) },
  { title: 'VISIBILITY', text: ({ visibility }) => text(visibility) },
  { title: 'NEEDS', text: ({ missingScopes }) => joined(missingScopes) },
];

const SESSION_BACKENDS: Columns = [
  { title: 'BACKEND', text: ({ name }) => id(name) },
  { title: 'STATE', text: ({ state }) => text(state) },
  { title: 'SINCE', text: ({ sinceTime }) => age(sinceTime) },
  { title: 'REASON', text: ({ reason }) => text(reason) },
  { title: 'CREDENTIAL', text: ({ credentialStrategy }) => text(credentialStrategy) },
  { title: 'LAST IDENTITY', text: ({ identityOutcome }) => text(identityOutcome) },
  { title: 'AT', text: ({ identityTime }) => age(identityTime) },
];

const LISTS: Columns = [
  { title: 'LIST', text: ({ list }) => text(list) },
  { title: 'SIDECAR', text: ({ sidecar }) => text(sidecar) },
  { title: 'STATE', text: ({ state }) => text(state) },
  { title: 'VERSION', text: ({ version }) => text(version) },
];

const SIDECAR_LISTS: Columns = [
  { title: 'SESSION', text: ({ session }) => id(session) },
  ...LISTS.filter(({ title }) => title !== 'SIDECAR'),
];

const RELOADS: Columns = [
  { title: 'REPLICA', text: ({ replica }) => text(replica) },
  { title: 'OUTCOME', text: ({ outcome }) => text(outcome) },
  { title: 'CONFIG', text: ({ digest }) => text(digest) },
  { title: 'NEEDS RESTART', text: ({ needsRestart }) => joined(needsRestart) },
  { title: 'PROBLEMS', text: ({ problems }) => joined(problems) },
];

export const sessionsView = listView('sessions', SESSIONS, 'There are no sessions.');
export const sidecarsView = listView('sidecars', SIDECARS, 'There are no sidecars.');
export const replicasView = listView('replicas', REPLICAS, 'There are no replicas.');
export const statsView = listView('replicas', STATS, 'There are no replicas.');
export const reloadView = listView('results', RELOADS, 'Nothing was reloaded.');

export const sessionView: View = (session, width) => sessionsView({ sessions: [session] }, width);
/** With every list that it answers. */
export const sidecarView: View = (sidecar, width) => {
  const lists = rows(sidecar['lists']);
  const own = sidecarsView({ sidecars: [sidecar] }, width);
  return lists.length === 0 ? own : `${own}\n${table(lists, { columns: SIDECAR_LISTS, width })}`;
};
export const replicaView: View = (replica, width) => replicasView({ replicas: [replica] }, width);
export const logLevelView: View = (level, width) => table([level], { columns: LOG_LEVEL, width });
export const backendView: View = (backend, width) => backendsView({ backends: [backend] }, width);

/** A line for each backend and replica. */
export const backendsView: View = ({ backends }, width) =>
  table(
    rows(backends).flatMap((backend) =>
      rows(backend['replicas']).map((health): Row => ({ ...backend, ...health })),
    ),
    { columns: BACKEND_ROWS, width },
  );

export const refreshView: View = ({ sessionCount }) => `Read anew in ${text(sessionCount)} live sessions.\n`;

export const checkView: View = ({ valid, problems, differs, needsRestart }, width) => {
  if (valid !== true) return `The configuration file is wrong:\n${lines(problems, width)}`;
  if (differs !== true) return 'The configuration file is right, and is in force.\n';
  const restart = joined(needsRestart);
  return `The configuration file is right, and is not in force yet.\n${restart === '' ? '' : `Needs a restart: ${restart}\n`}`;
};

export const configView: View = (config, width) =>
  [
    ['Replica', text(config['replica'])],
    ['File', text(config['file'])],
    ['Digest', text(config['digest'])],
    ['In force', `for ${age(config['loadTime'])}`],
    ['Issuers', joined(config['issuers']) || 'none'],
    ['Anonymous', config['anonymous'] === true ? 'allowed' : 'refused'],
    ...rows(config['virtualServers']).map(({ name, backends, naming }) => [
      `Server ${text(name)}`,
      `${joined(backends)} (naming: ${text(naming)})`,
    ]),
  ]
    .map(([label = '', value = '']) => line(label, value, width))
    .join('');

export const explainView: View = (told, width) => {
  const session = isRow(told['session']) ? told['session'] : {};
  const streams = isRow(told['streams']) ? told['streams'] : undefined;
  const head = [
    line('Session', `${id(session['name'])} (${text(told['state'])})`, width),
    line('Principal', principalOf(session['principal'], { full: true }), width),
    line('Client', text(session['client']), width),
    line(
      'Owner',
      `replica ${text(session['replica'])}, epoch ${text(session['epoch'])}, restored ${text(session['restores'])} times`,
      width,
    ),
    line(
      'Life',
      `made ${age(session['createTime'])} ago, used ${age(session['useTime'])} ago; ` +
        `ends in ${age(session['idleExpireTime'])} if idle, in ${age(session['expireTime'])} in any case`,
      width,
    ),
    streams === undefined ? '' : line('Streams', streamsOf(streams), width),
  ].join('');
  const backends = rows(told['backends']);
  const lists = rows(told['lists']);
  return [
    head,
    backends.length === 0 ? '' : table(backends, { columns: SESSION_BACKENDS, width }),
    lists.length === 0 ? '' : table(lists, { columns: LISTS, width }),
    findings(told, width),
  ]
    .filter((part) => part !== '')
    .join('\n');
};

export const capabilitiesView: View = ({ views }, width) => {
  const parts = rows(views).map((view) => {
    const scopes = joined(view['scopes']);
    const who = `${principalOf(view['principal'])}${scopes === '' ? '' : ` (${scopes})`}`;
    const missing = rows(view['missing']).map(
      ({ backend, reason, message }) =>
        `- ${text(backend)} is missing (${text(reason)}): ${clean(text(message))}\n`,
    );
    return `${line('Seen by', who)}\n${table(rows(view['capabilities']), { columns: CAPABILITIES, width })}${missing.join('')}`;
  });
  if (parts.length > 0) return parts.join('\n');
  return 'Nothing is known of what it sees: it asked for no list since a replica has it in memory.\n';
};

function listView(field: string, columns: Columns, none: string): View {
  return (answer, width) => {
    const found = rows(answer[field]);
    return found.length === 0 ? `${none}\n` : table(found, { columns, width });
  };
}

const LABEL = 10;
/** Less would be a column of single words. */
const NARROWEST_TEXT = 30;

function line(label: string, value: string, width?: number): string {
  const [first = '', ...rest] = folded(value, { width, indent: LABEL + 1 });
  return [`${label.padEnd(LABEL)} ${first}`, ...rest.map((more) => `${' '.repeat(LABEL + 1)}${more}`)]
    .map((each) => `${each.trimEnd()}\n`)
    .join('');
}

function lines(value: Row[string] | undefined, width?: number): string {
  if (!Array.isArray(value)) return '';
  return value
    .flatMap((each) =>
      folded(text(each), { width, indent: 2 }).map((part, at) => `${at === 0 ? '-' : ' '} ${part}\n`),
    )
    .join('');
}

function folded(
  value: string,
  { width, indent }: { readonly width: number | undefined; readonly indent: number },
): string[] {
  return fold(clean(value), width === undefined ? undefined : Math.max(NARROWEST_TEXT, width - indent));
}

function findings({ findings: found, state }: Row, width: number | undefined): string {
  const said = lines(found, width);
  if (said !== '') return `Findings\n${said}`;
  return state === 'LIVE' ? 'Nothing is wrong with it.\n' : '';
}

function streamsOf({ attached, resumable, listening, calls }: Row): string {
  const running = joined(calls);
  const listens = listening === true ? 'the client listens' : 'the client does not listen';
  return `${text(attached)} read, ${text(resumable)} to be resumed; ${listens}; calls: ${running || 'none'}`;
}

function principalOf(value: Row[string] | undefined, { full = false } = {}): string {
  const { subject, issuer, tenant } = isRow(value) ? value : {};
  if (text(subject) === '') return 'anonymous';
  const of = text(tenant) === '' ? '' : ` of ${text(tenant)}`;
  return full ? `${text(subject)}${of}, by ${text(issuer)}` : `${text(subject)}${of}`;
}

function countsOf(lists: readonly Row[]): string {
  const counts = new Map<string, number>();
  for (const { state } of lists) counts.set(text(state), (counts.get(text(state)) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

function sumOf(found: readonly Row[], field: string): number {
  return found.reduce((total, each) => total + Number(each[field] ?? 0), 0);
}
