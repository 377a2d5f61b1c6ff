import { setMaxListeners } from 'node:events';
import { ReadFiles } from '../../../shared/config/watched-files.ts';
import { createLogger } from '../../../shared/log.ts';
import { startSidecar } from '../../../sidecar/compose.ts';
import { settingsFromCommandLine } from '../../../sidecar/config.ts';

// Many sidecars in one process, as a program: `herd-sidecars HOST:PORT,HOST:PORT FIRST_NODE COUNT PORT...`,
// two ports for each. They are the product's own, with streams of their own; only memory and the start of
// a process are shared. Prints one line when all have started.

const [replicas = '', first = '0', count = '0', ...ports] = process.argv.slice(2);
const log = createLogger({ level: 'error', format: 'json', fields: { program: 'herd' } });
const releases: (() => unknown)[] = [];
const program = { defer: (_: string, release: () => unknown) => releases.push(release) };
setMaxListeners(0);

for (let n = 0; n < Number(count); n += 1) {
  const argv = [
    ...replicas.split(',').flatMap((replica) => ['--control-plane', replica]),
    ...['--node', `node-${Number(first) + n}`],
    ...['--listen', `127.0.0.1:${ports[2 * n]}`, '--ops', `127.0.0.1:${ports[2 * n + 1]}`],
  ];
  await startSidecar(settingsFromCommandLine(argv, new ReadFiles()), { log, program });
}
console.log('{"started":true}');
process.once('SIGTERM', () => process.exit());
