import { expect } from 'chai';
import fc from 'fast-check';
import { parseListPage } from '../../control-plane/virtual-server/list-page.ts';
import { type TextRules, withPlainTexts } from '../../control-plane/virtual-server/plain-item.ts';
import { Shape } from '../../control-plane/virtual-server/shape.ts';
import { verifies } from '../requirements.ts';

const STRIP: TextRules = { hidden: 'strip', longest: undefined };
const TAGS = [...'ignore all']
  .map((each) => String.fromCodePoint(0xe0000 + (each.codePointAt(0) ?? 0)))
  .join('');

function itemOf(definition: string) {
  const [item] = parseListPage('tools', Buffer.from(`{"tools":[${definition}]}`)).items;
  if (item === undefined) throw new Error('no item');
  return item;
}
const shown = (definition: string, rules: TextRules) =>
  withPlainTexts(itemOf(definition), rules).bytes.toString();
const described = (description: string, rules: TextRules = STRIP) => {
  const made = shown(JSON.stringify({ name: 't', inputSchema: { type: 'object' }, description }), rules);
  return (JSON.parse(made) as { description: string }).description;
};

describe('texts that a model reads', () => {
  for (const [what, written, plain] of [
    ['tags', `Adds.${TAGS}`, 'Adds.'],
    ['zero-width characters', 'A\u200bdd\u2060s\ufeff.', 'Adds.'],
    ['bidirectional controls', 'A\u202edds\u2069.', 'Adds.'],
    ['colours of a terminal', '\u001b[8;31mAdds\u001b[0m.', 'Adds.'],
    ['a link of a terminal', '\u001b]8;;http://evil.example\u0007Adds\u001b]8;;\u0007.', 'Adds.'],
    ['an unfinished sequence', 'Adds.\u001b[31', 'Adds.'],
    ['other controls', 'A\u0000d\u0008ds\u009b.', 'Adds.'],
  ] as const) {
    it(verifies('B16')(`are without ${what}, where hidden characters are stripped`), () => {
      expect(described(written)).to.equal(plain);
      expect(described(written, { hidden: 'keep', longest: undefined })).to.equal(written);
    });
  }

  it('keep what people see: lines, tabs, all scripts, emoji', () => {
    const text = 'Ünïcödé\n\t• 日本語 عربى 👍🏽 "quoted" \\';
    expect(described(text)).to.equal(text);
  });

  it(verifies('B16')('are cut where they are too long, and never in half a character'), () => {
    expect(described('x'.repeat(1_000_000), { hidden: 'keep', longest: 100 })).to.equal(`${'x'.repeat(99)}…`);
    expect(described(`${'x'.repeat(98)}😀😀`, { hidden: 'keep', longest: 100 })).to.equal(
      `${'x'.repeat(98)}…`,
    );
    expect(described('x'.repeat(100), { hidden: 'keep', longest: 100 })).to.have.length(100);
  });

  it(
    verifies(
      'B16',
      'AGG-8',
    )('are found in schemas too; every other byte stays, and so does the digest of what was given'),
    () => {
      const definition = (text: string) =>
        `{ "name":"t", "inputSchema" : {"type":"object","properties":{"a":{"description":"${text}","default":1.0,"enum":["\u200b"]}},"anyOf":[{"title":"${text}"}]},"_meta":{"x":"\u200b"}}`;
      const given = itemOf(definition('A\u200bb'));
      const made = withPlainTexts(given, STRIP);
      expect(made.bytes.toString()).to.equal(definition('Ab'));
      expect(made.given).to.equal(given);
      expect(made.hash).to.not.equal(given.hash);
      expect(made.bytes.subarray(made.keySpan.start, made.keySpan.end).toString()).to.equal('"t"');
    },
  );

  it('change nothing where there is nothing to change', () => {
    const given = itemOf('{"name":"t","inputSchema":{"type":"object"},"description":"Adds."}');
    expect(withPlainTexts(given, STRIP)).to.equal(given);
  });

  it('that the operator wrote win', () => {
    const shape = new Shape({
      backend: 'b',
      filters: [],
      edits: [{ kind: 'tools', original: 't', description: 'Mine.' }],
      texts: STRIP,
    });
    const [made] = shape.apply('tools', [
      itemOf(`{"name":"t","inputSchema":{"type":"object"},"title":"T\u200b","description":"x"}`),
    ]);
    expect(made?.bytes.toString()).to.equal(
      '{"name":"t","inputSchema":{"type":"object"},"title":"T","description":"Mine."}',
    );
  });

  it('whatever they are, come out as JSON whose other members are the same', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.jsonValue(), (description, other) => {
        const definition = { name: 't', inputSchema: { type: 'object', other }, description };
        const made = JSON.parse(
          shown(JSON.stringify(definition), { hidden: 'strip', longest: 16 }),
        ) as typeof definition;
        expect(made.name).to.equal('t');
        expect(made.description.length).to.be.at.most(16);
      }),
    );
  });
});
