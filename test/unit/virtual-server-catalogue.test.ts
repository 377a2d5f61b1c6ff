import { expect } from 'chai';
import fc from 'fast-check';
import {
  buildCatalogue,
  type Catalogue,
  type ListKind,
} from '../../control-plane/virtual-server/catalogue.ts';
import { type BackendItems, type Item, KINDS } from '../../control-plane/virtual-server/item.ts';
import { parseListPage } from '../../control-plane/virtual-server/list-page.ts';
import type { Naming } from '../../control-plane/virtual-server/naming.ts';
import { routesFrom } from '../../control-plane/virtual-server/routes.ts';
import { verifies } from '../requirements.ts';

const KEYS = { tools: 'name', prompts: 'name', resources: 'uri', resourceTemplates: 'uriTemplate' } as const;
const cursorKey = Buffer.alloc(32, 1);

interface Lists extends Partial<Record<ListKind, readonly string[]>> {}

/** Definitions with these keys, as a backend would give them. */
function items(
  kind: ListKind,
  keys: readonly string[],
  extra: Record<string, unknown> = {},
): readonly Item[] {
  const list = keys.map((key) => ({
    name: 'n',
    [KEYS[kind]]: key,
    inputSchema: { type: 'object' },
    ...extra,
  }));
  return parseListPage(kind, Buffer.from(JSON.stringify({ [kind]: list }))).items;
}

function backendItems(lists: Lists): BackendItems {
  const read = KINDS.flatMap((kind) =>
    lists[kind] === undefined ? [] : [[kind, items(kind, lists[kind])] as const],
  );
  return Object.fromEntries(read);
}

/** A catalogue of backends in the order given; one without lists has never been read. */
function catalogue(
  mode: Naming['mode'],
  backends: Record<string, Lists | undefined>,
  order = Object.keys(backends),
): Catalogue {
  const read = Object.entries(backends).flatMap(([name, lists]) =>
    lists === undefined ? [] : [[name, backendItems(lists)] as const],
  );
  return buildCatalogue({
    backends: Object.keys(backends).map((name) => ({ name })),
    naming: { mode, order },
    shapes: new Map(),
    items: new Map(read),
    cursorKey,
  });
}

function visible(merged: Catalogue, kind: ListKind): string[] {
  const result = JSON.parse(merged.page(kind, undefined).toString());
  return result[kind].map((item: Record<string, string>) => item[KEYS[kind]]);
}

