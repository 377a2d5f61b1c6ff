import { runProgram } from '../../shared/lifecycle.ts';
import { keepMemoryPrivate } from '../../shared/private-memory.ts';
import { startBridge } from './bridge.ts';
import { settingsFromCommandLine } from './config.ts';
import { logToStderr } from './stderr-log.ts';

/** Answers that are still on their way, the session's end and the last line of output, together. */
const CLOSING_MS = 5_000;

await runProgram(async (program) => {
  // Standard output belongs to the protocol from the first moment.
  program.configure({ log: logToStderr({ level: 'info', format: 'text' }), graceMs: CLOSING_MS });
  keepMemoryPrivate({ production: process.env['NODE_ENV'] === 'production' });
  const settings = settingsFromCommandLine(process.argv.slice(2));
  const log = logToStderr(settings.log);
  program.configure({ log, graceMs: CLOSING_MS });
  startBridge(settings, { log, program, input: process.stdin, output: process.stdout });
});
