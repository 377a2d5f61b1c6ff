import { runProgram } from '../shared/lifecycle.ts';
import { keepMemoryPrivate } from '../shared/private-memory.ts';
import { startControlPlane } from './compose.ts';
import { settingsSource } from './config.ts';

await runProgram(async (program) => {
  keepMemoryPrivate({ production: process.env['NODE_ENV'] === 'production' });
  await startControlPlane(settingsSource(process.argv.slice(2)), program);
});
