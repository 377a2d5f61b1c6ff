import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../shared/log.ts';
import { heldTokenFromFile, heldTokenFromValue } from '../../sidecar/credentials/held-token.ts';
import { verifies } from '../requirements.ts';

describe('the token that a sidecar holds', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-token-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const held = (file: string, recheckMs = 0) => heldTokenFromFile({ file, log: silentLogger, recheckMs });

  it('comes from the environment, without the white space around it', () => {
    expect(heldTokenFromValue(' abc.def \n').current()).to.equal('Bearer abc.def');
    expect(heldTokenFromValue('not a token').current()).to.equal(undefined);
  });

  it('is read again when its file changes', () => {
    const file = join(folder, 'token');
    writeFileSync(file, 'first\n');
    const token = held(file);
    expect(token.current()).to.equal('Bearer first');
    writeFileSync(file, 'the-second\n');
    expect(token.current()).to.equal('Bearer the-second');
  });

  it('follows a projected volume, which swaps a symbolic link', () => {
    for (const version of ['one', 'two']) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'token'), `token-${version}`);
    }
    symlinkSync('one', join(folder, '..data'));
    symlinkSync('..data/token', join(folder, 'token'));
    const token = held(join(folder, 'token'));
    expect(token.current()).to.equal('Bearer token-one');
    symlinkSync('two', join(folder, '..next'));
    renameSync(join(folder, '..next'), join(folder, '..data'));
    expect(token.current()).to.equal('Bearer token-two');
  });

  it('is none while its file is gone or holds none, and comes back with it', () => {
    const file = join(folder, 'token');
    const token = held(file);
    expect(token.current()).to.equal(undefined);
    writeFileSync(file, 'here');
    expect(token.current()).to.equal('Bearer here');
    unlinkSync(file);
    expect(token.current()).to.equal(undefined);
    writeFileSync(file, 'two words');
    expect(token.current()).to.equal(undefined);
  });

  it('costs one look at the file for many requests', () => {
    const file = join(folder, 'token');
    writeFileSync(file, 'first');
    const token = held(file, 60_000);
    expect(token.current()).to.equal('Bearer first');
    writeFileSync(file, 'second-one');
    expect(token.current()).to.equal('Bearer first');
  });

  it(verifies('X9')('is handed on whatever its times say: the sidecar decides nothing by time'), () => {
    const payload = Buffer.from(JSON.stringify({ exp: 1, nbf: 4_000_000_000 })).toString('base64url');
    expect(heldTokenFromValue(`e30.${payload}.c2ln`).current()).to.equal(`Bearer e30.${payload}.c2ln`);
  });
});
