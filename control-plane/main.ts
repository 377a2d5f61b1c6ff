import { runProgram } from '../shared/lifecycle.ts';
import { startControlPlane } from './compose.ts';
import { settingsFromCommandLine } from './config.ts';

await runProgram((program) => startControlPlane(settingsFromCommandLine(process.argv.slice(2)), program));
