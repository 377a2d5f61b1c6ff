import { parseArgs } from 'node:util';
import { startReferenceBackend } from './server.ts';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' } },
});
const backend = await startReferenceBackend({ port: Number(values.port) });
console.log(JSON.stringify({ url: backend.url }));
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void backend.close());
