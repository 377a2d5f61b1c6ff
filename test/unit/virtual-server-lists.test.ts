import { expect } from 'chai';
import type { ListKind } from '../../control-plane/virtual-server/item.ts';
import { type ListPage, parseListPage } from '../../control-plane/virtual-server/list-page.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { verifies } from '../requirements.ts';

const page = (kind: ListKind, json: string): ListPage => parseListPage(kind, Buffer.from(json));
const keys = ({ items }: ListPage) => items.map(({ key }) => key);
const tool = (name: string, rest = '') =>
  `{"name":${JSON.stringify(name)},"inputSchema":{"type":"object"}${rest}}`;

describe('a page of a backend list', () => {
  it(verifies('AGG-8', 'RPC-12')('gives each definition as it came, and where its key is'), () => {
    const first =
      '{ "inputSchema":{"type":"object","x":1.0,"name":"inner"}, "name" : "a\\u0062", "vendor":12345678901234567890 }';
    const { items, dropped, nextCursor } = page('tools', `{ "tools":[${first},\n ${tool('c')} ],"_meta":{}}`);
    expect(items.map(({ bytes }) => bytes.toString())).to.deep.equal([first, tool('c')]);
    expect(items.map(({ key }) => key)).to.deep.equal(['ab', 'c']);
    expect(items.map(({ bytes, keySpan }) => slice(bytes, keySpan).toString())).to.deep.equal([
      '"a\\u0062"',
      '"c"',
    ]);
    expect({ dropped, nextCursor }).to.deep.equal({ dropped: 0, nextCursor: undefined });
  });

  it('reads every kind by its own key', () => {
    const rows: [ListKind, string][] = [
      ['tools', '{"name":"k","inputSchema":{"type":"object"}}'],
      ['resources', '{"uri":"k","name":"n"}'],
      ['resourceTemplates', '{"uriTemplate":"k","name":"n"}'],
      ['prompts', '{"name":"k"}'],
    ];
    for (const [kind, item] of rows)
      expect(keys(page(kind, `{"${kind}":[${item}]}`)), kind).to.deep.equal(['k']);
  });

  it(verifies('AGG-8')('one invalid item drops alone'), () => {
    const invalid = [
      ...['5', 'null', '[]', '{}', '{"name":"x"}', '{"name":5,"inputSchema":{"type":"object"}}', tool('')],
      ...[
        '{"name":"x","inputSchema":{}}',
        '{"name":"x","inputSchema":[]}',
        '{"name":"x","inputSchema":{"type":"string"}}',
      ],
      ...[tool('x', ',"description":5'), tool('x', ',"annotations":[]'), tool('x', ',"outputSchema":{}')],
      ...[tool('x', ',"name":"y"'), tool('x', ',"Name":"y"'), tool('x', ',"na\\u006de":"y"')],
    ];
    for (const bad of invalid) {
      const read = page('tools', `{"tools":[${tool('a')},${bad},${tool('b')}]}`);
      expect(keys(read), bad).to.deep.equal(['a', 'b']);
      expect(read.dropped).to.equal(1);
    }
  });

  it(verifies('B12')('schemas are data, whatever they say'), () => {
    const schema =
      '{"type":"object","properties":{"a":{"pattern":"(a+)+$","$ref":"http://169.254.169.254/"}},"$ref":"#"}';
    expect(keys(page('tools', `{"tools":[{"name":"a","inputSchema":${schema}}]}`))).to.deep.equal(['a']);
  });

  it(verifies('AGG-2')('the empty cursor is a cursor'), () => {
    expect(page('tools', '{"tools":[],"nextCursor":""}').nextCursor).to.equal('');
    expect(page('tools', '{"tools":[],"nextCursor":"a\\n"}').nextCursor).to.equal('a\n');
    expect(page('tools', '{"tools":[],"nextCursor":null}').nextCursor).to.equal(undefined);
  });

  it(verifies('BACK-8')('what is no list is a fault of the backend'), () => {
    for (const bad of [
      '{}',
      '{"tools":{}}',
      '{"tools":null}',
      '{"tools":[],"tools":[]}',
      '{"tools":[],"nextCursor":5}',
    ]) {
      expect(() => page('tools', bad), bad)
        .to.throw()
        .with.property('reason', 'backend_protocol_error');
    }
  });

  it('equal definitions of many sessions are one', () => {
    const [one] = page('tools', `{"tools":[${tool('same')}]}`).items;
    const [other] = page('tools', `{ "tools": [ ${tool('same')} ] }`).items;
    expect(one).to.equal(other);
    expect(page('prompts', `{"prompts":[${tool('same')}]}`).items[0]).to.not.equal(one);
  });
});