describe('names of tools and prompts', () => {
  it(
    verifies('AGG-4', 'AGG-3')("are prefixed by their backend, in configured order, then the backend's own"),
    () => {
      const merged = catalogue('prefix', {
        b: { tools: ['y', 'x'], prompts: ['x'] },
        a: { tools: ['x'], prompts: ['x'] },
      });
      expect(visible(merged, 'tools')).to.deep.equal(['b__y', 'b__x', 'a__x']);
      expect(visible(merged, 'prompts')).to.deep.equal(['b__x', 'a__x']);
      expect(merged.route('tool', 'a__x')).to.deep.equal({ backend: 'a', original: 'x' });
      expect(merged.route('prompt', 'b__x')).to.deep.equal({ backend: 'b', original: 'x' });
      for (const unknown of ['x', 'a__y', 'c__x', '__x', 'a__', 'a_x', '']) {
        expect(merged.route('tool', unknown), unknown).to.equal(undefined);
      }
    },
  );

  it(verifies('RPC-12', 'AGG-8')('change nothing else of a definition'), () => {
    const json = '{"tools":[{ "x":1.0, "name" : "t", "inputSchema":{"type":"object","name":"t"} }]}';
    const merged = buildCatalogue({
      backends: [{ name: 'a' }, { name: 'b' }],
      naming: { mode: 'prefix', order: ['a', 'b'] },
      shapes: new Map(),
      items: new Map([['a', { tools: parseListPage('tools', Buffer.from(json)).items }]]),
      cursorKey,
    });
    expect(merged.page('tools', undefined).toString()).to.equal(json.replace('"t"', '"a__t"'));
  });

  it(verifies('AGG-4')('are left alone without a prefix'), () => {
    expect(visible(catalogue('none', { a: { tools: ['x', 'a__y'] } }), 'tools')).to.deep.equal(['x', 'a__y']);
  });

  it(
    verifies(
      'AGG-4',
      'B14',
    )('of two equal ones the first in order has it, and the other is not to be called'),
    () => {
      const backends = { a: { tools: ['x', 'y'] }, b: { tools: ['x', 'z'] } };
      const first = catalogue('none', backends);
      expect(visible(first, 'tools')).to.deep.equal(['x', 'y', 'z']);
      expect(first.route('tool', 'x')).to.deep.equal({ backend: 'a', original: 'x' });
      expect(first.hidden('tools')).to.equal(1);
      const second = catalogue('priority', backends, ['b', 'a']);
      expect(visible(second, 'tools')).to.deep.equal(['y', 'x', 'z']);
      expect(second.route('tool', 'x')).to.deep.equal({ backend: 'b', original: 'x' });
    },
  );

  it(
    verifies('M1')('a backend that has never been read may own a name; until then the name is not settled'),
    () => {
      const merged = catalogue('none', { a: undefined, b: { tools: ['x'] } });
      expect(merged.route('tool', 'x')).to.deep.equal({ backend: 'b', original: 'x', rivals: ['a'] });
      expect(merged.unread('tools')).to.deep.equal(['a']);
      const other = catalogue('none', { b: { tools: ['x'] }, a: undefined });
      expect(other.route('tool', 'x')).to.deep.equal({ backend: 'b', original: 'x' });
    },
  );

  it('that name a backend lead there, also before its list has been read', () => {
    const merged = catalogue('prefix', { a: undefined, b: { tools: ['x'] } });
    expect(merged.route('tool', 'a__any__thing')).to.deep.equal({ backend: 'a', original: 'any__thing' });
    expect(merged.route('tool', 'b__other')).to.equal(undefined);
  });

  it(verifies('AGG-4', 'J18')('are always legal, unique, stable, and lead back'), () => {
    const names = fc.uniqueArray(
      fc.oneof(
        fc.string({ minLength: 1, unit: 'binary' }),
        fc.stringMatching(/^[a-z_]{1,8}$/),
        fc.string({ minLength: 130, maxLength: 300 }),
      ),
      { maxLength: 12 },
    );
    const lists = fc.dictionary(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,3}$/), names, {
      minKeys: 1,
      maxKeys: 4,
    });
    fc.assert(
      fc.property(lists, fc.constantFrom('prefix' as const, 'none' as const), (tools, mode) => {
        const given = Object.fromEntries(
          Object.entries(tools).map(([name, list]) => [name, { tools: list.map(wellFormed) }]),
        );
        const merged = catalogue(mode, given);
        const seen = visible(merged, 'tools');
        expect(new Set(seen).size).to.equal(seen.length);
        for (const name of seen) {
          expect(name).to.match(/^[A-Za-z0-9_.-]{1,128}$/);
          const route = merged.route('tool', name)!;
          expect(given[route.backend]!.tools).to.include(route.original);
        }
        const total = Object.values(given).reduce((sum, list) => sum + new Set(list.tools).size, 0);
        if (mode === 'prefix') expect(seen).to.have.length(total);
        expect(visible(catalogue(mode, given), 'tools')).to.deep.equal(seen);
      }),
    );
  });
});

