import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { MUTANTS } from './mutants.ts';
import { ROOT } from './source-files.ts';

describe('the mutants fit the code that they break', () => {
  for (const { behaviour, file, find, replace, tests } of MUTANTS) {
    it(behaviour, () => {
      const found = readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
      expect(found, `"${find}" in ${file}`).to.equal(1);
      expect(replace).to.not.equal(find);
      expect(tests.filter((path) => !existsSync(join(ROOT, path)))).to.deep.equal([]);
      expect(tests).to.not.be.empty;
    });
  }

  it('there are at least ten, and no two are the same', () => {
    expect(MUTANTS.length).to.be.at.least(10);
    expect(new Set(MUTANTS.map(({ file, find, replace }) => `${file}\n${find}\n${replace}`)).size).to.equal(
      MUTANTS.length,
    );
  });
});
