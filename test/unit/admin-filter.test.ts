import { expect } from 'chai';
import * as fc from 'fast-check';
import { parseFilter } from '../../control-plane/rpc/admin-filter.ts';
import { verifies } from '../requirements.ts';

const FIELDS = { texts: ['subject', 'backend'], ages: ['age'] };
const ENTRY = { texts: { subject: ['alice'], backend: ['files', 'web'] }, ages: { age: 600_000 } };

function takes(text: string): boolean {
  return parseFilter(text, FIELDS)(ENTRY);
}

function problem(text: string): string {
  try {
    parseFilter(text, FIELDS);
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
  return 'accepted';
}

describe('filters of the admin API', () => {
  it(verifies('ADM-1')('compare texts, and ages by size, all of which must hold'), () => {
    for (const text of [
      '',
      '  ',
      'subject = alice',
      'subject="alice"',
      'subject != bob',
      'backend = web AND backend = "files"',
      'age > 9m AND age < 11m AND age >= 600s AND age <= 10m AND age = 10m AND age != 1d',
    ])
      expect(takes(text), text).to.equal(true);
    for (const text of ['subject = bob', 'subject != alice', 'backend != web', 'age > 10m', 'age < 1s'])
      expect(takes(text), text).to.equal(false);
  });

  it(verifies('ADM-1')('say what was expected where they are wrong'), () => {
    expect(problem('subject')).to.include('expected an operator at its end');
    expect(problem('subject =')).to.include('expected a value at its end');
    expect(problem('subject = a AND')).to.include('expected a field at its end');
    expect(problem('subject = a subject = b')).to.include('expected AND instead of "subject"');
    expect(problem('"subject" = a')).to.include('expected a field');
    expect(problem('subject > a')).to.include('compared by = and != alone');
    expect(problem('age > long')).to.include('a duration, such as 10m');
    expect(problem('toString = a')).to.include('there is no field "toString"');
    expect(problem('subject = "open')).to.include('cannot be read from character');
    expect(problem(`subject = ${'a'.repeat(3_000)}`)).to.include('too long');
  });

  it(verifies('ADM-1')('find any text that is quoted as it should be'), () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (subject) => {
        const quoted = `subject = "${subject.replace(/["\\]/g, '\\$&')}"`;
        const filter = parseFilter(quoted, FIELDS);
        return (
          filter({ texts: { subject: [subject] }, ages: {} }) && !filter(ENTRY) !== (subject === 'alice')
        );
      }),
    );
  });
});
