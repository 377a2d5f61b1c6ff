import { expect } from 'chai';
import { errorWithVisibleUri, withVisibleUris } from '../../control-plane/virtual-server/result-uris.ts';
import { verifies } from '../requirements.ts';

const map = (json: string) =>
  Buffer.concat(
    withVisibleUris(Buffer.from(json), (uri) => (uri.startsWith('x:') ? `v-${uri}` : uri)),
  ).toString();

describe('URIs in results', () => {
  it(verifies('AGG-5', 'AGG-17')('are given as the client knows them, and nothing else is touched'), () => {
    const rows = [
      [
        '{"contents":[{ "uri":"x:1","text":"x:1","n":1.0 },{"uri":"y:1"}]}',
        '{"contents":[{ "uri":"v-x:1","text":"x:1","n":1.0 },{"uri":"y:1"}]}',
      ],
      [
        '{"content":[{"type":"text","text":"\\"uri\\": x:1"},{"uri":"x:\\u0031","type":"resource_link","name":"x:1"}],"structuredContent":{"uri":"x:1"}}',
        '{"content":[{"type":"text","text":"\\"uri\\": x:1"},{"uri":"v-x:1","type":"resource_link","name":"x:1"}],"structuredContent":{"uri":"x:1"}}',
      ],
      [
        '{"content":[{"type":"resource","resource":{"uri":"x:1","blob":""}}]}',
        '{"content":[{"type":"resource","resource":{"uri":"v-x:1","blob":""}}]}',
      ],
      [
        '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x:1"}}}]}',
        '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"v-x:1"}}}]}',
      ],
    ] as const;
    for (const [before, after] of rows) expect(map(before)).to.equal(after);
  });

  it(verifies('AGG-5')('of tools’ results within messages, however the type is spelled, are too'), () => {
    const part = (uri: string) =>
      `{"type":"tool_result","toolUseId":"x:1","content":[{"type":"resource\\u005flink","uri":"${uri}"},{"type":"text","text":"x:1"}]}`;
    const messages = (uri: string) => `{"messages":[{"role":"user","content":[${part(uri)}]}]}`;
    expect(map(messages('x:1'))).to.equal(messages('v-x:1'));
  });

  it(verifies('AGG-5', 'RPC-14')('in the data of errors are too, and nothing else of an error'), () => {
    const error = (uri: string) =>
      `{"code":-32002,"message":"x:1","data":{ "uri":${uri},"contents":[{"uri":"x:1"}],"n":1.0}}`;
    const mapped = (json: string) => errorWithVisibleUri(Buffer.from(json), (uri) => `v-${uri}`).toString();
    expect(mapped(error('"x:1"'))).to.equal(error('"v-x:1"'));
    for (const json of [
      error('7'),
      '{"code":1,"message":"uri","data":"uri"}',
      '"uri"',
      '{"data":["uri",{"uri":"x:1"}]}',
    ])
      expect(mapped(json)).to.equal(json);
  });

  it(verifies('RPC-12')('of other shapes stay as they are'), () => {
    for (const json of [
      '{}',
      '{"contents":{"a":"uri"}}',
      '{"content":[{"type":"text","uri":"x:1"},5,null]}',
      '{"contents":[{"uri":5}],"messages":[{"content":"x:"}]}',
    ]) {
      expect(map(json)).to.equal(json);
    }
  });
});
