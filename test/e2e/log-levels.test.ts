import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { AdminClient } from '../support/admin-client.ts';
import { OUTRIGGER } from '../support/build.ts';
import type { TestProcess } from '../support/process.ts';
import { type Setting, type Story, startSetting, until } from '../support/story.ts';

const ENDED = 'an exchange ended';

/** What the program says of exchanges, from now on. */
function lines(program: TestProcess, since: number, text = ENDED): readonly string[] {
  return program
    .log()
    .slice(since)
    .filter((line) => line.includes(text));
}

describe('how much a program says', () => {
  let setting: Setting;
  let story: Story;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-levels-'));
    setting = await startSetting({
      store: 'embedded',
      config: {
        admin: { claim: { name: 'roles', value: 'mesh-admin' } },
        audit: { file: join(folder, 'audit') },
      },
    });
    story = await setting.open();
    const token = setting.token({ sub: 'root', claims: { roles: ['mesh-admin'] } });
    await writeFile(join(folder, 'token'), token);
  });
  after(async () => {
    await setting?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function outrigger(...args: string[]): Promise<{ readonly out: string; readonly err: string }> {
    const env = {
      PATH: process.env['PATH'] ?? '',
      // It is not the replica that is meant: that one is asked by this one.
      OUTRIGGER_ADMIN_ADDRESS: story.other.grpc,
      OUTRIGGER_ADMIN_TOKEN_FILE: join(folder, 'token'),
    };
    return new Promise((resolve) => {
      execFile(process.execPath, [OUTRIGGER, ...args], { env, timeout: 20_000 }, (_, out, err) =>
        resolve({ out: out.replace(/ {2,}/g, '  '), err }),
      );
    });
  }

  /** A call, and whether the owner of its session said something of it. */
  async function speaks(): Promise<boolean> {
    const since = story.owner.log().length;
    await story.client.call('echo');
    await new Promise((resolve) => setTimeout(resolve, 100));
    return lines(story.owner, since).length > 0;
  }

  it(verifies('OBS-1')('an admin lets a replica say more, for a time, and that is on record'), async () => {
    const { name } = story.owner;
    expect(await speaks()).to.equal(false);
    expect((await outrigger('replicas', 'log-level', name)).out).to.equal(
      `REPLICA  LEVEL  CONFIGURED  BACK IN\n${name}  INFO  INFO\n`,
    );

    const { out } = await outrigger('replicas', 'log-level', name, 'debug', '--for', '10s');
    expect(out).to.match(new RegExp(`^REPLICA .*\n${name}  DEBUG  INFO  \\d+s\n$`));
    expect(await speaks()).to.equal(true);
    await until('the level goes back', async () => !(await speaks()), 30_000);
    const recorded = await readFile(join(folder, 'audit'), 'utf8');
    const [change] = recorded.split('\n').filter((line) => line.includes('"method":"setReplicaLogLevel"'));
    expect(change).to.contain('"subject":"root"');
  });

  it(verifies('OBS-1')('without an end it stays until it is taken back'), async () => {
    await outrigger('replicas', 'log-level', story.owner.name, 'debug');
    expect(await speaks()).to.equal(true);
    const { out } = await outrigger('replicas', 'log-level', story.owner.name, 'configured');
    expect(out).to.contain(`${story.owner.name}  INFO  INFO`);
    expect(await speaks()).to.equal(false);
  });

  it('what makes no sense is said', async () => {
    const { name } = story.owner;
    expect((await outrigger('replicas', 'log-level', name, 'loud')).err).to.contain('expected one of debug');
    expect((await outrigger('replicas', 'log-level', name, 'debug', '--for', '3')).err).to.contain('--for');
    using admin = await AdminClient.open({
      address: story.owner.grpc,
      token: setting.token({ sub: 'root', claims: { roles: ['mesh-admin'] } }),
    });
    const replica = `replicas/${name}`;
    const day = { level: 'DEBUG', duration: { seconds: 100_000, nanos: 0 } };
    for (const request of [
      { ...day, name: replica },
      { name: replica, duration: { seconds: 5, nanos: 0 } },
    ])
      expect(await codeOf(admin.ask('SetReplicaLogLevel', request))).to.equal(status.INVALID_ARGUMENT);
    const stranger = admin.ask('SetReplicaLogLevel', { name: 'replicas/nobody', level: 'DEBUG' });
    expect(await codeOf(stranger)).to.equal(status.NOT_FOUND);
    // Who is asked as another replica passes it on to nobody.
    const elsewhere = { name: `replicas/${story.other.name}`, localOnly: true };
    expect(await codeOf(admin.ask('GetReplicaLogLevel', elsewhere))).to.equal(status.NOT_FOUND);
  });
});

async function codeOf(asked: Promise<unknown>): Promise<unknown> {
  try {
    await asked;
  } catch (thrown) {
    return Reflect.get(Object(thrown), 'code');
  }
  return undefined;
}
