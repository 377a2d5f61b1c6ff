import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { granted, LISTS, listsAdded, namesIn } from '../support/lists.ts';
import { McpClient } from '../support/mcp-client.ts';
import { startMesh } from '../support/mesh.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

const LEAP = fileURLToPath(new URL('../support/leap.mjs', import.meta.url));

describe('A backend that cannot say that its lists changed', function () {
  this.timeout(30_000);

  it(
    verifies(
      'M2',
      'CAP-1',
      'BACK-3',
    )('is asked again after a minute, by whoever lists: not by a sidecar from its copy'),
    async () => {
      await using backend = await RecordingBackend.start({ get: 405, tools: [{ name: 'old' }], prompts: [] });
      await using mesh = await startMesh({
        replicas: 1,
        anonymous: true,
        config: { mcpServers: { mute: { url: backend.url } } },
        env: { NODE_OPTIONS: `--import ${LEAP}` },
      });
      const client = await McpClient.open({ url: mesh.url });
      for (const method of LISTS) await granted(client, mesh.sidecar, method);
      const asked = () => backend.view.requests({ rpc: 'tools/list' }).length;
      const before = asked();
      backend.script({ tools: [{ name: 'new' }], prompts: [{ name: 'greet' }] });
      const soon = await listsAdded(mesh.sidecar, async () =>
        expect(await namesIn(client)).to.deep.equal(['old']),
      );
      expect(soon).to.deep.equal({ local: 1, crossed: 0 });
      expect(asked()).to.equal(before);

      for (const { pid } of [...mesh.replicas, mesh.sidecar]) process.kill(pid, 'SIGUSR2');
      await sleep(100);
      const late = await listsAdded(mesh.sidecar, async () =>
        expect(await namesIn(client)).to.deep.equal(['new']),
      );
      expect(late).to.deep.equal({ local: 0, crossed: 1 });
      expect(await namesIn(client, 'prompts/list')).to.deep.equal(['greet']);
      expect(asked()).to.equal(before + 1);
      await granted(client, mesh.sidecar);
      expect(await namesIn(client)).to.deep.equal(['new']);
    },
  );
});
