import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import { keepFixed } from '../../control-plane/fixed-settings.ts';
import { LiveSettings } from '../../control-plane/live-settings.ts';
import type { Settings } from '../../control-plane/settings.ts';
import { ReadFiles } from '../../shared/config/watched-files.ts';
import { verifies } from '../requirements.ts';

describe('settings that change', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-settings-'));
    writeFileSync(join(folder, 'secret'), 'a secret of this test\n');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const load = (more: Readonly<Record<string, unknown>> = {}, files = new ReadFiles()): Settings => {
    const config = {
      identity: { anonymous: true },
      mcpServers: {
        notes: {
          url: 'http://127.0.0.1:1/mcp',
          credential: { strategy: 'header', name: 'x-key', value: { file: 'secret' } },
        },
      },
      ...more,
    };
    writeFileSync(join(folder, 'mesh.json'), JSON.stringify(config));
    return loadSettings({ file: 'mesh.json', env: {}, cwd: folder, files });
  };

  it('name every file that they were read from', () => {
    const files = new ReadFiles();
    load({}, files);
    expect([...files.marks.keys()]).to.deep.equal([join(folder, 'mesh.json'), join(folder, 'secret')]);
  });

  it(verifies('C12')('change for all who follow them, or for nobody'), () => {
    const [first, second] = [load(), load({ limits: { drain: '5s' } })];
    const live = new LiveSettings(first);
    const limits = live.part((settings) => settings.limits);
    const seen: string[] = [];
    live.onChange((next, before) => {
      seen.push(`asked ${before.limits.drainMs} ${next.limits.drainMs}`);
      return () => seen.push(`changed ${live.current.limits.drainMs}`);
    });
    let broken = true;
    live.onChange(() => {
      if (broken) throw new Error('cannot be done');
      return () => {};
    });
    expect(() => live.change(second)).to.throw('cannot be done');
    expect(live.current).to.equal(first);
    expect(limits.drainMs).to.equal(30_000);
    broken = false;
    live.change(second);
    expect(limits.drainMs).to.equal(5_000);
    expect(seen).to.deep.equal(['asked 30000 5000', 'asked 30000 5000', 'changed 5000']);
  });

  it('keep what is built into a running replica, and name it', () => {
    const present = load();
    const wanted = load({
      replica: 'other',
      listen: { grpc: '127.0.0.1:9' },
      store: { type: 'memory' },
      log: { level: 'debug', format: 'text' },
      limits: { lease: '100ms', liveSessions: 7 },
    });
    const { settings, waiting } = keepFixed(wanted, present);
    expect(waiting).to.deep.equal(['replica', 'listen', 'log.format', 'store', 'limits.lease']);
    expect(settings).to.deep.include({
      replica: present.replica,
      listen: present.listen,
      store: present.store,
      log: { level: 'debug', format: 'auto' },
    });
    expect(settings.limits).to.include({ leaseMs: 1_000, liveSessions: 7 });
    expect(settings.virtualServers[0]).to.equal(present.virtualServers[0]);
  });
});
