import { expect } from 'chai';
import fc from 'fast-check';
import { mergeRules } from '../../control-plane/session/virtual-server.ts';
import { canonicalUri } from '../../control-plane/virtual-server/canonical-uri.ts';
import { buildCatalogue, type Catalogue } from '../../control-plane/virtual-server/catalogue.ts';
import { matchesGlob } from '../../control-plane/virtual-server/glob.ts';
import { type Item, KINDS, type ListKind } from '../../control-plane/virtual-server/item.ts';
import { parseListPage } from '../../control-plane/virtual-server/list-page.ts';
import { type GivenName, type Naming, replaySafeNames } from '../../control-plane/virtual-server/naming.ts';
import { routesFrom } from '../../control-plane/virtual-server/routes.ts';
import {
  type Edit,
  type Filter,
  type ShapeSettings,
  shapesFrom,
} from '../../control-plane/virtual-server/shape.ts';
import { verifies } from '../requirements.ts';

const KEYS = { tools: 'name', prompts: 'name', resources: 'uri', resourceTemplates: 'uriTemplate' } as const;
const ROUTES = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'template',
} as const;
const cursorKey = Buffer.alloc(32, 1);

interface Given {
  /** The keys that each backend lists; one without has never been read. */
  readonly backends: Readonly<Record<string, Partial<Record<ListKind, readonly string[]>> | undefined>>;
  readonly naming?: Partial<Naming>;
  readonly shapes?: readonly ShapeSettings[];
}

function rules({ backends, naming = {}, shapes = [] }: Given) {
  const order = Object.keys(backends);
  return { naming: { mode: 'prefix', order, ...naming } as Naming, shapes: shapesFrom(shapes) };
}

function merge(given: Given): Catalogue {
  const read = Object.entries(given.backends).flatMap(([name, lists]) =>
    lists === undefined ? [] : [[name, itemsOf(lists)] as const],
  );
  const backends = Object.keys(given.backends).map((name) => ({ name }));
  return buildCatalogue({ ...rules(given), backends, items: new Map(read), cursorKey });
}

/** As a replica that has read nothing routes for a client that has seen this. */
function restore(given: Given, seen: Catalogue | undefined) {
  const backends = Object.keys(given.backends);
  return routesFrom(seen?.routingTable().text, { ...rules(given), backends });
}

function itemsOf(lists: Partial<Record<ListKind, readonly string[]>>) {
  return Object.fromEntries(
    KINDS.flatMap((kind) => {
      const keys = lists[kind];
      if (keys === undefined) return [];
      const list = keys.map((key) => ({ name: 'n', [KEYS[kind]]: key, inputSchema: { type: 'object' } }));
      return [[kind, read(kind, JSON.stringify(list))] as const];
    }),
  );
}

function read(kind: ListKind, list: string): readonly Item[] {
  return parseListPage(kind, Buffer.from(`{"${kind}":${list}}`)).items;
}

function visible(merged: Catalogue, kind: ListKind): string[] {
  return JSON.parse(merged.page(kind, undefined).toString())[kind].map(
    (item: Record<string, string>) => item[KEYS[kind]],
  );
}

const shape = (backend: string, filters: readonly Filter[], edits: readonly Edit[] = []) => ({
  backend,
  filters,
  edits,
});
const only = (kind: ListKind, ...allow: string[]): Filter => ({ kind, allow, deny: [] });
const without = (kind: ListKind, ...deny: string[]): Filter => ({ kind, allow: undefined, deny });
const rename = (original: string, name: string): Edit => ({ kind: 'tools', original, name });

