import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { McpClient, type Setting, startSetting, textOf } from '../support/story.ts';

const KEYS = { OLD_KEY: secret(), NEW_KEY: secret(), INDEX_KEY: secret() };
const OLD = { id: 'old', env: 'OLD_KEY' };
const NEW = { id: 'new', env: 'NEW_KEY' };

describe('Server keys rotate', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({ replicas: 1, env: KEYS, config: { keys: keys([OLD]) } });
  });
  after(() => setting[Symbol.asyncDispose]());

  it(
    verifies('C6')(
      'what the old key sealed is read and sealed anew; without it the rest is not found, and stays',
    ),
    async () => {
      const { mesh } = setting;
      const open = () => McpClient.open({ url: mesh.url, token: setting.token() });
      const [used, left] = [await open(), await open()];
      await used.call('count');

      await restartWith(setting, [NEW, OLD]);
      expect(textOf(await used.call('count'))).to.equal('2');
      expect((await keyIds(setting)).sort()).to.deep.equal(['new', 'old']);

      await restartWith(setting, [NEW]);
      expect(textOf(await used.call('count'))).to.equal('3');
      expect((await left.call('count')).status).to.equal(404);
      expect(setting.backend.view.initialises).to.equal(2);
      expect(setting.backend.view.deletes).to.have.length(0);
      const metrics = await (await fetch(`${mesh.replicas[0]?.ops}/metrics`)).text();
      expect(metrics).to.match(/outrigger_session_lost_total\{reason="unknown_key"\} 1/);
      // A replica that was not given a key yet must not cost the session: whoever has the key opens it.
      await restartWith(setting, [NEW, OLD]);
      expect(textOf(await left.call('count'))).to.equal('1');
    },
  );
});

function secret(): string {
  return randomBytes(32).toString('base64');
}

function keys(server: readonly object[]) {
  return { server, index: { current: { env: 'INDEX_KEY' } } };
}

async function restartWith(setting: Setting, server: readonly object[]): Promise<void> {
  const { mesh } = setting;
  const file = join(dirname(mesh.stateFolder), 'control-plane.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...config, keys: keys(server) }));
  for (const replica of mesh.replicas) await replica.restart();
  await setting.whole();
}

/** Under which key each record is sealed. */
async function keyIds({ redis }: Setting): Promise<string[]> {
  const names = (await redis.cli('keys', 'outrigger:*:s:*')).split('\n');
  return Promise.all(names.map((name) => redis.cli('hget', name, 'kid')));
}
