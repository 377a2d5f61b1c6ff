import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../support/ports.ts';
import { readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { NotHere, type Row } from '../row.ts';
import { installPeers, peerProgram } from './install.ts';

/** The library from one Streamable HTTP to the other, as its documentation has it. */
export const startMcpProxy: Row['start'] = async ({ backendUrl, programs }) => {
  await installPeers();
  const port = await freePort();
  const proxy = await spawnReady({ args: [programs.mcpProxy, backendUrl, String(port)], ready: readUrlLine });
  return {
    endpoint: { url: proxy.ready },
    processes: [{ name: 'proxy', pid: proxy.pid }],
    [Symbol.asyncDispose]: () => proxy.stop(),
  };
};

/** The hub as its command line starts it. It knows its clients by the older HTTP+SSE alone. */
export const startMcpHub: Row['start'] = async ({ backendUrl }) => {
  const program = await peerProgram('mcp-hub/dist/cli.js');
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-bench-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const config = join(folder, 'servers.json');
    await writeFile(config, JSON.stringify({ mcpServers: { bench: { url: backendUrl } } }));
    const port = await freePort();
    const hub = await spawnReady({
      args: [program, '--port', String(port), '--config', config],
      // It keeps logs and state there, and asks the network for a catalogue that nobody needs here.
      env: { HOME: folder, XDG_STATE_HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
      ready: (line) => (line.includes('1/1 servers started successfully') ? line : undefined),
    });
    return {
      endpoint: { url: `http://127.0.0.1:${port}/mcp`, tool: 'bench__echo', legacy: true },
      processes: [{ name: 'hub', pid: hub.pid }],
      async [Symbol.asyncDispose]() {
        await hub.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
};

/** One worker of nginx with kept connections: what a proxy costs that is not written in JavaScript. */
export const startNginx: Row['start'] = async ({ backendUrl }) => {
  const { host } = new URL(backendUrl);
  await promisify(execFile)('nginx', ['-v']).catch((cause: unknown) => {
    throw new NotHere('nginx is not installed', { cause });
  });
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-bench-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const port = await freePort();
    const file = join(folder, 'nginx.conf');
    await writeFile(file, nginxConfig({ folder, host, port }));
    const nginx = await spawnReady({
      command: 'nginx',
      args: ['-p', folder, '-e', 'stderr', '-c', file],
      ready: (line) => (line.includes('start worker processes') ? line : undefined),
    });
    return {
      endpoint: { url: `http://127.0.0.1:${port}/mcp` },
      processes: [{ name: 'nginx', pid: nginx.pid }],
      async [Symbol.asyncDispose]() {
        await nginx.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
};

/** Without a master, so that one process is all there is to account for. */
function nginxConfig({ folder, host, port }: { folder: string; host: string; port: number }): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
error_log stderr notice;
pid ${folder}/nginx.pid;
events { worker_connections 2048; }
http {
  access_log off;
  keepalive_requests 100000000;
  ${kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ')}
  upstream backend { server ${host}; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    client_max_body_size 16m;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}
