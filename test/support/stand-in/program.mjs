/**
 * Stands where `outrigger` would: takes the same flags and answers the same
 * probes, and does nothing else, so that a test is about its supervisor alone.
 * It ends on SIGTERM and with its supervisor, and says when it gets SIGHUP. `STAND_IN=broken` makes replicas
 * end at once, `STAND_IN=stubborn` makes them ignore SIGTERM.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const [kind, ...args] = process.argv.slice(2);
const option = { type: 'string' };
const { values } = parseArgs({
  args,
  strict: false,
  options: { replica: option, node: option, ops: option },
});
const mode = kind === 'control-plane' ? process.env.STAND_IN : undefined;
const name = values.replica ?? values.node;
if (mode === 'broken') {
  console.error('mesh.yaml:1: wrong');
  process.exit(64);
}

const port = Number(String(values.ops).split(':').at(-1));
const server = createServer((_request, response) => response.end()).listen(port, '127.0.0.1');
server.once('listening', () =>
  console.log(`${kind} ${name} runs as ${process.pid}, Bearer eyJhbGciOiJIUzI1NiJ9`),
);
const end = () => {
  console.log(`${kind} ${name} ends`);
  server.close();
  server.closeAllConnections();
};
process.on('SIGTERM', mode === 'stubborn' ? () => {} : end);
process.on('SIGHUP', () => console.log(`${kind} ${name} looks again`));
process.once('disconnect', () => process.exit());
process.channel?.unref();
