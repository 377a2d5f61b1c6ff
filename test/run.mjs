/**
 * `npm test`: runs the tests and ends by printing `N passed, N failed` alone on a
 * line. It fails when a test fails, when there was none, when a run broke off, and
 * when the tests left something behind that keeps their process alive.
 *
 * The files are dealt to two lanes, each file that starts programs in a process of
 * its own, the others together; what a process wrote is shown when it has ended.
 * Arguments are Mocha's and make one process of all: `npm test -- test/unit/config.test.ts`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const LANES = 2;
const LINGER_MS = 15_000;
/** Node 20 now and then never joins the thread of the loader; by then the tests are over and nothing of theirs is open. */
const EXIT_MS = 5_000;
/** Of files that wait for processes rather than work; the longest first, so that no lane ends late with one. */
const SLOW = ['conformance', 'faults', 'contract', 'e2e', 'interleavings', 'clients'];

const root = join(import.meta.dirname, '..');
const given = process.argv.slice(2);
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    batches.length = 0;
    for (const mocha of running) mocha.kill(signal);
  });
}

// Without a file Mocha would take what lies in this folder for tests, and this script with it.
const files = given.some((argument) => argument.endsWith('.test.ts')) ? [] : ['test/**/*.test.ts'];
const batches = given.length > 0 ? [[...given, ...files]] : dealt();
if (given.length === 0) {
  spawnSync(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'support/prepare.ts')], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}
const total = { passes: 0, failures: 0 };
await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
if (total.passes === 0 && total.failures === 0) total.failures = 1;
console.log(`${total.passes} passed, ${total.failures} failed`);
process.exitCode = total.failures > 0 ? 1 : 0;

function dealt() {
  const files = readdirSync(join(root, 'test'), { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .sort();
  const folder = (file) => file.split(/[\\/]/)[0];
  const alone = SLOW.flatMap((slow) => files.filter((file) => folder(file) === slow)).map((file) => [file]);
  const together = files.filter((file) => !SLOW.includes(folder(file)));
  return [...alone, together].map((batch) => batch.map((file) => join('test', file)));
}

async function lane(number) {
  for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
    const { passes, failures } = await run(batch, number);
    total.passes += passes;
    total.failures += failures;
  }
}

/** Runs Mocha over a batch and resolves with its counts; what went wrong beside the tests counts as a failure. */
function run(batch, number) {
  const live = given.length > 0;
  const mocha = spawn(
    process.execPath,
    [
      // Not Mocha's own launcher: that starts one more process, which the channel would not reach.
      ...['--import', 'tsx', join(root, 'node_modules/mocha/lib/cli/cli.js')],
      ...['--reporter', join(import.meta.dirname, 'support/reporter.cjs')],
      ...batch,
    ],
    {
      cwd: root,
      // Lanes take their ports from different parts of the range.
      env: { ...process.env, OUTRIGGER_TEST_LANE: String(number) },
      stdio: ['ignore', live ? 'inherit' : 'pipe', live ? 'inherit' : 'pipe', 'ipc'],
    },
  );
  running.add(mocha);
  const output = [];
  for (const stream of [mocha.stdout, mocha.stderr]) stream?.on('data', (chunk) => output.push(chunk));

  let counts;
  let lingering;
  let drained = false;
  mocha.on('message', (message) => {
    if (message === 'drained') {
      clearTimeout(lingering);
      lingering = setTimeout(() => mocha.kill('SIGKILL'), EXIT_MS);
      drained = true;
      return;
    }
    counts = message;
    lingering = setTimeout(() => {
      output.push(
        Buffer.from('The tests are over, but something that they left behind keeps them running.\n'),
      );
      counts.failures += 1;
      mocha.kill('SIGKILL');
    }, LINGER_MS);
  });
  return new Promise((resolve) => {
    // What a test left behind may still hold the pipes; nobody waits for it longer than for the last words.
    mocha.once('exit', () => setTimeout(() => letGo(mocha), 1_000).unref());
    mocha.once('close', (code, signal) => {
      clearTimeout(lingering);
      running.delete(mocha);
      if (counts === undefined) {
        output.push(Buffer.from(`The tests of ${batch.join(' ')} broke off (${signal ?? code}).\n`));
        counts = { passes: 0, failures: 1 };
      }
      if (code !== 0 && counts.failures === 0 && !drained) counts.failures = 1;
      process.stdout.write(Buffer.concat(output));
      resolve(counts);
    });
  });
}

function letGo({ stdout, stderr }) {
  stdout?.destroy();
  stderr?.destroy();
}
