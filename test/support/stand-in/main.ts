/** `outrigger up` with stand-ins: main.ts FILE PROGRAM GUARD. Quick to give up on what does not end. */
import { up } from '../../../control-plane/cli/up.ts';
import { runProgram } from '../../../shared/lifecycle.ts';

const [config = '', command = '', guard = ''] = process.argv.slice(2);
const around = { command, guard, cwd: process.cwd(), env: process.env };
await runProgram((program) => up({ config, portBase: 0, logFormat: 'text' }, around, program));
