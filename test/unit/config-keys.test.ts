import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { decodeKey, loadKeys } from '../../control-plane/keys.ts';
import { ExitError } from '../../shared/lifecycle.ts';

describe('keys of the embedded store', () => {
  let folder: string;

  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'outrigger-keys-')), 'state');
  });

  afterEach(() => rm(join(folder, '..'), { recursive: true }));

  it('are made once, for their owner alone, and are the same for every replica', async () => {
    const made = loadKeys(undefined, folder);
    expect(made.server[0]?.key).to.have.lengthOf(32);
    expect(made.index.current).to.have.lengthOf(32);
    expect(made.index.current).not.to.deep.equal(made.server[0]?.key);
    expect(loadKeys(undefined, folder)).to.deep.equal(made);
    expect((await stat(join(folder, 'keys.json'))).mode & 0o777).to.equal(0o600);
    expect(await readdir(folder)).to.deep.equal(['keys.json']);
  });

  it('are those of configuration where it has some', async () => {
    const configured = {
      server: [{ id: 'a', key: new Uint8Array(32) }],
      index: { current: new Uint8Array(32) },
    };
    expect(loadKeys(configured, folder)).to.equal(configured);
  });

  it('that are broken end the program, and are left as they are', async () => {
    loadKeys(undefined, folder);
    await writeFile(join(folder, 'keys.json'), '{"server":{"id":"a","key":"short"},"index":"short"}');
    expect(() => loadKeys(undefined, folder)).to.throw(ExitError, 'it is not a key file');
    expect(await readFile(join(folder, 'keys.json'), 'utf8')).to.contain('short');
  });

  it('are read in base64, base64url and hex, and only whole', () => {
    const key = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index));
    for (const form of ['base64', 'base64url', 'hex'] as const) {
      expect(decodeKey(` ${key.toString(form)}\n`), form).to.deep.equal(new Uint8Array(key));
    }
    for (const wrong of [
      '',
      'abc',
      key.toString('hex').slice(2),
      `${key.toString('base64')}AA`,
      'ü'.repeat(43),
    ]) {
      expect(decodeKey(wrong), wrong).to.equal(undefined);
    }
  });
});
