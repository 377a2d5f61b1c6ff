import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { OUTRIGGER } from '../support/build.ts';
import type { TestProcess } from '../support/process.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';
import { Watched } from '../support/watched.ts';

const PRELOADED = { NODE_OPTIONS: `--import=${new URL('../support/unhandled.mjs', import.meta.url).href}` };
/** `sysexits`: a fault of our own. */
const EXIT_FAULT = 70;

describe('A fault that nobody handles ends the process it happens in', function () {
  this.timeout(60_000);

  describe('in a mesh', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({ env: PRELOADED, limits: { streamAfter: '200ms' } });
    });
    beforeEach(() => setting.whole());
    after(() => setting[Symbol.asyncDispose]());

    const executions = (tag: string) =>
      setting.backend.view.record.executions.filter(
        (each) => (each.arguments as { tag?: string }).tag === tag,
      ).length;

    // First, while the home of the sidecar is the one that it chooses afresh.
    it(
      verifies(
        'C9',
        'X2',
      )('a sidecar with requests under way: started again it serves the session, and the answer is fetched'),
      async () => {
        const { mesh } = setting;
        const { client } = await setting.open();
        await client.call('count');
        const acting = client.beginCall('effect', { tag: 'under a sidecar', ms: 1_500 });
        await until('it streams', () => acting.lastEventId !== undefined);

        await crash(mesh.sidecar);
        await acting.ended;
        expect(acting.messages).to.deep.equal([]);
        await mesh.sidecar.start();
        const resumed = await answered(async () => (await client.listen(acting.lastEventId)).reply());
        expect(textOf(resumed)).to.equal('slept');
        expect(executions('under a sidecar')).to.equal(1);
        expect(textOf(await client.call('count'))).to.equal('2');
      },
    );

    it(
      verifies(
        'C9',
        'C1',
        'RST-11',
      )('a replica with requests under way: each has one end, and the next replica goes on'),
      async () => {
        const { backend } = setting;
        const { client, owner, backendSession } = await setting.open();
        await client.call('count');
        const prompts = backend.hold('prompts/list');
        const listing = client.begin('prompts/list');
        await prompts.arrived;
        const reading = client.beginCall('lookup', { tag: 'read', ms: 1_500 });
        const acting = client.beginCall('effect', { tag: 'act', ms: 5_000 });
        await until('both calls run', () => executions('read') + executions('act') === 2);
        const { initialises } = backend.view;

        await crash(owner);
        const acted = await acting.reply();
        expect(reasonOf(acted)).to.equal('outcome_unknown');
        expect(acted.answer?.error?.data).to.include({ retryable: false });
        expect(textOf(await reading.reply())).to.equal('slept');
        prompts.release();
        expect((await listing.reply()).answer?.result).to.deep.equal({ prompts: [{ name: 'greet' }] });
        expect([executions('read'), executions('act')]).to.deep.equal([2, 1]);
        expect(textOf(await client.call('count'))).to.equal('2');

        await owner.start();
        await setting.whole();
        expect(JSON.parse(textOf(await client.call('whoami')))).to.deep.equal({
          authorization: BACKEND_CREDENTIAL,
          sessionId: backendSession,
        });
        expect(backend.view.initialises).to.equal(initialises);
        expect(backend.view.deletes).to.have.length(0);
      },
    );
  });

  describe('under outrigger up', () => {
    let folder: string;
    let backend: RecordingBackend;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'outrigger-crash-'));
      backend = await RecordingBackend.start();
    });
    after(async () => {
      await backend.stop();
      await rm(folder, { recursive: true, force: true });
    });

    it(
      verifies('C9')('a replica that ended is started again, and serves the session as the others do'),
      async () => {
        const config = { identity: { anonymous: true }, mcpServers: { rec: { url: backend.url } } };
        await writeFile(join(folder, 'mesh.json'), JSON.stringify(config));
        const args = ['up', '--config', 'mesh.json', '--port-base', '0'];
        const up = new Watched([OUTRIGGER, ...args], { cwd: folder, env: PRELOADED });
        try {
          const [, url = ''] = await up.line(/^ready: (.*)$/, { withinMs: 30_000 });
          const client = await McpClient.open({ url });
          await client.call('rec__count');
          for (const name of ['a', 'b']) {
            const [, pid] = await up.line(new RegExp(`replica ${name} +(\\d+)`));
            process.kill(Number(pid), 'SIGUSR2');
            await up.line(new RegExp(`replica ${name} ended with ${EXIT_FAULT}; it is started again`));
            await up.line(/replica \w.*nobody expected this/);
            expect((await answered(() => client.call('rec__count'))).status).to.equal(200);
            await up.line(new RegExp(`replica ${name} .*replica ready`), { nth: 2 });
          }
          expect(backend.view.initialises).to.equal(1);
        } finally {
          up.child.kill('SIGTERM');
          await up.exited;
        }
      },
    );
  });
});

async function crash(program: TestProcess): Promise<void> {
  process.kill(program.pid, 'SIGUSR2');
  expect(await program.exited).to.deep.equal({ code: EXIT_FAULT, signal: null });
  const told = program.log().filter((line) => line.includes('unhandled rejection'));
  expect(told).to.have.length(1);
  expect(told[0]).to.contain('nobody expected this').and.to.contain('the actual cause');
}
