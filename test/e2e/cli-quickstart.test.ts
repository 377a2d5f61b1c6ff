import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { freePorts } from '../support/ports.ts';
import { Watched } from '../support/watched.ts';

const QUICKSTART = join(import.meta.dirname, '../../docker/quickstart.yaml');

describe('npm start', function () {
  this.timeout(60_000);

  let folder: string;
  let up: Watched;

  before(async () => {
    await ensureBuilt();
    folder = await mkdtemp(join(tmpdir(), 'outrigger-quickstart-'));
    const [port = 0] = await freePorts(1);
    up = new Watched([OUTRIGGER, 'up', '--config', QUICKSTART, '--port-base', '0', '--log-format', 'text'], {
      cwd: folder,
      env: { EVERYTHING_PORT: String(port) },
    });
  });

  after(async () => {
    up.child.kill('SIGTERM');
    await up.exited;
    await rm(folder, { recursive: true, force: true });
  });

  it(
    verifies('RST-1', 'C1')('brings up real servers whose session outlives the kill -9 of every replica'),
    async () => {
      const [, url = ''] = await up.line(/^ready: (.*)$/, { withinMs: 30_000 });
      const client = new Client({ name: 'quickstart', version: '1' });
      const transport = new StreamableHTTPClientTransport(new URL(url));
      await client.connect(transport as Parameters<Client['connect']>[0]);
      const session = transport.sessionId;
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name)).to.include.members([
        'everything__echo',
        'files__read_text_file',
        'memory__create_entities',
      ]);
      await writeFile(join(folder, '.outrigger/files/note.txt'), 'kept');

      for (const replica of ['a', 'b']) {
        const pid = Number((await up.line(new RegExp(`replica ${replica} +(\\d+) +127`)))[1]);
        process.kill(pid, 'SIGKILL');
        const echo = await client.callTool({ name: 'everything__echo', arguments: { message: replica } });
        expect(echo.content).to.deep.equal([{ type: 'text', text: `Echo: ${replica}` }]);
        const note = {
          name: 'files__read_text_file',
          arguments: { path: join(folder, '.outrigger/files/note.txt') },
        };
        expect((await client.callTool(note)).content).to.deep.equal([{ type: 'text', text: 'kept' }]);
        await up.line(new RegExp(`replica ${replica} is started again`));
        // The next kill must find this one known to the sidecar again.
        const reconnected = new RegExp(`sidecar +\\| .*mesh stream open .*replica=${replica}\\b`);
        await up.line(reconnected, { nth: 2, withinMs: 30_000 });
      }
      expect(transport.sessionId).to.equal(session);
      await transport.terminateSession();
      await client.close();
    },
  );
});
