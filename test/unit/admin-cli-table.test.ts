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

  it(verifies('ADM-1')('count columns, not letters'), () => {
    const rows = [
      { name: '日本語のサーバー', place: 'x' },
      { name: 'e\u0301te\u0301 👩🏽', place: 'y' },
      { name: 'two\u2028lines\r\n', place: 'z' },
    ];
    const [, wide, marks, lines] = table(rows, { columns: COLUMNS, width: undefined }).split('\n');
    expect(wide).to.equal('日本語のサーバー  x');
    expect(marks).to.equal(`e\u0301te\u0301 👩🏽${' '.repeat(10)}  y`);
    expect(lines).to.equal('two lines         z');
    const cut = table(rows.slice(0, 1), { columns: COLUMNS, width: 16 }).split('\n')[1];
    expect(cut).to.equal('日本語の…  x');
  });

  it(verifies('ADM-1')('leave out the last columns rather than break, and keep names whole'), () => {
    const columns = [{ ...COLUMNS[1], title: 'KEY', whole: true as const }, ...COLUMNS, ...COLUMNS].map(
      (column) => ({ text: ({ name }: Row) => name, ...column, title: column.title ?? '' }),
    );
    const long = [{ name: 'nobody cares for all of it', place: 'a-name-of-26-letters-is-one' }];
    for (const width of [120, 80, 60, 44, 40, 30]) {
      const lines = table(long, { columns, width }).trimEnd().split('\n');
      for (const line of lines) expect(line.length, `${width}: ${line}`).to.be.at.most(width);
      expect(lines[1]).to.include('a-name-of-26-letters-is-one');
    }
  });
});
