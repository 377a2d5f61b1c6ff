import { runProgram } from '../../shared/lifecycle.ts';
import { createLogger } from '../../shared/log.ts';
import { loadSettings } from '../config.ts';
import { lookAround } from './look-around.ts';

/** What `outrigger doctor` asks of the sidecar's configuration, as one JSON document on standard output. */
await runProgram(async (program) => {
  const log = createLogger({ level: 'silent', fields: { program: 'sidecar-doctor' } });
  program.configure({ log, graceMs: 1_000 });
  const argv = process.argv.slice(2);
  const load = () => loadSettings({ argv, env: process.env, cwd: process.cwd() });
  const of = argv.at(-1) ?? '$OUTRIGGER_SIDECAR_CONFIG';
  process.stdout.write(JSON.stringify(await lookAround(load, { of, log, signal: program.stopping })));
  await program.stop('everything is said');
});
