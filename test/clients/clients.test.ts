import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { ReadyProcess } from '../support/spawn-ready.ts';
import { PUBLIC_SERVERS, spawnEverything } from './backends.ts';
import { inspector } from './inspector.ts';
import { mcpRemote } from './mcp-remote.ts';
import { sdkV1 } from './sdk-v1.ts';
import { sdkV2, sdkV2Negotiating } from './sdk-v2.ts';
import type { VisitingClient } from './visit.ts';

const CLIENTS: Readonly<Record<string, VisitingClient>> = {
  '@modelcontextprotocol/sdk v1': sdkV1,
  '@modelcontextprotocol/client v2': sdkV2,
  '@modelcontextprotocol/client v2, negotiating the version': sdkV2Negotiating,
  'the inspector command line': inspector,
  'mcp-remote': mcpRemote,
};

/** A command line knows strings alone; the server takes them for what they say. */
const THOUGHT = { thought: 'one', thoughtNumber: '1', totalThoughts: '1', nextThoughtNeeded: 'false' };

describe('real clients in front of real servers', function () {
  this.timeout(60_000);

  let everything: ReadyProcess<string>;
  let folder: string;
  let mesh: Mesh;

  before(async () => {
    everything = await spawnEverything();
    folder = await mkdtemp(join(tmpdir(), 'clients-'));
    await writeFile(join(folder, 'note.txt'), 'written by a test');
    mesh = await startMesh({
      replicas: 2,
      store: 'embedded',
      config: { mcpServers: publicServers(everything.ready, folder) },
      anonymous: true,
    });
  });

  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    await everything?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  for (const [name, client] of Object.entries(CLIENTS)) {
    it(
      verifies(
        'HTTP-7',
        'HTTP-8',
        'AGG-2',
        'AGG-4',
        'BACK-1',
        'BACK-9',
      )(`${name} lists the tools of all servers and calls one of each`),
      async () => {
        const calls = [
          { name: 'everything__echo', arguments: { message: `hello from ${name}` } },
          { name: 'filesystem__read_text_file', arguments: { path: join(folder, 'note.txt') } },
          { name: 'memory__search_nodes', arguments: { query: 'nobody' } },
          { name: 'thinking__sequentialthinking', arguments: THOUGHT },
        ];
        const { tools, texts } = await client({ url: mesh.url, calls });
        expect(tools).to.include.members(calls.map((call) => call.name));
        const [echo, note, graph, thought] = texts;
        expect(echo).to.equal(`Echo: hello from ${name}`);
        expect(note).to.equal('written by a test');
        expect(JSON.parse(graph ?? '')).to.deep.equal({ entities: [], relations: [] });
        expect(JSON.parse(thought ?? '')).to.include({ thoughtNumber: 1, thoughtHistoryLength: 1 });
      },
    );
  }
});

function publicServers(everythingUrl: string, folder: string) {
  return {
    everything: { type: 'http', url: everythingUrl },
    filesystem: { command: process.execPath, args: [PUBLIC_SERVERS.filesystem, folder] },
    memory: {
      command: process.execPath,
      args: [PUBLIC_SERVERS.memory],
      env: { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') },
    },
    thinking: { command: process.execPath, args: [PUBLIC_SERVERS.thinking] },
  };
}
