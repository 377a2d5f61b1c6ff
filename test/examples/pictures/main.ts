import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OUTRIGGER } from '../../support/build.ts';
import { startIssuer } from '../../support/issuer.ts';
import { McpClient } from '../../support/mcp-client.ts';
import { type Mesh, startMesh } from '../../support/mesh.ts';
import { RecordingBackend } from '../../support/recording-backend.ts';
import { startRedis } from '../../support/redis.ts';
import { terminalSvg } from './terminal-svg.ts';

/**
 * Makes the pictures of the command line in README.md from a mesh that runs:
 *
 *     npx tsx test/examples/pictures/main.ts
 */
const PICTURES = fileURLToPath(new URL('../../../docs/images/', import.meta.url));
const SESSIONS = 12;
const CALLING_MS = 4_000;

const folder = await mkdtemp(join(tmpdir(), 'outrigger-pictures-'));
const issuer = await startIssuer();
const redis = await startRedis({ aof: true, maxmemoryPolicy: 'allkeys-lru' });
const [github, files, tickets] = await Promise.all(
  ['github', 'files', 'tickets'].map((name) => RecordingBackend.start({ name })),
);
if (github === undefined || files === undefined || tickets === undefined) throw new Error('no backends');
const config = {
  admin: { claim: { name: 'roles', value: 'mesh-admin' } },
  mcpServers: { github: { url: github.url }, files: { url: files.url }, tickets: { url: tickets.url } },
  identity: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }] },
};
const mesh = await startMesh({
  replicas: 2,
  sidecars: 2,
  spread: true,
  store: 'redis',
  redisUrl: redis.url,
  config,
});
let calling = true;
try {
  await writeFile(join(folder, 'token'), issuer.token({ sub: 'root', claims: { roles: ['mesh-admin'] } }));
  await tickets.stop();
  const clients = await openSessions(mesh);
  const busy = clients.map((client, at) => keepCalling(client, at));
  await mkdir(PICTURES, { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, CALLING_MS));
  const { sessions } = JSON.parse(await outrigger(['sessions', '--subject', 'alice-1', '-o', 'json'])) as {
    sessions: { name: string }[];
  };
  const name = sessions[0]?.name.slice('sessions/'.length) ?? '';
  await picture('top', ['top', '--once']);
  await picture('explain', ['sessions', 'explain', name]);
  await picture(
    'doctor',
    ['doctor', ...(await doctorArguments(mesh))],
    'outrigger doctor --token-file token',
  );
  calling = false;
  await Promise.all(busy);
} finally {
  calling = false;
  await mesh[Symbol.asyncDispose]();
  await Promise.all([issuer.stop(), github.stop(), files.stop(), redis[Symbol.asyncDispose]()]);
  await rm(folder, { recursive: true, force: true });
}

async function openSessions({ urls, url }: Mesh): Promise<McpClient[]> {
  const names = Array.from({ length: SESSIONS }, (_, at) => `alice-${at}`);
  const clients = await Promise.all(
    names.map((sub, at) => McpClient.open({ url: urls[(at >> 1) % 2] ?? url, token: issuer.token({ sub }) })),
  );
  await Promise.all(clients.map((client) => client.request('tools/list')));
  return clients;
}

async function keepCalling(client: McpClient, at: number): Promise<void> {
  while (calling) await client.call(at % 2 === 0 ? 'github__echo' : 'files__echo', { text: 'x' });
}

/** The configuration of replica `a`, as a file of its own says where it listens. */
async function doctorArguments({ replicas: [replica], stateFolder }: Mesh): Promise<string[]> {
  if (replica === undefined) throw new Error('no replica');
  const { args } = replica.spec;
  const written = JSON.parse(await readFile(args[args.indexOf('--config') + 1] ?? '', 'utf8')) as object;
  const listen = { grpc: replica.grpc, ops: new URL(replica.ops).host };
  await writeFile(join(folder, 'outrigger.yaml'), JSON.stringify({ ...written, listen, state: stateFolder }));
  return ['--config', 'outrigger.yaml', '--token-file', 'token'];
}

async function picture(
  name: string,
  args: readonly string[],
  shown = `outrigger ${args.join(' ')}`,
): Promise<void> {
  const text = await outrigger(args);
  await writeFile(join(PICTURES, `${name}.svg`), terminalSvg(shown, text.replaceAll(`${folder}/`, '')));
}

function outrigger(args: readonly string[]): Promise<string> {
  const env = {
    ...process.env,
    ...mesh.replicas[0]?.spec.env,
    COLUMNS: '100',
    OUTRIGGER_ADMIN_ADDRESS: mesh.replicas[0]?.grpc,
    OUTRIGGER_ADMIN_TOKEN_FILE: join(folder, 'token'),
  };
  return new Promise((resolve) => {
    const options = { cwd: folder, env, timeout: 40_000 };
    // Doctor finds what is planted here, and says so with its exit code as well.
    execFile(process.execPath, [OUTRIGGER, ...args], options, (_, stdout) => resolve(stdout));
  });
}
