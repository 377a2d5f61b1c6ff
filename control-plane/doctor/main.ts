import { fileURLToPath } from 'node:url';
import { runProgram } from '../../shared/lifecycle.ts';
import { createLogger } from '../../shared/log.ts';
import { readCommandLine } from './command-line.ts';
import { findAll } from './find-all.ts';
import { render } from './render.ts';

/** Backends that are told of the end of their sessions, and children that end. */
const CLOSING_MS = 5_000;
const EXIT_FAILED = 1;

await runProgram(async (program) => {
  // What a check finds is its finding; what the product's own code says on the way is not for people here.
  const log = createLogger({ level: 'silent', fields: { program: 'doctor' } });
  program.configure({ log, graceMs: CLOSING_MS });
  const around = { env: process.env, cwd: process.cwd() };
  const options = readCommandLine(process.argv.slice(2), around);
  const findings = await findAll(options, {
    ...around,
    program,
    log,
    sidecarDoctor: fileURLToPath(new URL('./sidecar-doctor.js', import.meta.url)),
  });
  const { stdout, env } = process;
  const width = Number(env['COLUMNS']) || (stdout.isTTY ? stdout.columns : undefined);
  stdout.write(render(findings, { output: options.output, width, colour: stdout.isTTY && !env['NO_COLOR'] }));
  process.exitCode = findings.some(({ status }) => status === 'failed') ? EXIT_FAILED : 0;
  await program.stop('everything is said');
});
