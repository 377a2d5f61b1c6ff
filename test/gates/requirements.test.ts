import { expect } from 'chai';
import { FAULTS, PROTOCOL, REQUIREMENTS, type RequirementId } from '../requirements.ts';
import { type Citation, citationsIn } from './citations.ts';
import { readSources, type SourceFiles } from './source-files.ts';

const ENTRIES = Object.entries(REQUIREMENTS);
const KNOWN = new Set(Object.keys(REQUIREMENTS));

/** Compiles only while no id stands in both tables; within a table the compiler refuses a second one itself. */
const SHARED_IDS: [keyof typeof PROTOCOL & keyof typeof FAULTS] extends [never] ? 0 : never = 0;

/** Whoever writes about citations cites nothing. */
function testFiles(): SourceFiles {
  const files = new Map(readSources(['test']));
  for (const path of files.keys()) {
    if (path.startsWith('test/gates/') || path === 'test/requirements.ts') files.delete(path);
  }
  return files;
}

function uncited(citations: readonly Citation[]): string[] {
  const cited = new Set(citations.map(({ id }) => id));
  return ENTRIES.filter(([id, entry]) => entry.deferred === undefined && !cited.has(id)).map(
    ([id, entry]) => `${id}: ${entry.text}`,
  );
}

function citedThoughDeferred(citations: readonly Citation[]): string[] {
  return citations
    .filter(({ id }) => REQUIREMENTS[id as RequirementId]?.deferred !== undefined)
    .map(({ id, at }) => `${id} at ${at}: take its mark away, or the citation`);
}

describe('every requirement is cited by a test', () => {
  const { found, unreadable } = citationsIn(testFiles(), KNOWN);

  it('holds each id once, over both tables', () => {
    expect(SHARED_IDS).to.equal(0);
    expect(ENTRIES.length).to.equal(Object.keys(PROTOCOL).length + Object.keys(FAULTS).length);
  });

  it('reads every citation, and knows its ids', () => {
    expect(found).to.not.be.empty;
    expect(unreadable).to.deep.equal([]);
    expect(found.filter(({ id }) => !(id in REQUIREMENTS))).to.deep.equal([]);
  });

  it('finds a test for every entry that is not deferred', () => {
    const missing = uncited(found);
    expect(missing, `cited by no test:\n${missing.join('\n')}\n`).to.deep.equal([]);
  });

  it('finds no test for an entry that is marked deferred', () => {
    const late = citedThoughDeferred(found);
    expect(late, `deferred, yet cited:\n${late.join('\n')}\n`).to.deep.equal([]);
  });

  it('gives a reason for every mark', () => {
    const bare = ENTRIES.filter(([, entry]) => entry.deferred?.trim() === '' || entry.partly?.trim() === '');
    expect(bare).to.deep.equal([]);
  });
});

describe('the citation gate bites', () => {
  const planted = (source: string) => citationsIn(new Map([['test/planted.test.ts', source]]), KNOWN);

  it('misses what only a comment cites', () => {
    expect(planted("// it(verifies('RST-2')('a story'), () => {});\n").found).to.deep.equal([]);
  });

  it('sees that an entry lost its last citation', () => {
    const { found } = planted("it(verifies('RST-2', 'S3')('a story'), () => {});\n");
    expect(found.map(({ id }) => id)).to.deep.equal(['RST-2', 'S3']);
    expect(uncited(found).some((line) => line.startsWith('RST-1:'))).to.equal(true);
    expect(uncited(found).some((line) => line.startsWith('RST-2:'))).to.equal(false);
  });

  it('sees a deferred entry that is cited', () => {
    const [late] = ENTRIES.find(([, entry]) => entry.deferred !== undefined) ?? [];
    if (late === undefined) return;
    expect(
      citedThoughDeferred(planted(`it(verifies('${late}')('early'), () => {});\n`).found),
    ).to.have.length(1);
  });

  it('reads the ids of a table', () => {
    const table = "const rows = [[['J5', 'RPC-1'], 'ids']];\nit(verifies(...ids)(title), () => {});\n";
    expect(planted(table).found).to.deep.equal([
      { id: 'J5', at: 'test/planted.test.ts:1' },
      { id: 'RPC-1', at: 'test/planted.test.ts:1' },
    ]);
  });

  it('refuses ids that it cannot read', () => {
    expect(planted("it(verifies(...row.ids)('a row'), () => {});\n").unreadable).to.deep.equal([
      'test/planted.test.ts:1',
    ]);
  });
});
