import { expect } from 'chai';
import { readTaskPage, taskIdIn } from '../../control-plane/virtual-server/task-results.ts';
import { verifies } from '../requirements.ts';

const at = (result: string, place: 'created' | 'state') => taskIdIn(Buffer.from(result), place)?.taskId;

describe('results about tasks', () => {
  it(verifies('AGG-15')('name their task at its place, and at no other'), () => {
    expect(at('{"task":{"x":1,"taskId":"t\\u0031"}}', 'created')).to.equal('t1');
    expect(at('{"taskId":"t"}', 'state')).to.equal('t');
    for (const other of [
      '{}',
      '{"task":5}',
      '{"task":{"taskId":5}}',
      '{"taskId":"t"}',
      '{"task":{"task":{}}}',
    ]) {
      expect(at(other, 'created'), other).to.equal(undefined);
    }
    for (const other of ['{}', '{"taskId":null}', '{"task":{"taskId":"t"}}']) {
      expect(at(other, 'state'), other).to.equal(undefined);
    }
  });

  it(verifies('AGG-15', 'RPC-17')('with two ids are no answer: readers differ on which counts'), () => {
    for (const result of ['{"taskId":"a","taskId":"b"}', '{"taskId":"a","TASKID":"b"}']) {
      expect(() => at(result, 'state'))
        .to.throw()
        .with.property('reason', 'backend_protocol_error');
    }
  });

  it(verifies('AGG-15')('list tasks with their bytes; what names none is left out alone'), () => {
    const page = readTaskPage(
      Buffer.from(
        '{"tasks":[{"taskId":"a","x":1.0},5,{"taskId":7}, {"y":{ },"taskId":"b"}],"nextCursor":"n\\u0031"}',
      ),
    );
    expect(page.tasks.map(({ bytes }) => bytes.toString())).to.deep.equal([
      '{"taskId":"a","x":1.0}',
      '{"y":{ },"taskId":"b"}',
    ]);
    expect(page.tasks.map(({ bytes, id }) => bytes.subarray(id.start, id.end).toString())).to.deep.equal([
      '"a"',
      '"b"',
    ]);
    expect(page.nextCursor?.toString()).to.equal('"n\\u0031"');
    expect(readTaskPage(Buffer.from('{"tasks":[],"nextCursor":null}')).nextCursor).to.equal(undefined);
    for (const none of ['{}', '{"tasks":{}}', '{"tasks":[],"tasks":[]}']) {
      expect(() => readTaskPage(Buffer.from(none)), none)
        .to.throw()
        .with.property('reason', 'backend_protocol_error');
    }
  });
});
