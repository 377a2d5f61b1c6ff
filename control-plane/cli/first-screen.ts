import { basename, relative } from 'node:path';
import type { BackendSettings, Settings } from '../config.ts';
import type { Child } from './child.ts';
import type { Plan, PlannedProgram } from './plan.ts';
import { showAddress } from './ports.ts';

export interface ScreenFacts {
  readonly plan: Plan;
  readonly settings: Settings;
  readonly children: readonly Child[];
  readonly cwd: string;
}

/** What is running, and what to try next. */
export function firstScreen({ plan, settings, children, cwd }: ScreenFacts): string {
  const pidOf = (name: string) => String(children.find(({ spec }) => spec.name === name)?.pid ?? '');
  const row = ({ spec, address, ops }: PlannedProgram) => [
    spec.name,
    pidOf(spec.name),
    showAddress(address),
    `http://${showAddress(ops)}/metrics`,
  ];
  const url = `http://${showAddress(plan.sidecar.address)}/mcp`;
  return [
    '',
    'Outrigger is up: every line below is an operating-system process.',
    '',
    ...columns([
      ['process', 'pid', 'listens on', 'metrics'],
      row(plan.sidecar),
      ...plan.replicas.map(row),
      ...plan.helpers.map(({ name }) => [name, pidOf(name), 'a backend', '']),
    ]),
    '',
    `Backends, as one MCP server (store: ${settings.store.kind}, state: ${relative(cwd, settings.stateFolder) || '.'}):`,
    '',
    ...columns(settings.backends.map((backend) => [backend.name, describe(backend)])),
    '',
    'Try next:',
    '',
    `  npx @modelcontextprotocol/inspector --cli ${url} --transport http --method tools/list`,
    `  curl -s ${url} -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \\`,
    `    -d '${INITIALIZE}'`,
    ...killHint(plan, pidOf),
    ...dashboardHint(plan, settings),
    '',
    'Ctrl-C ends everything.',
    '',
    `ready: ${url}`,
    '',
  ].join('\n');
}

const INITIALIZE = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'curl', version: '1' } },
});

function killHint({ replicas }: Plan, pidOf: (name: string) => string): string[] {
  const [first, second] = replicas;
  if (first === undefined || second === undefined) return [];
  const kill = ({ spec }: PlannedProgram) => `kill -9 ${pidOf(spec.name)}`;
  return [
    `  ${kill(first)}    (${first.spec.name}; or ${kill(second)}, ${second.spec.name}) in the middle of a session:`,
    '    it goes on at the other replica, and the killed one is started again',
  ];
}

/** Where somebody is an admin. */
function dashboardHint({ replicas: [first] }: Plan, { admin }: Settings): string[] {
  if (first === undefined || admin === undefined) return [];
  return [`  http://${showAddress(first.ops)}/ in a browser: the dashboard of the mesh`];
}

function describe(backend: BackendSettings): string {
  if (backend.kind !== 'stdio') {
    const { origin, pathname } = new URL(backend.url);
    return `${origin}${pathname}`;
  }
  const what = [basename(backend.command), ...backend.args.flatMap((arg) => packageOf(arg) ?? [])];
  return `${what.join(' ')} (a process for each session)`;
}

/** `…/node_modules/@scope/name/dist/index.js` is known by its package. Other arguments may be secrets. */
function packageOf(arg: string): string | undefined {
  return /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(arg)?.[1];
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd());
}
