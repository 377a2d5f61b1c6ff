import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { AuditLog, type AuditLogOptions } from '../../control-plane/ops/audit-log.ts';
import { systemClock } from '../../shared/clock.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { trusting, verifierFor } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';
import { eventually } from '../support/stores.ts';

describe('the audit log', () => {
  let folder: string;
  let file: string;
  let lost: number;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-audit-'));
    file = join(folder, 'audit.log');
    lost = 0;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = (change: Partial<AuditLogOptions> = {}) =>
    new AuditLog({
      target: { file },
      replica: 'r-1',
      withArguments: false,
      bufferBytes: 1_000_000,
      clock: systemClock,
      log: silentLogger,
      onLost: (count) => {
        lost += count;
      },
      ...change,
    });

  const lines = async (path = file): Promise<Record<string, unknown>[]> =>
    (await readFile(path, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it(
    verifies('OBS-1')('is a line for each decision: who, through whom, what, where, and how it ended'),
    async () => {
      await using issuer = await startIssuer();
      const token = issuer.token({ sub: 'alice', claims: { act: { sub: 'agent-7' } } });
      const caller = await verifierFor([trusting(issuer)]).verify(token);
      const log = open();
      log.record({
        action: 'call',
        outcome: 'denied',
        caller,
        session: 'abcdef',
        backend: 'files',
        kind: 'tool',
        item: 'delete',
        visible: 'files__delete',
        reason: 'policy',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      });
      await log.stop();
      const [said] = await lines();
      expect(said)
        .to.have.property('time')
        .that.matches(/^\d{4}-\d\d-\d\dT/);
      expect({ ...said, time: '' }).to.deep.equal({
        time: '',
        replica: 'r-1',
        action: 'call',
        outcome: 'denied',
        session: 'abcdef',
        backend: 'files',
        kind: 'tool',
        item: 'delete',
        visible: 'files__delete',
        reason: 'policy',
        principal: {
          issuer: issuer.url,
          subject: 'alice',
          actors: [{ issuer: issuer.url, subject: 'agent-7' }],
        },
        traceId: '0af7651916cd43dd8448eb211c80319c',
      });
      expect(await readFile(file, 'utf8')).to.not.contain(token);
      expect((await stat(file)).mode & 0o777).to.equal(0o600);
    },
  );

  it('keeps no arguments unless it is told to, then as they came, on the one line', async () => {
    const args = '{\n "a": 1.0,\r\n "b": "x\\ny" }';
    const call = (text: string) => {
      const bytes = Buffer.from(
        `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":${text}}}`,
      );
      return { bytes, scanned: scanMessage(bytes) };
    };
    for (const withArguments of [false, true]) {
      const log = open({ withArguments });
      log.record({ action: 'call', outcome: 'allowed', message: call(args) });
      log.record({ action: 'call', outcome: 'allowed', message: call(`["${'x'.repeat(20_000)}"]`) });
      await log.stop();
    }
    const [without, , kept, long] = await lines();
    expect(without).to.not.have.property('arguments');
    expect(kept?.['arguments']).to.deep.equal({ a: 1, b: 'x\ny' });
    expect(await readFile(file, 'utf8')).to.contain('"a": 1.0,');
    expect(long).to.not.have.property('arguments');
    expect(long).to.have.property('argumentsBytes', 20_004);
  });

  it('adds to what was there, and begins a new file when the old one was moved', async () => {
    const log = open();
    log.record({ action: 'session.create', outcome: 'allowed' });
    await eventually(
      () =>
        lines().then(
          (all) => all.length === 1,
          () => false,
        ),
      'it is written',
    );
    await rename(file, `${file}.1`);
    log.record({ action: 'session.terminate', outcome: 'allowed' });
    log.reopen();
    log.record({ action: 'call', outcome: 'allowed' });
    await log.stop();
    expect((await lines(`${file}.1`)).map(({ action }) => action)).to.deep.equal([
      'session.create',
      'session.terminate',
    ]);
    expect((await lines()).map(({ action }) => action)).to.deep.equal(['call']);
    const again = open();
    again.record({ action: 'call', outcome: 'denied' });
    await again.stop();
    expect(await lines()).to.have.length(2);
  });

  it('a target that nobody reads costs events, never a wait; how many is counted and said', async () => {
    execFileSync('mkfifo', [file]);
    const log = open({ bufferBytes: 20_000 });
    const event = { action: 'call', outcome: 'allowed', item: 'x'.repeat(200) } as const;
    for (let n = 0; n < 1_000; n += 1) log.record(event);
    expect(lost).to.be.within(800, 960);
    const seen: Record<string, unknown>[] = [];
    const pipe = createReadStream(file);
    createInterface(pipe).on('line', (line) => seen.push(JSON.parse(line) as Record<string, unknown>));
    await eventually(() => seen.length === 1_000 - lost, 'what was kept is read');
    log.record(event);
    await log.stop();
    await eventually(() => seen.length === 1_002 - lost, 'the gap and the next one are read');
    expect(seen.at(-2)).to.include({ action: 'audit.gap', count: lost });
    expect(seen.at(-1)).to.include({ action: 'call' });
    pipe.destroy();
  });

  it('a target that cannot be opened is tried again, and then has what still waited', async () => {
    await mkdir(file);
    const log = open({ clock: { ...systemClock, after: (_ms, run) => systemClock.after(20, run) } });
    log.record({ action: 'session.create', outcome: 'allowed' });
    await eventually(() => lost === 1, 'the event that met the fault is lost');
    log.record({ action: 'session.restore', outcome: 'allowed' });
    await rmdir(file);
    await eventually(
      () =>
        stat(file).then(
          (found) => found.isFile() && found.size > 0,
          () => false,
        ),
      'the file is there',
    );
    await log.stop();
    expect((await lines()).map(({ action }) => action)).to.deep.equal(['audit.gap', 'session.restore']);
  });
});
