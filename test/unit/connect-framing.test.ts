import { expect } from 'chai';
import fc from 'fast-check';
import { LineReader, toLine } from '../../sidecar/connect/framing.ts';
import { verifies } from '../requirements.ts';

function read(reader: LineReader, ...chunks: (string | Buffer)[]): string[] {
  return chunks.flatMap((chunk) => reader.push(Buffer.from(chunk)).map(String));
}

describe('messages on lines', () => {
  it('a line is a message, wherever its bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 16 }),
        (values, cuts) => {
          const texts = values.map((value) => JSON.stringify(value));
          const bytes = Buffer.concat(texts.map((text) => toLine(Buffer.from(text))));
          const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
          const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
          expect(read(new LineReader(), ...chunks)).to.deep.equal(texts);
        },
      ),
    );
  });

  it('line ends of any kind, blank lines, and a last line without an end', () => {
    const reader = new LineReader();
    expect(read(reader, '{"a":1}\r\n\n \t\r\n{"b":2}\n{"c"', ':3}')).to.deep.equal(['{"a":1}\r', '{"b":2}']);
    expect(reader.end().map(String)).to.deep.equal(['{"c":3}']);
    expect(reader.end()).to.deep.equal([]);
  });

  it('a line over the limit is said to be, and not kept', () => {
    const reader = new LineReader(4);
    expect(read(reader, '12345', '67', '89\n1234\n12', '345\n')).to.deep.equal([
      'too long',
      '1234',
      'too long',
    ]);
  });

  it(
    verifies('RPC-12')('a pretty-printed message becomes one line that means the same, else to the byte'),
    () => {
      const pretty = '{\r\n  "id": 1,\n  "n": [1.0,\r  9007199254740993]\n, "s": "a\\nb \u2028 ü" }';
      const line = toLine(Buffer.from(pretty)).toString();
      expect(line.indexOf('\n')).to.equal(line.length - 1);
      expect(line).not.to.contain('\r');
      expect(line.slice(0, -1)).to.equal(pretty.replace(/[\r\n]/g, ' '));
      expect(JSON.parse(line)).to.deep.equal(JSON.parse(pretty));
      const plain = '{"id":1e0,"s":"\\u0041"}';
      expect(toLine(Buffer.from(plain)).toString()).to.equal(`${plain}\n`);
    },
  );

  it('any JSON, however it is laid out, survives', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('\n', '\r\n', '  ', '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, 2).replaceAll('\n', `\n${indent}`);
        const line = toLine(Buffer.from(text)).toString();
        expect(line.split('\n')).to.have.length(2);
        expect(JSON.parse(line)).to.deep.equal(JSON.parse(text));
      }),
    );
  });
});
