import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Browser } from 'playwright-core';
import { startChromium } from '../support/chromium.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { indexedPng } from './indexed-png.ts';

/**
 * `npm run screenshots`: the pictures of the dashboard in docs/images, taken of a mesh that lives through
 * a quarter of an hour: agents at work, a killed replica, a stolen session id, a backend that goes away.
 * `npm run screenshots -- 2` makes it two minutes.
 */

const FOLDER = join(import.meta.dirname, '../../docs/images');
const minutes = Number(process.argv[2] ?? 15);
const BACKENDS = ['search', 'tickets', 'wiki'] as const;
const AGENTS = [
  ['planner 2.1', 'ana@example.com'],
  ['planner 2.1', 'ben@example.com'],
  ['reviewer 0.9', 'ana@example.com'],
  ['reporter 1.4', 'chioma@example.com'],
  ['triage 3.0', 'support-bot'],
  ['triage 3.0', 'support-bot-2'],
] as const;

/** Comes when a backend is away. */
const LATE = 'dmitri@example.com';

interface Agent {
  readonly client: Client;
  readonly transport: StreamableHTTPClientTransport;
}

async function picture(): Promise<void> {
  await using issuer = await startIssuer();
  const backends = await Promise.all(BACKENDS.map(() => startBackend()));
  try {
    await using mesh = await start(issuer, backends);
    const agents = await Promise.all(
      AGENTS.map(([name, sub], at) => openAgent(mesh, { issuer, name, sub, at })),
    );
    await live({ mesh, issuer, agents, backends });
    await openAgent(mesh, { issuer, name: 'reviewer 0.9', sub: LATE, at: 0 });
    await using chromium = await startChromium();
    await mkdir(FOLDER, { recursive: true });
    await take(chromium.browser, { mesh, issuer });
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()));
  }
}

function startBackend(): Promise<RecordingBackend> {
  const tools = [
    { name: 'find', behaviour: 'echo' },
    { name: 'think', behaviour: 'slow' },
    { name: 'fail', behaviour: 'hang' },
  ] as const;
  return RecordingBackend.start({ tools: [...tools] });
}

function start(issuer: TestIssuer, backends: readonly RecordingBackend[]): Promise<Mesh> {
  const { url, jwksUri, audience } = issuer;
  const servers = BACKENDS.map((name, at) => [
    name,
    {
      url: backends[at]?.url,
      timeouts: { request: '2s' },
      credential: { strategy: 'header', name: 'x-key', value: { env: 'BACKEND_KEY' } },
    },
  ]);
  return startMesh({
    replicas: 3,
    sidecars: 2,
    spread: true,
    store: 'embedded',
    config: {
      mcpServers: Object.fromEntries(servers),
      identity: { issuers: [{ issuer: url, jwksUri, audiences: [audience] }] },
      admin: { scope: 'mesh:admin' },
    },
    env: { BACKEND_KEY: 'a key' },
  });
}

interface Who {
  readonly issuer: TestIssuer;
  readonly name: string;
  readonly sub: string;
  readonly at: number;
}

async function openAgent(mesh: Mesh, { issuer, name, sub, at }: Who): Promise<Agent> {
  const [title = '', version = ''] = name.split(' ');
  const client = new Client({ name: title, version });
  const authorization = `Bearer ${issuer.token({ sub, exp: Math.floor(Date.now() / 1_000) + 7_200 })}`;
  const transport = new StreamableHTTPClientTransport(new URL(mesh.urls[at % mesh.urls.length] ?? ''), {
    requestInit: { headers: { authorization } },
  });
  await client.connect(transport as Parameters<Client['connect']>[0]);
  await client.listTools();
  return { client, transport };
}

interface Life {
  readonly mesh: Mesh;
  readonly issuer: TestIssuer;
  readonly agents: readonly Agent[];
  readonly backends: readonly RecordingBackend[];
}

/** What happens, by the part of the time that has passed. */
async function live({ mesh, issuer, agents, backends }: Life): Promise<void> {
  const lengthMs = minutes * 60_000;
  const began = performance.now();
  const part = () => (performance.now() - began) / lengthMs;
  const events: (readonly [number, () => Promise<unknown>])[] = [
    [0.35, () => mesh.replicas[1]?.restart() ?? Promise.resolve()],
    [0.55, () => Promise.all([1, 2, 3].map(() => steal(mesh, { issuer, agents })))],
    [0.9, () => backends[1]?.stop() ?? Promise.resolve()],
  ];
  while (part() < 1) {
    while (events[0] !== undefined && part() > events[0][0]) void events.shift()?.[1]().catch(console.error);
    const busy = 1 + Math.sin(part() * 12) ** 2 + Math.random();
    for (const { client } of agents) {
      if (Math.random() > busy / 4) continue;
      const backend = BACKENDS[Math.floor(Math.random() * BACKENDS.length)];
      const slow = Math.random() < 0.2;
      const name = `${backend}__${slow ? 'think' : Math.random() < 0.004 ? 'fail' : 'find'}`;
      void client.callTool({ name, arguments: { ms: 20 + Math.random() * 150 } }).catch(() => {});
    }
    await delay(600);
  }
}

async function steal(mesh: Mesh, { issuer, agents }: Pick<Life, 'issuer' | 'agents'>): Promise<void> {
  await fetch(mesh.url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${issuer.token({ sub: 'mallory' })}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-session-id': agents[0]?.transport.sessionId ?? '',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
  });
}

async function take(browser: Browser, { mesh, issuer }: Pick<Life, 'mesh' | 'issuer'>): Promise<void> {
  const token = issuer.token({ sub: 'root', scope: 'mesh:admin' });
  const heights = { light: 1_380, dark: 760 };
  for (const colorScheme of ['light', 'dark'] as const) {
    const viewport = { width: 1_200, height: heights[colorScheme] };
    const context = await browser.newContext({ colorScheme, viewport });
    const page = await context.newPage();
    await page.goto(`${mesh.replicas[0]?.ops}/`);
    await page.getByLabel('A token with the admin role').fill(token);
    await page.keyboard.press('Enter');
    await page
      .getByRole('button', { name: /^Explain/ })
      .first()
      .waitFor();
    if (colorScheme === 'dark') {
      await page.getByRole('button', { name: LATE }).click();
      await page.getByRole('dialog').getByText('is missing since').waitFor();
    }
    const shot = await indexedPng(context, await page.screenshot());
    await writeFile(join(FOLDER, `dashboard-${colorScheme}.png`), shot);
    await context.close();
  }
}

await picture();
