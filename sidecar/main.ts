import { ReadFiles } from '../shared/config/watched-files.ts';
import { runProgram } from '../shared/lifecycle.ts';
import { createLogger } from '../shared/log.ts';
import { keepMemoryPrivate } from '../shared/private-memory.ts';
import { FLUSH_MS } from '../shared/telemetry/open-tracer.ts';
import { CLOSING_MS, startSidecar } from './compose.ts';
import { settingsFromCommandLine } from './config.ts';
import { followConfiguration } from './ops/config-reload.ts';

await runProgram(async (program) => {
  keepMemoryPrivate({ production: process.env['NODE_ENV'] === 'production' });
  const files = new ReadFiles();
  const load = (read: ReadFiles) => settingsFromCommandLine(process.argv.slice(2), read);
  const settings = load(files);
  const log = createLogger({ ...settings.log, fields: { program: 'sidecar', node: settings.node } });
  const flushMs = settings.tracing === undefined ? 0 : FLUSH_MS;
  program.configure({ log, graceMs: settings.timeouts.drain + CLOSING_MS + flushMs });
  followConfiguration({ settings, files, load, log, program });
  await startSidecar(settings, { log, program });
});
