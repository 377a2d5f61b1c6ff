import { expect } from 'chai';
import { capCompletion, completionTarget } from '../../control-plane/virtual-server/completion.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { verifies } from '../requirements.ts';

function target(ref: string) {
  const bytes = Buffer.from(ref);
  const { kind, visible, span } = completionTarget(bytes, { start: 0, end: bytes.length });
  return { kind, visible, raw: slice(bytes, span).toString() };
}

const cap = (result: unknown) =>
  JSON.parse(Buffer.concat(capCompletion(Buffer.from(JSON.stringify(result)))).toString());

describe('completion', () => {
  it(verifies('AGG-13')('is routed by what it refers to'), () => {
    expect(target('{"type":"ref/prompt","name":"a__p"}')).to.deep.equal({
      kind: 'prompt',
      visible: 'a__p',
      raw: '"a__p"',
    });
    expect(target('{"uri":"x:/{id}","type":"ref/resource"}')).to.deep.equal({
      kind: 'template',
      visible: 'x:/{id}',
      raw: '"x:/{id}"',
    });
    const bad = [
      '5',
      '{}',
      '{"type":"ref/prompt"}',
      '{"type":"ref/tool","name":"x"}',
      '{"type":"ref/prompt","name":5}',
    ];
    for (const ref of [
      ...bad,
      '{"type":"ref/prompt","name":"a","name":"b"}',
      '{"type":"ref/prompt","Type":"x","name":"a"}',
    ]) {
      expect(() => target(ref), ref)
        .to.throw()
        .with.property('reason', 'invalid_params');
    }
  });

  it(verifies('AGG-13')('gives at most 100 values and says that there are more'), () => {
    const values = Array.from({ length: 150 }, (_, i) => `v${i}`);
    const first = values.slice(0, 100);
    expect(cap({ completion: { values, total: 150 } })).to.deep.equal({
      completion: { values: first, total: 150, hasMore: true },
    });
    expect(cap({ completion: { hasMore: false, values }, x: 1 })).to.deep.equal({
      completion: { values: first, hasMore: true },
      x: 1,
    });
    const exact = { completion: { values: first, hasMore: false } };
    expect(cap(exact)).to.deep.equal(exact);
  });

  it(verifies('RPC-12')('is else given as it came'), () => {
    for (const raw of [
      '{ "completion" : { "values":[ ] } }',
      '{}',
      '{"completion":5}',
      '{"completion":{"values":1}}',
    ]) {
      expect(Buffer.concat(capCompletion(Buffer.from(raw))).toString()).to.equal(raw);
    }
  });
});
