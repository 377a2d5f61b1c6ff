import { runProgram } from '../shared/lifecycle.ts';
import { startControlPlane } from './compose.ts';
import { settingsSource } from './config.ts';

await runProgram((program) => startControlPlane(settingsSource(process.argv.slice(2)), program));
