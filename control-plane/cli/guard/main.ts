/**
 * Runs a command that knows nothing of its supervisor, and ends it when the
 * supervisor ends, however that happens: `guard.js COMMAND ARGS…`. The guard is
 * started as the leader of a process group of its own, so that the supervisor can
 * also end both at once.
 */
import { spawn } from 'node:child_process';

/** How long the command may take to end when it is asked to. */
const PATIENCE_MS = 3_000;

const [command = '', ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });

const end = () => {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS).unref();
};
process.once('disconnect', end);
process.on('SIGTERM', end);
process.on('SIGINT', end);

child.once('error', (error) => {
  process.stderr.write(`cannot start ${command}: ${error.message}\n`);
  process.exit(127);
});
child.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 0 : 1)));