describe('URIs of resources', () => {
  it(
    verifies('AGG-5')('belong to the first backend that lists them; equal ones are namespaced and lead back'),
    () => {
      const merged = catalogue('prefix', {
        a: { resources: ['file:///x'] },
        b: { resources: ['file:///x', 'file:///y'] },
      });
      expect(visible(merged, 'resources')).to.deep.equal([
        'file:///x',
        'outrigger://b/file:///x',
        'file:///y',
      ]);
      expect(merged.route('resource', 'file:///x')).to.deep.equal({ backend: 'a', original: 'file:///x' });
      expect(merged.route('resource', 'outrigger://b/file:///x')).to.deep.equal({
        backend: 'b',
        original: 'file:///x',
      });
      expect(merged.visibleUri('b', 'file:///x')).to.equal('outrigger://b/file:///x');
      expect(merged.visibleUri('b', 'file:///y')).to.equal('file:///y');
    },
  );

  it('that nobody lists are called by their backend, so that links and updates lead back', () => {
    const merged = catalogue('prefix', { a: { resources: [] }, b: { resources: [] } });
    const link = merged.visibleUri('b', 'mem://1?x#y');
    expect(link).to.equal('outrigger://b/mem://1?x#y');
    expect(merged.route('resource', link)).to.deep.equal({ backend: 'b', original: 'mem://1?x#y' });
    expect(merged.route('resource', 'mem://1')).to.equal(undefined);
    expect(merged.route('resource', 'outrigger://nobody/mem://1')).to.equal(undefined);
  });

  it('of a single backend are its own, listed or not', () => {
    const merged = catalogue('none', { a: { resources: ['x:1'] } });
    expect(merged.route('resource', 'x:2')).to.deep.equal({ backend: 'a', original: 'x:2' });
    expect(merged.visibleUri('a', 'x:2')).to.equal('x:2');
  });

  it("that pretend to be another backend's are namespaced themselves", () => {
    const merged = catalogue('none', { a: { resources: ['outrigger://b/x:1'] }, b: { resources: ['x:1'] } });
    expect(visible(merged, 'resources')).to.deep.equal(['outrigger://a/outrigger://b/x:1', 'x:1']);
    expect(merged.route('resource', 'outrigger://b/x:1')).to.deep.equal({ backend: 'b', original: 'x:1' });
  });

  it(verifies('AGG-5')('templates come after exact URIs, in order'), () => {
    const merged = catalogue('prefix', {
      a: { resources: [], resourceTemplates: ['t:/{id}', 'u:/{id}'] },
      b: { resources: ['t:/1'], resourceTemplates: ['t:/{id}', 't:/{a}/{b}'] },
    });
    expect(merged.route('resource', 't:/1')).to.deep.equal({ backend: 'b', original: 't:/1' });
    expect(merged.route('resource', 't:/2')).to.deep.equal({ backend: 'a', original: 't:/2' });
    expect(merged.route('resource', 't:/2/3')).to.deep.equal({ backend: 'b', original: 't:/2/3' });
    expect(merged.route('resource', 'v:/2')).to.equal(undefined);
    expect(visible(merged, 'resourceTemplates')).to.include('outrigger://b/t:/{id}');
    expect(merged.route('resource', 'outrigger://b/t:/2')).to.deep.equal({ backend: 'b', original: 't:/2' });
    expect(merged.route('template', 'outrigger://b/t:/{id}')).to.deep.equal({
      backend: 'b',
      original: 't:/{id}',
    });
    expect(merged.route('template', 't:/{a}/{b}')).to.deep.equal({ backend: 'b', original: 't:/{a}/{b}' });
    expect(merged.visibleUri('b', 't:/2')).to.equal('outrigger://b/t:/2');
  });
});

