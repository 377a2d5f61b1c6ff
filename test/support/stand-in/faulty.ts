/** A program with one fault, named on its command line; it would run for a minute otherwise. */
import { runProgram } from '../../../shared/lifecycle.ts';

const minute = setTimeout(() => {}, 60_000);
await runProgram(async (program) => {
  program.defer('the first', () => console.log('closed the first'));
  program.defer('the second', async () => {
    if (process.argv[2] === 'slow') await new Promise(() => {});
    console.log('closed the second');
    clearTimeout(minute);
  });
  if (process.argv[2] === 'rejects')
    void Promise.reject(new Error('Bearer eyJhbGciOiJIUzI1NiJ9 was refused'));
  if (process.argv[2] === 'throws') {
    setImmediate(() => {
      throw new Error('nobody catches this');
    });
  }
  if (process.argv[2] === 'cannot-start') throw new Error('no store');
  console.log('running');
});
