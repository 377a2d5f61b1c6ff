import { ReadFiles } from '../../shared/config/watched-files.ts';
import { runProgram } from '../../shared/lifecycle.ts';
import { createLogger } from '../../shared/log.ts';
import { webhookSettings } from './config.ts';
import { CLOSING_MS, startInjectionWebhook } from './start-webhook.ts';

await runProgram(async (program) => {
  const files = new ReadFiles();
  const load = (read: ReadFiles) => webhookSettings(process.argv.slice(2), read);
  const settings = load(files);
  const log = createLogger({ ...settings.log, fields: { program: 'webhook' } });
  program.configure({ log, graceMs: CLOSING_MS + 1_000 });
  await startInjectionWebhook({ load, settings, files, log, program });
});