describe('patterns', () => {
  it('mean what their stars leave open', () => {
    const rows = [
      ['', '', true],
      ['*', '', true],
      ['*', 'a/b', true],
      ['get_*', 'get_', true],
      ['get_*', 'forget_it', false],
      ['*_it', 'forget_it', true],
      ['a*a', 'a', false],
      ['a*b*c', 'a-b-b-c', true],
      ['a*b*b', 'ab', false],
      ['a.c', 'abc', false],
      ['(a+)+$', '(a+)+$', true],
    ] as const;
    for (const [pattern, text, fits] of rows)
      expect(matchesGlob(pattern, text), `${pattern} ${text}`).to.equal(fits);
  });

  it('mean what the same regular expressions do', () => {
    const piece = fc.stringMatching(/^[ab*]{0,8}$/);
    const text = fc.stringMatching(/^[ab]{0,10}$/);
    fc.assert(
      fc.property(piece, text, (pattern, candidate) => {
        const same = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(candidate);
        expect(matchesGlob(pattern, candidate)).to.equal(same);
      }),
    );
  });

  it('do not try again what has been matched', () => {
    const started = performance.now();
    for (let n = 0; n < 100; n += 1) matchesGlob(`${'*a'.repeat(30)}*b`, 'a'.repeat(8_192));
    // The regular expression of this pattern does not end in the life of the universe.
    expect(performance.now() - started).to.be.lessThan(10_000);
  });

  it(verifies('AGG-9')('of URIs are held against what a server may take a URI for'), () => {
    const rows = [
      ['file:///pub/a', 'file:///pub/a'],
      ['FILE:///pub/../secret', 'file:///secret'],
      ['file:///pub/%2e%2E/secret', 'file:///secret'],
      ['file:///%252e%252e/s%65cret', 'file:///secret'],
      ['file:////./a//b/', 'file:///a/b/'],
      ['file:///../../secret', 'file:///secret'],
      ['file:///a\\..\\secret', 'file:///secret'],
      ['memo://one', 'memo://one'],
      ['memo://caf%C3%A9', 'memo://café'],
      ['t:a/../b', 't:a/b'],
      ['https://x/a?u=http://y/../z#//', 'https://x/a?u=http://y/../z#//'],
      ['100%', '100%'],
      [`x:${'%25'.repeat(1)}${'25'.repeat(20)}41`, undefined],
    ] as const;
    for (const [uri, canonical] of rows.slice(0, -1))
      if (uri !== 't:a/../b') expect(canonicalUri(uri), uri).to.equal(canonical);
    expect(canonicalUri(rows.at(-1)?.[0] ?? '')).to.equal(undefined);
  });
});

