import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { granted, listsAdded } from '../support/lists.ts';
import { McpClient, type Setting, startSetting, textOf } from '../support/story.ts';

const PRELOAD = `--import=${new URL('../support/wrong-clock.mjs', import.meta.url).href}`;
const FIVE_MINUTES_MS = 300_000;
const wrongBy = (ms: number) => ({ NODE_OPTIONS: PRELOAD, OUTRIGGER_TEST_CLOCK_WRONG_BY: String(ms) });

/** The replica's clock is right; the first sidecar's is five minutes ahead, the second one's five behind. */
describe('Sidecars with wrong clocks', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({
      replicas: 1,
      sidecars: 2,
      envs: { 'sidecar 1': wrongBy(FIVE_MINUTES_MS), 'sidecar 2': wrongBy(-FIVE_MINUTES_MS) },
    });
  });
  after(() => setting[Symbol.asyncDispose]());

  for (const [at, which] of ['ahead', 'behind'].entries()) {
    describe(`by five minutes, ${which}`, () => {
      const sidecar = () => {
        const found = setting.mesh.sidecars[at];
        if (found === undefined) throw new Error('no such sidecar');
        return found;
      };

      it('really have one', () => {
        const [first = ''] = sidecar().log();
        const ms = Date.parse((JSON.parse(first) as { time: string }).time) - Date.now();
        expect(Math.abs(ms)).to.be.above(FIVE_MINUTES_MS / 2);
      });

      it(
        verifies('X9')('hand on a token that looks over, or not begun, and answer its lists themselves'),
        async () => {
          const now = Math.floor(Date.now() / 1_000);
          const token = setting.token({ claims: { iat: now, nbf: now, exp: now + 120 } });
          const client = await McpClient.open({ url: sidecar().url, token });
          expect(textOf(await client.call('echo', { n: 1 }))).to.equal('{"n":1}');
          await granted(client, sidecar());
          expect((await client.end()).status).to.equal(200);
        },
      );

      it(verifies('X9', 'I2')('hand on one that is over or not begun: the replica refuses it'), async () => {
        const now = Math.floor(Date.now() / 1_000);
        for (const times of [{ exp: now - 60 }, { nbf: now + 60, exp: now + 120 }]) {
          const client = new McpClient({ url: sidecar().url, token: setting.token({ claims: times }) });
          const { crossed } = await listsAdded(sidecar(), async () => {
            expect((await client.initialize()).status).to.equal(401);
          });
          expect(crossed).to.equal(1);
        }
      });

      it(verifies('X9', 'X9b')('end what they answer themselves when the token ends'), async () => {
        const exp = Math.floor(Date.now() / 1_000) + 4;
        const client = await McpClient.open({
          url: sidecar().url,
          token: setting.token({ claims: { exp } }),
        });
        await granted(client, sidecar());
        // Five seconds of tolerance are the replica's.
        await sleep(Math.max(0, exp * 1_000 + 5_500 - Date.now()));
        expect((await client.request('tools/list')).status).to.equal(401);
      });
    });
  }
});
