/**
 * `npm test`: runs the tests and ends by printing `N passed, N failed` alone on a
 * line. It fails when a test fails, when there was none, when the run broke off,
 * and when the tests left something behind that keeps their process alive.
 * Arguments are Mocha's: `npm test -- test/unit/config.test.ts`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const LINGER_MS = 15_000;
const root = join(import.meta.dirname, '..');
const given = process.argv.slice(2);
// Without a file Mocha would take what lies in this folder for tests, and this script with it.
const files = given.some((argument) => argument.endsWith('.test.ts')) ? [] : ['test/**/*.test.ts'];

const mocha = spawn(
  process.execPath,
  [
    // Not Mocha's own launcher: that starts one more process, which the channel would not reach.
    ...['--import', 'tsx', join(root, 'node_modules/mocha/lib/cli/cli.js')],
    ...['--reporter', join(import.meta.dirname, 'support/reporter.cjs')],
    ...given,
    ...files,
  ],
  { cwd: root, stdio: ['inherit', 'inherit', 'inherit', 'ipc'] },
);

let counts;
let lingering;
mocha.on('message', (message) => {
  counts = message;
  lingering = setTimeout(() => {
    console.error('The tests are over, but something that they left behind keeps them running.');
    counts.failures += 1;
    mocha.kill('SIGKILL');
  }, LINGER_MS);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => mocha.kill(signal));
mocha.once('exit', (code, signal) => {
  clearTimeout(lingering);
  if (counts === undefined) {
    console.error(`The tests broke off (${signal ?? code}).`);
    counts = { passes: 0, failures: 1 };
  }
  const failed = counts.failures > 0 || counts.passes === 0 || (code ?? 0) !== 0;
  console.log(
    `${counts.passes} passed, ${Math.max(counts.failures, failed && counts.passes > 0 ? 1 : 0)} failed`,
  );
  process.exitCode = failed ? 1 : 0;
});