describe('a catalogue', () => {
  it(verifies('AGG-3', 'RST-5')('is the same however the lists arrived, and one in the process'), () => {
    const a = backendItems({ tools: ['x'], resources: ['r:1'] });
    const b = backendItems({ tools: ['y'] });
    const build = (entries: [string, BackendItems][]) =>
      buildCatalogue({
        backends: [{ name: 'a' }, { name: 'b' }],
        naming: { mode: 'prefix', order: ['a', 'b'] },
        shapes: new Map(),
        items: new Map(entries),
        cursorKey,
      });
    const one = build([
      ['a', a],
      ['b', b],
    ]);
    expect(
      build([
        ['b', b],
        ['a', a],
      ]),
    ).to.equal(one);
    expect(one.page('tools', undefined)).to.equal(one.page('tools', undefined));
  });

  it('has a version of what the client sees, for each kind', () => {
    const one = catalogue('prefix', { a: { tools: ['x'], prompts: ['p'] } });
    const other = catalogue('prefix', { a: { tools: ['x', 'y'], prompts: ['p'] } });
    expect(one.version('tools')).to.not.equal(other.version('tools'));
    expect(one.version('prompts')).to.equal(other.version('prompts'));
    const changed = buildCatalogue({
      backends: [{ name: 'a' }],
      naming: { mode: 'prefix', order: ['a'] },
      shapes: new Map(),
      items: new Map([['a', { tools: items('tools', ['x'], { description: 'new' }) }]]),
      cursorKey,
    });
    expect(changed.version('tools')).to.not.equal(one.version('tools'));
  });

  it('without anything has empty lists', () => {
    const empty = catalogue('prefix', { a: undefined });
    expect(KINDS.map((kind) => empty.page(kind, undefined).toString())).to.deep.equal(
      KINDS.map((kind) => `{"${kind}":[]}`),
    );
  });

  it(verifies('RST-5')('leaves a table from which a restored session routes the same'), () => {
    const names = fc.uniqueArray(fc.oneof(fc.stringMatching(/^[a-z_ ]{1,6}$/), fc.string({ minLength: 1 })), {
      maxLength: 6,
    });
    const one = fc.record({ tools: names, resources: names, resourceTemplates: names });
    fc.assert(
      fc.property(
        fc.array(fc.option(one, { nil: undefined }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('prefix' as const, 'none' as const),
        names,
        (given, mode, others) => {
          const backends = Object.fromEntries(given.map((lists, i) => [`b${i}`, lists]));
          const merged = catalogue(mode, backends);
          const order = Object.keys(backends);
          const restored = routesFrom(merged.routingTable().text, {
            backends: order,
            naming: { mode, order },
            shapes: new Map(),
          });
          const questions = [
            ...KINDS.flatMap((kind) => visible(merged, kind)),
            ...others,
            'b0__x',
            'outrigger://b0/x',
          ];
          for (const question of questions) {
            for (const kind of ['tool', 'prompt', 'resource', 'template'] as const) {
              expect(restored.route(kind, question)).to.deep.equal(merged.route(kind, question));
            }
            expect(restored.visibleUri('b0', question)).to.equal(merged.visibleUri('b0', question));
          }
          expect(restored.unread('tools')).to.deep.equal(merged.unread('tools'));
        },
      ),
    );
  });

  it(verifies('RST-6')('a session without a table routes what names its backend'), () => {
    const routes = routesFrom(undefined, {
      backends: ['a', 'b'],
      naming: { mode: 'prefix', order: ['a', 'b'] },
      shapes: new Map(),
    });
    expect(routes.route('tool', 'b__x')).to.deep.equal({ backend: 'b', original: 'x' });
    expect(routes.route('tool', 'c__x')).to.equal(undefined);
  });
});

describe('pages', () => {
  /** All items over all pages, in order. */
  function walk(merged: Catalogue): { names: string[]; pages: number } {
    const names: string[] = [];
    let cursor: string | undefined;
    for (let pages = 1; pages <= 20; pages++) {
      const page = merged.page('tools', cursor);
      expect(page.length).to.be.lessThan(1.5 * 1024 * 1024);
      const { tools, nextCursor } = JSON.parse(page.toString());
      names.push(...tools.map(({ name }: { name: string }) => name));
      if (nextCursor === undefined) return { names, pages };
      cursor = nextCursor;
    }
    throw new Error('no end');
  }

  const large = (count: number, bytes: number, key = cursorKey) =>
    buildCatalogue({
      backends: [{ name: 'a' }],
      naming: { mode: 'none', order: ['a'] },
      shapes: new Map(),
      items: new Map([
        [
          'a',
          {
            tools: items(
              'tools',
              Array.from({ length: count }, (_, i) => `t${i}`),
              { description: 'x'.repeat(bytes) },
            ),
          },
        ],
      ]),
      cursorKey: key,
    });

  it(verifies('AGG-2')('of a large list make the whole list, nothing lost or doubled'), () => {
    const { names, pages } = walk(large(500, 9_000));
    expect(names).to.deep.equal(Array.from({ length: 500 }, (_, i) => `t${i}`));
    expect(pages).to.be.greaterThan(3);
    expect(walk(large(3, 400_000)).names).to.have.length(3);
    expect(walk(large(500, 100)).pages).to.equal(1);
  });

  it(verifies('AGG-2')('a cursor is only good for the list that gave it'), () => {
    const merged = large(500, 9_000);
    const { nextCursor } = JSON.parse(merged.page('tools', '').toString());
    expect(merged.page('tools', nextCursor).length).to.be.greaterThan(100);
    const flipped = `${nextCursor[0] === 'A' ? 'B' : 'A'}${nextCursor.slice(1)}`;
    for (const bad of [
      'x',
      '1',
      flipped,
      nextCursor.slice(1),
      `${nextCursor}AA`,
      `${nextCursor}`.repeat(2),
    ]) {
      expect(() => merged.page('tools', bad), bad)
        .to.throw()
        .with.property('reason', 'invalid_params');
    }
    expect(() => merged.page('prompts', nextCursor))
      .to.throw()
      .with.property('reason', 'invalid_params');
    expect(() => large(501, 9_000).page('tools', nextCursor))
      .to.throw()
      .with.property('reason', 'invalid_params');
    expect(() => large(500, 9_000, Buffer.alloc(32, 2)).page('tools', nextCursor)).to.throw();
  });
});

function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}
