import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { FileWatch, ReadFiles } from '../../shared/config/watched-files.ts';

describe('files that are watched', () => {
  let folder: string;
  let watch: FileWatch;
  let told: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-watch-'));
    told = 0;
    watch = new FileWatch({ changed: () => (told += 1) });
  });
  afterEach(() => {
    watch.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const path = (name: string) => join(folder, name);
  const follow = (...names: string[]) => {
    const files = new ReadFiles();
    for (const name of names) {
      try {
        files.read(path(name));
      } catch {
        // It may come.
      }
    }
    watch.follow(files.marks);
  };
  const tellsOf = async (change: () => void) => {
    const before = told;
    change();
    for (let waited = 0; told === before && waited < 5_000; waited += 20) await sleep(20);
    expect(told).to.equal(before + 1);
  };

  it('tell when they are written, replaced, gone, and there again', async () => {
    writeFileSync(path('one'), 'first');
    follow('one');
    await tellsOf(() => writeFileSync(path('one'), 'other'));
    await tellsOf(() => {
      writeFileSync(path('.one.swp'), 'other');
      renameSync(path('.one.swp'), path('one'));
    });
    await tellsOf(() => rmSync(path('one')));
    await tellsOf(() => writeFileSync(path('one'), 'again'));
  });

  it('tell when a link above them is swapped, as Kubernetes does it', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(path(version));
      writeFileSync(join(path(version), 'mesh.yaml'), 'the same text');
    }
    symlinkSync('v1', path('..data'));
    symlinkSync(join('..data', 'mesh.yaml'), path('mesh.yaml'));
    follow('mesh.yaml');
    await tellsOf(() => {
      symlinkSync('v2', path('..data_tmp'));
      renameSync(path('..data_tmp'), path('..data'));
    });
  });

  it('tell when one comes that was missed', async () => {
    follow('late');
    await tellsOf(() => writeFileSync(path('late'), 'here'));
  });

  it('tell what changed between its reading and the watch', async () => {
    writeFileSync(path('one'), 'read');
    const files = new ReadFiles();
    files.read(path('one'));
    await tellsOf(() => {
      writeFileSync(path('one'), 'written since');
      watch.follow(files.marks);
    });
  });

  it('tell once for a burst, and nothing of others', async () => {
    writeFileSync(path('one'), '0');
    writeFileSync(path('other'), '0');
    follow('one');
    for (let n = 1; n <= 40; n += 1) {
      writeFileSync(path('one'), String(n));
      writeFileSync(path('other'), String(n));
      await sleep(10);
    }
    for (let waited = 0; told === 0 && waited < 5_000; waited += 20) await sleep(20);
    writeFileSync(path('other'), 'once more');
    await sleep(1_000);
    expect(told).to.be.within(1, 2);
  });
});
