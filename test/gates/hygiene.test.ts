import { expect } from 'chai';
import { lineAt, readSources, type SourceFiles, withoutComments } from './source-files.ts';

const NARROWED =
  /\b(?:describe|it|context|suite|test|specify)\s*\.\s*(?:only|skip)\b|\bthis\s*\.\s*skip\s*\(|\bx(?:it|describe)\s*\(/g;
const MACHINE_PATHS = /(?:^|[\s'"`(=:])\/(?:work|root|Users|home\/(?!node\b))\/[\w.-]+/g;

function hits(files: SourceFiles, pattern: RegExp, read: (source: string) => string): string[] {
  return [...files].flatMap(([path, text]) => {
    const source = read(text);
    return [...source.matchAll(pattern)].map(
      (hit) => `${path}:${lineAt(source, hit.index)}: ${hit[0].trim()}`,
    );
  });
}

function outsideThisGate(files: SourceFiles): SourceFiles {
  return new Map([...files].filter(([path]) => path !== 'test/gates/hygiene.test.ts'));
}

describe('hygiene', () => {
  it('no test is singled out or passed over', () => {
    const files = outsideThisGate(readSources(['test']));
    expect(files.size).to.be.greaterThan(0);
    expect(hits(files, NARROWED, withoutComments)).to.deep.equal([]);
  });

  it('nothing depends on the machine that it was written on', () => {
    const files = outsideThisGate(
      readSources(
        ['shared', 'sidecar', 'control-plane', 'test', 'proto', 'docker'],
        ['.ts', '.mjs', '.sh', '.proto', '.yaml', '.json', '.md'],
      ),
    );
    expect(files.size).to.be.greaterThan(0);
    expect(hits(files, MACHINE_PATHS, (source) => source)).to.deep.equal([]);
  });

  it('bites', () => {
    const planted = new Map([['a.test.ts', "it.only('a', () => {});\nconst cache = '/root/cache';\n"]]);
    expect(hits(planted, NARROWED, withoutComments)).to.deep.equal(['a.test.ts:1: it.only']);
    expect(hits(planted, MACHINE_PATHS, (source) => source)).to.have.length(1);
  });
});
