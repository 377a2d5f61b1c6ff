import { runProgram } from '../../shared/lifecycle.ts';
import { createLogger } from '../../shared/log.ts';
import { readCommandLine } from './command-line.ts';
import { runPins } from './run.ts';

/** Backends that are told of the end of their sessions, and children that end. */
const CLOSING_MS = 10_000;

await runProgram(async (program) => {
  // Standard output has the differences and nothing else.
  const log = createLogger({
    level: 'warn',
    fields: { program: 'pins' },
    destination: { write: (line) => void process.stderr.write(line) },
  });
  program.configure({ log, graceMs: CLOSING_MS });
  const { text, exitCode } = await runPins(readCommandLine(process.argv.slice(2)), {
    program,
    log,
    env: process.env,
    cwd: process.cwd(),
  });
  process.stdout.write(text);
  process.exitCode = exitCode;
  await program.stop('everything is said');
});
