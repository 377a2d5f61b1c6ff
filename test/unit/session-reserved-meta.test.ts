import { expect } from 'chai';
import type { TaskNaming } from '../../control-plane/session/related-tasks.ts';
import {
  isTaskRelated,
  withoutReserved,
  withoutReservedInResult,
} from '../../control-plane/session/reserved-meta.ts';
import { forward, splice } from '../../shared/json-rpc/envelope.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { verifies } from '../requirements.ts';

const naming: TaskNaming = (taskId) => (taskId === 'mine' ? Buffer.from('"yours"') : undefined);
const PREFIX = 'io.modelcontextprotocol';

/** A `_meta` as it is passed on. */
function passed(meta: string, { known = true } = {}): string {
  const names = known ? naming : undefined;
  const bytes = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":${meta}}}`);
  const message = { bytes, scanned: scanMessage(bytes) };
  const text = Buffer.concat(forward(message, { splices: withoutReserved(message, names) })).toString();
  const result = Buffer.from(`{"_meta":${meta}}`);
  const changes = withoutReservedInResult(result, names);
  const whole = { start: 0, end: result.length };
  // A result is treated as params are.
  expect(text).to.contain(Buffer.concat(splice(result, whole, changes)).toString());
  return text.slice(text.indexOf('"_meta":') + '"_meta":'.length, -'}}'.length);
}

describe('the reserved keys of _meta', () => {
  it(verifies('RPC-13')('end at each hop, and leave an object behind'), () => {
    expect(passed(`{"${PREFIX}/a":1}`)).to.equal('{}');
    expect(passed(`{"a":1.0 , "${PREFIX}/b":{} ,"c":2}`)).to.equal('{"a":1.0 , "c":2}');
    expect(passed(`{"${PREFIX}/a":1,"b":2, "${PREFIX}/c":3}`)).to.equal('{"b":2}');
    expect(passed(`"${PREFIX}/a"`)).to.equal(`"${PREFIX}/a"`);
  });

  it(verifies('AGG-15')('name the related task as its reader knows it'), () => {
    const related = (value: string) => `{"a":1,"${PREFIX}/related-task":${value},"${PREFIX}/b":1}`;
    expect(passed(related('{ "taskId" : "mine","x":1.0}'))).to.equal(
      `{"a":1,"${PREFIX}/related-task":{ "taskId" : "yours","x":1.0}}`,
    );
    const escaped = PREFIX + String.raw`\/`;
    expect(passed(`{"${escaped}related-task":{"taskId":"mine"},"${escaped}b":1}`)).to.equal(
      `{"${escaped}related-task":{"taskId":"yours"}}`,
    );
    const unreadable = ['{"taskId":"other"}', '{"taskId":5}', '{}', '"mine"'];
    for (const value of [...unreadable, '{"taskId":"mine","taskId":"mine"}', '{"TaskId":"mine"}']) {
      expect(passed(related(value)), value).to.equal('{"a":1}');
    }
    const known = `{"${PREFIX}/related-task":{"taskId":"mine"}}`;
    expect(passed(known, { known: false })).to.equal('{}');
  });

  it(verifies('AGG-15')('pass on what a new task says to the model'), () => {
    const meta = `{"${PREFIX}/model-immediate-response":"It runs."}`;
    expect(passed(meta)).to.equal(meta);
  });

  it('tell what belongs to a task', () => {
    const related = (meta: string) => {
      const bytes = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":${meta},"y":1}}`);
      return isTaskRelated({ bytes, scanned: scanMessage(bytes) });
    };
    expect(related(`{"${PREFIX}/related-task":{"taskId":"t"}}`)).to.equal(true);
    expect(related(`{"${PREFIX}/other":1}`)).to.equal(false);
  });
});