describe('a shape', () => {
  it(
    verifies(
      'AGG-9',
      'AGG-8',
      'RPC-12',
    )('sets the members that configuration names, and touches no other byte'),
    () => {
      const raw =
        '{ "annotations":{"readOnlyHint" : true,"x":1.0}, "name" : "t","inputSchema":{"type":"object","description":"d"},"description":"\\u00e9" }';
      const edit: Edit = {
        kind: 'tools',
        original: 't',
        title: 'T',
        description: 'new "one"',
        annotations: { readOnlyHint: false, destructiveHint: true },
      };
      const merged = buildCatalogue({
        ...rules({ backends: { a: {} }, shapes: [shape('a', [], [edit])] }),
        backends: [{ name: 'a' }],
        items: new Map([['a', { tools: read('tools', `[${raw}]`) }]]),
        cursorKey,
      });
      const expected = raw
        .replace('{ ', '{"title":"T", ')
        .replace('{"readOnlyHint" : true', '{"destructiveHint":true,"readOnlyHint" : false')
        .replace('"t"', '"a__t"')
        .replace('"\\u00e9"', '"new \\"one\\""');
      expect(merged.page('tools', undefined).toString()).to.equal(`{"tools":[${expected}]}`);
    },
  );

  it(verifies('AGG-9')('leaves nothing of what it replaces, however often it stood there'), () => {
    const raw =
      '{"name":"t","inputSchema":{"type":"object"},"description":"evil","d\\u0065scription":"worse","annotations":7,"annotations":{}}';
    const edit: Edit = {
      kind: 'tools',
      original: 't',
      description: 'good',
      annotations: { readOnlyHint: true },
    };
    const [item] =
      shapesFrom([shape('a', [], [edit])])
        .get('a')
        ?.apply('tools', read('tools', `[${raw}]`)) ?? [];
    expect(item?.bytes.toString()).to.equal(
      '{"name":"t","inputSchema":{"type":"object"},"description":"good","d\\u0065scription":"good","annotations":{"readOnlyHint":true},"annotations":{"readOnlyHint":true}}',
    );
  });

  it(verifies('AGG-9')('does to any definition what setting the members does'), () => {
    const definition = fc.dictionary(fc.constantFrom('title', 'x', 'description', '_meta'), fc.string(), {
      maxKeys: 4,
    });
    const values = fc.record(
      {
        title: fc.string(),
        description: fc.string(),
        annotations: fc.dictionary(fc.constantFrom('a', 'readOnlyHint'), fc.boolean()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(definition, values, fc.constantFrom(0, 1, 2), ({ _meta, ...rest }, set, indent) => {
        const own = { ...rest, name: 't', annotations: { y: 1 }, inputSchema: { type: 'object' } };
        const items = read('tools', `[${JSON.stringify(own, undefined, indent)}]`);
        const [item] =
          shapesFrom([shape('a', [], [{ kind: 'tools', original: 't', ...set }])])
            .get('a')
            ?.apply('tools', items) ?? [];
        const { annotations = {}, ...texts } = set;
        expect(JSON.parse(item?.bytes.toString() ?? '')).to.deep.equal({
          ...own,
          ...texts,
          annotations: { ...own.annotations, ...annotations },
        });
        expect(item?.bytes.toString('utf8', item.keySpan.start, item.keySpan.end)).to.equal('"t"');
      }),
    );
  });

  it('is part of what makes two catalogues the same, and equal items stay one', () => {
    const given = { backends: { a: { tools: ['x', 'y'] } } };
    const plain = merge(given);
    const hidden = merge({ ...given, shapes: [shape('a', [without('tools', 'y')])] });
    expect(hidden).to.not.equal(plain);
    expect(hidden).to.equal(merge({ ...given, shapes: [shape('a', [without('tools', 'y')])] }));
    expect(hidden.version('tools')).to.not.equal(plain.version('tools'));
    const items = read('tools', '[{"name":"t","inputSchema":{"type":"object"}}]');
    const titled = () =>
      shapesFrom([shape('a', [], [{ kind: 'tools', original: 't', title: 'T' }])])
        .get('a')
        ?.apply('tools', items)[0];
    expect(titled()).to.equal(titled());
  });
});

describe('what configuration hides', () => {
  it(verifies('AGG-9', 'AGG-7')('is in no list and leads nowhere, read or not, restored or not'), () => {
    const key = fc.stringMatching(/^[a-c]{1,3}$/);
    const keys = fc.uniqueArray(key, { maxLength: 6 });
    const lists = fc.record({
      tools: keys,
      prompts: keys,
      resources: keys,
      resourceTemplates: keys.map((each) => each.map((text) => `${text}{v}`)),
    });
    const patterns = fc.array(fc.stringMatching(/^[a-c*]{1,3}$/), { minLength: 1, maxLength: 2 });
    const filter = fc.record({
      kind: fc.constantFrom(...KINDS),
      allow: fc.option(patterns, { nil: undefined }),
      deny: patterns,
    });
    const modes = fc.constantFrom('prefix' as const, 'none' as const, 'priority' as const, 'manual' as const);
    fc.assert(
      fc.property(lists, lists, filter, modes, (one, two, hides, mode) => {
        const shapes = [shape('a', [hides])];
        const naming = { mode };
        const isHidden = (original: string) =>
          (hides.allow !== undefined && !hides.allow.some((each) => matchesGlob(each, original))) ||
          hides.deny.some((each) => matchesGlob(each, original));
        const backends = { a: one, b: two };
        const shown = merge({ backends, naming });
        const merged = merge({ backends, naming, shapes });
        const unread = { a: undefined, b: two };
        const all = [
          merged,
          merge({ backends: unread, naming, shapes }),
          // The filter is newer than what the client saw.
          restore({ backends, naming, shapes }, shown),
          restore({ backends, naming, shapes }, undefined),
        ];
        const { kind } = hides;
        const questions = [
          ...visible(shown, kind),
          ...[...one[kind], ...two[kind]].flatMap((each) => [each, `a__${each}`, `outrigger://a/${each}`]),
        ];
        for (const routes of all) {
          for (const question of questions) {
            const route = routes.route(ROUTES[kind], question);
            if (route?.backend !== 'a') continue;
            expect(isHidden(route.original), `${mode} ${kind} ${question}`).to.equal(false);
          }
        }
        const listed = visible(merged, kind).map((name) => merged.route(ROUTES[kind], name));
        expect(listed.some((route) => route?.backend === 'a' && isHidden(route.original))).to.equal(false);
      }),
    );
  });

  it(verifies('AGG-9')('takes no name from another backend, and no call for it waits'), () => {
    const shapes = [shape('a', [without('tools', 'x')])];
    for (const mode of ['none', 'priority'] as const) {
      const read = merge({
        backends: { a: { tools: ['x', 'y'] }, b: { tools: ['x', 'y'] } },
        naming: { mode },
        shapes,
      });
      expect(read.route('tool', 'x')).to.deep.equal({ backend: 'b', original: 'x' });
      expect(read.route('tool', 'y')).to.deep.equal({ backend: 'a', original: 'y' });
      const unread = merge({
        backends: { a: undefined, b: { tools: ['x', 'y'] } },
        naming: { mode },
        shapes,
      });
      expect(unread.route('tool', 'x')).to.deep.equal({ backend: 'b', original: 'x' });
      expect(unread.route('tool', 'y')?.rivals).to.deep.equal(['a']);
    }
    const uris = merge({
      backends: { a: { resources: ['m:1'] }, b: { resources: ['m:1'] } },
      shapes: [shape('a', [without('resources', 'm:*')])],
    });
    expect(visible(uris, 'resources')).to.deep.equal(['m:1']);
    expect(uris.route('resource', 'm:1')).to.deep.equal({ backend: 'b', original: 'm:1' });
    expect(uris.visibleUri('a', 'm:1')).to.equal('outrigger://a/m:1');
    expect(uris.route('resource', 'outrigger://a/m:1')).to.equal(undefined);
  });

  it(
    verifies('AGG-7')('answers before its list is read as what does not exist does: nothing is guessed'),
    () => {
      const given = {
        backends: { a: undefined, b: undefined },
        shapes: [shape('a', [without('tools', 'x')])],
      };
      const merged = merge(given);
      for (const name of ['a__x', 'a__none', 'a__y']) {
        expect(merged.route('tool', name), name).to.equal(undefined);
        expect(merged.candidates('tool', name)).to.deep.equal(['a']);
      }
      expect(merged.route('tool', 'b__x')).to.deep.equal({ backend: 'b', original: 'x' });
      expect(merged.candidates('tool', 'c__x')).to.deep.equal([]);
      // What the client has been shown needs no list.
      const seen = merge({ ...given, backends: { a: { tools: ['x', 'y'] }, b: { tools: [] } } });
      expect(restore(given, seen).route('tool', 'a__y')).to.deep.equal({ backend: 'a', original: 'y' });
    },
  );

  it(
    verifies(
      'AGG-9',
      'AGG-5',
    )('is not to be read under another spelling, by a template, or past a hidden one'),
    () => {
      const merged = merge({
        backends: {
          a: { resources: ['file:///pub/a'], resourceTemplates: ['file:///{+path}'] },
          b: { resources: [], resourceTemplates: ['db://{table}', 'log://{day}'] },
        },
        shapes: [
          shape('a', [only('resources', 'file:///pub/*')]),
          shape('b', [without('resourceTemplates', 'db:*')]),
        ],
      });
      for (const uri of [
        'file:///pub/a',
        'file:///pub/b',
        'outrigger://a/file:///pub/c',
        'log://1',
        'outrigger://b/log://1',
      ]) {
        expect(merged.route('resource', uri)?.original, uri).to.equal(uri.replace(/^outrigger:\/\/.\//, ''));
      }
      const hidden = [
        'file:///etc/passwd',
        'file:///pub/../etc/passwd',
        'file:///pub/%2e%2e/etc/passwd',
        'outrigger://a/file:///pub/..%2fetc/passwd',
        `file:///pub/${'a'.repeat(9_000)}`,
        'db://users',
        'outrigger://b/db://users',
        'outrigger://b/unlisted:1',
      ];
      for (const uri of hidden) expect(merged.route('resource', uri), uri).to.equal(undefined);
      expect(merged.route('template', 'db://{table}')).to.equal(undefined);
      expect(merged.route('template', 'outrigger://b/db://{table}')).to.equal(undefined);
      expect(merged.route('template', 'log://{day}')).to.deep.equal({
        backend: 'b',
        original: 'log://{day}',
      });
      const alone = merge({
        backends: { b: { resources: [], resourceTemplates: ['db://{t}'] } },
        shapes: [shape('b', [without('resourceTemplates', '*')])],
      });
      expect(alone.route('template', 'db://{t}')).to.equal(undefined);
      expect(alone.route('resource', 'db://1')).to.equal(undefined);
    },
  );
});

describe('the rules of a session', () => {
  const server = {
    name: 'v',
    backends: ['a', 'b'],
    naming: { mode: 'prefix', order: ['a', 'b'] } as const,
    shapes: [shape('a', [without('tools', 'x')])],
    instructions: undefined,
  };

  it(
    verifies('AGG-9', 'RST-6')('hide all of a backend that the configuration has no more, filter or not'),
    () => {
      const desired = ['a', 'b'];
      const whole = mergeRules(server, desired);
      expect(whole.shapes.get('a')?.admits('tools', 'x')).to.equal(false);
      expect(whole.shapes.get('b')).to.equal(undefined);
      expect(mergeRules(server, desired)).to.equal(whole);
      for (const rules of [
        mergeRules({ ...server, backends: ['b'], shapes: [] }, desired),
        mergeRules(undefined, desired),
      ]) {
        for (const kind of KINDS) expect(rules.shapes.get('a')?.admits(kind, 'y')).to.equal(false);
      }
      expect(
        mergeRules({ ...server, backends: ['b'] }, desired)
          .shapes.get('a')
          ?.admits('tools', 'y'),
      ).to.equal(false);
    },
  );
});

describe('names that configuration gives', () => {
  const names: GivenName[] = [
    { kind: 'tools', backend: 'a', original: 'x', visible: 'find' },
    { kind: 'prompts', backend: 'b', original: 'x', visible: 'find' },
  ];
  const naming = { mode: 'manual', names } as const;

  it(verifies('AGG-4')('are the names; what has none is prefixed'), () => {
    const given = {
      backends: { a: { tools: ['x', 'y'], prompts: ['x'] }, b: { tools: ['x'], prompts: ['x'] } },
      naming,
    };
    const merged = merge(given);
    expect(visible(merged, 'tools')).to.deep.equal(['find', 'a__y', 'b__x']);
    expect(visible(merged, 'prompts')).to.deep.equal(['a__x', 'find']);
    expect(merged.route('tool', 'find')).to.deep.equal({ backend: 'a', original: 'x' });
    expect(merged.route('prompt', 'find')).to.deep.equal({ backend: 'b', original: 'x' });
    expect(merged.route('tool', 'a__x')).to.equal(undefined);
  });

  it(
    verifies(
      'AGG-4',
      'RST-6',
    )('lead to their backend before any list is read; the names in whose place they stand do not'),
    () => {
      const given = { backends: { a: undefined, b: undefined }, naming };
      for (const routes of [merge(given), restore(given, undefined)]) {
        expect(routes.route('tool', 'find')).to.deep.equal({ backend: 'a', original: 'x' });
        expect(routes.route('tool', 'b__x')).to.deep.equal({ backend: 'b', original: 'x' });
        expect(routes.route('tool', 'a__x')).to.equal(undefined);
        expect(routes.route('tool', 'other')).to.equal(undefined);
      }
      const filtered = merge({ ...given, shapes: [shape('a', [without('tools', 'z')])] });
      expect(filtered.route('tool', 'find')).to.equal(undefined);
      expect(filtered.candidates('tool', 'find')).to.deep.equal(['a']);
    },
  );

  it(verifies('AGG-9')('to single items are prefixed like others, and win over an original'), () => {
    const shapes = [shape('a', [], [rename('x', 'y'), rename('p', 'q'), rename('q', 'p')])];
    const backends = { a: { tools: ['x', 'y', 'p', 'q'] }, b: { tools: ['y'] } };
    const merged = merge({ backends, shapes });
    const made = visible(merged, 'tools')[1] ?? '';
    expect(made).to.match(/^a__y_[0-9a-f]{8}$/);
    expect(visible(merged, 'tools')).to.deep.equal(['a__y', made, 'a__q', 'a__p', 'b__y']);
    const unread = merge({ backends: { a: undefined, b: undefined }, shapes });
    const seen = restore({ backends, shapes }, merged);
    const rows = [
      ['a__y', 'x'],
      [made, 'y'],
      ['a__q', 'p'],
      ['a__p', 'q'],
    ] as const;
    for (const [name, original] of rows) {
      expect(merged.route('tool', name)).to.deep.equal({ backend: 'a', original });
      expect(seen.route('tool', name)).to.deep.equal({ backend: 'a', original });
      // Only a list can tell whose a made-up name is.
      expect(unread.route('tool', name)).to.deep.equal(
        name === made ? undefined : { backend: 'a', original },
      );
    }
    expect(merged.route('tool', 'a__x')).to.equal(undefined);
    expect(unread.route('tool', 'a__x')).to.equal(undefined);
    const plain = merge({ backends, shapes, naming: { mode: 'priority', order: ['b', 'a'] } });
    expect(plain.route('tool', 'y')).to.deep.equal({ backend: 'b', original: 'y' });
    expect(plain.route('tool', 'x')).to.equal(undefined);
  });

  it(
    verifies('AGG-4', 'RST-11')('are those under which calls may be repeated, where the item is shown'),
    () => {
      const shapes = [shape('a', [without('tools', 'z')], [rename('y', 'w')])];
      const safe = (mode: Naming['mode']) =>
        replaySafeNames(
          { naming: { mode, order: ['a', 'b'], ...(mode === 'manual' ? { names } : {}) }, shapes },
          'a',
          ['x', 'y', 'z'],
        );
      expect(safe('manual')).to.deep.equal(['find', 'a__w']);
      expect(safe('prefix')).to.deep.equal(['a__x', 'a__w']);
      expect(safe('none')).to.deep.equal(['x', 'w']);
      expect(
        replaySafeNames({ naming: { mode: 'none', order: ['b', 'a'] }, shapes }, 'a', ['x']),
      ).to.deep.equal([]);
    },
  );

  it(verifies('AGG-4', 'AGG-3', 'RST-5')('never lead two items to one, and restored to the same'), () => {
    const original = fc.constantFrom('x', 'y', 'z', 'bad name');
    const tools = fc.uniqueArray(original, { maxLength: 4 });
    const edits = fc.uniqueArray(fc.tuple(original, fc.constantFrom('x', 'y', 'n', 'm')), {
      selector: ([, name]) => name,
      maxLength: 3,
    });
    const modes = fc.constantFrom('prefix' as const, 'none' as const, 'manual' as const);
    fc.assert(
      fc.property(tools, tools, edits, modes, (one, two, renamed, mode) => {
        const unique = new Map(renamed);
        const given = {
          backends: { a: { tools: one }, b: { tools: two } },
          naming: mode === 'manual' ? naming : { mode },
          shapes: [
            shape(
              'a',
              [],
              [...unique].map(([from, to]) => rename(from, to)),
            ),
          ],
        };
        const merged = merge(given);
        const seen = visible(merged, 'tools');
        expect(new Set(seen).size).to.equal(seen.length);
        if (mode !== 'none') expect(seen).to.have.lengthOf(one.length + two.length);
        const routes = seen.map((name) => merged.route('tool', name));
        expect(new Set(routes.map((route) => `${route?.backend} ${route?.original}`)).size).to.equal(
          seen.length,
        );
        const restored = restore(given, merged);
        expect(seen.map((name) => restored.route('tool', name))).to.deep.equal(routes);
        // What configuration alone says of a name is what the lists say.
        const unread = merge({ ...given, backends: { a: undefined, b: undefined } });
        if (mode === 'none') return;
        for (const [at, name] of seen.entries()) {
          const guess = unread.route('tool', name);
          if (guess !== undefined) expect(guess, name).to.deep.equal(routes[at]);
        }
      }),
    );
  });
});
