import { expect } from 'chai';
import fc from 'fast-check';
import { routesFrom } from '../../control-plane/virtual-server/routes.ts';
import { compileTemplate } from '../../control-plane/virtual-server/template-matcher.ts';
import { verifies } from '../requirements.ts';

describe('URI templates', () => {
  const rows: [template: string, matching: string[], others: string[]][] = [
    ['x:/a', ['x:/a'], ['x:/', 'x:/a/', 'x:/ab', '']],
    ['x:/{a}', ['x:/1', 'x:/a%20b', 'x:/a,b'], ['x:/', 'x:/1/2', 'y:/1']],
    ['x:/{a}/b/{c}', ['x:/1/b/2', 'x:/b/b/b'], ['x:/1/c/2', 'x:/1/2/b/3', 'x:/1/b/']],
    ['x:/{a}.{b}', ['x:/1.2', 'x:/1.2.3'], ['x:/12', 'x:/.2', 'x:/1.']],
    ['x:/{+a}', ['x:/1', 'x:/1/2/3'], ['x:/']],
    ['x:/{+a}/end', ['x:/1/end', 'x:/1/end/end', 'x:/end/end'], ['x:/end', 'x:/1/end/2']],
    ['{+p}/x{y}', ['a/xb/c/xd'], ['a/xb/c']],
    ['x:/a{#f}', ['x:/a', 'x:/a#1/2'], ['x:/a#', 'x:/a1']],
    ['x:/a{?q,r}', ['x:/a', 'x:/a?q=1/2&r=2'], ['x:/a?', 'x:/aq=1', 'x:/a?q=1#f']],
    ['x:/a?z=1{&q}', ['x:/a?z=1', 'x:/a?z=1&q=2'], ['x:/a?z=12']],
    ['x:{/a}', ['x:', 'x:/1'], ['x:/', 'x:/1/2']],
    ['x:{/a*}', ['x:/1/2/3'], ['x:/']],
    ['x:{/a,b}', ['x:/1/2'], []],
    ['x:/a{.e}', ['x:/a', 'x:/a.txt'], ['x:/a.']],
    ['x:/{a:3}', ['x:/abc'], []],
    ['ab{x}aba', ['abababa', 'ab1aba', 'abaababaaba'], ['ababa', 'abaab']],
  ];
  for (const [template, matching, others] of rows) {
    it(verifies('AGG-5')(template), () => {
      const matcher = compileTemplate(template);
      for (const uri of matching) expect(matcher?.matches(uri), uri).to.equal(true);
      for (const uri of others) expect(matcher?.matches(uri), uri).to.equal(false);
    });
  }

  it('that are none match nothing', () => {
    for (const bad of ['{', '}', 'x{', 'x}', '{}', '{a{b}}', '{a}'.repeat(65)]) {
      expect(compileTemplate(bad), bad).to.equal(undefined);
    }
  });

  it('agree with a backtracking matcher on everything small', () => {
    const part = fc.constantFrom('a', 'b', '/', 'ab', 'aa', '{x}', '{+x}');
    const uri = fc.stringMatching(/^[ab/]{0,8}$/);
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), uri, (parts, text) => {
        const pattern = parts.map((p) => (p === '{x}' ? '[^/]+' : p === '{+x}' ? '.+' : p)).join('');
        expect(compileTemplate(parts.join(''))?.matches(text)).to.equal(
          new RegExp(`^${pattern}$`).test(text),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it(verifies('J19', 'AGG-5')('cost a bounded number of steps, whatever the templates and the URI'), () => {
    const templates = Array.from({ length: 2_000 }, (_, i) => `{a}{+b}a{c}aa{+d}${i}`);
    const kinds = { tools: [], resources: [], prompts: [], resourceTemplates: [['evil', templates]] };
    const table = JSON.stringify({ mode: 'prefix', kinds });
    const routes = routesFrom(table, {
      backends: ['evil', 'b'],
      naming: { mode: 'prefix', order: ['evil', 'b'] },
      shapes: new Map(),
    });
    expect(routes.route('resource', `${'a'.repeat(8_000)}!`)).to.equal(undefined);
    expect(routes.route('resource', `/${'a,'.repeat(2_000_000)}`)).to.equal(undefined);
    expect(routes.route('resource', 'xxaxaaxx7')).to.include({ backend: 'evil' });
  });
});
