import { expect } from 'chai';
import { table } from '../../control-plane/cli/admin/table.ts';
import { verifies } from '../requirements.ts';

interface Row {
  readonly name: string;
  readonly place: string;
}

const COLUMNS = [
  { title: 'NAME', text: ({ name }: Row) => name },
  { title: 'PLACE', text: ({ place }: Row) => place },
];
const ROWS = [
  { name: 'a', place: 'https://somewhere.example/very/far' },
  { name: 'a name that is long', place: '' },
];

describe('tables of the command line', () => {
  it(verifies('ADM-1')('are as wide as their texts where nobody’s terminal ends them'), () => {
    expect(table(ROWS, { columns: COLUMNS, width: undefined })).to.equal(
      'NAME                 PLACE\n' +
        'a                    https://somewhere.example/very/far\n' +
        'a name that is long\n',
    );
  });

  it(verifies('ADM-1')('fit the terminal: the widest column is cut first'), () => {
    const text = table(ROWS, { columns: COLUMNS, width: 40 });
    expect(text).to.equal(
      'NAME                 PLACE\n' + 'a                    https://somewhere.…\n' + 'a name that is long\n',
    );
    for (const width of [100, 60, 30, 20])
      for (const line of table(ROWS, { columns: COLUMNS, width }).trimEnd().split('\n'))
        expect(line.length).to.be.at.most(width);
  });

  it(verifies('ADM-1')('do not let a client steer the terminal'), () => {
    const rows = [{ name: '\u001b[2Jevil\u202e', place: 'x' }];
    expect(table(rows, { columns: COLUMNS, width: undefined })).to.match(/^NAME.*\n \[2Jevil {3,}x\n$/);
  });
});
