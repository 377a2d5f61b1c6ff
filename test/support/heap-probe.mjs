/**
 * Loaded into a program of ours beside what it does, see `heapProbe` in `heap.ts`:
 * answers on a port of its own with the memory that is in use after a collection.
 * The port is in the file that is named by the process's id.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const server = createServer((_, response) => {
  globalThis.gc();
  response.end(JSON.stringify(process.memoryUsage()));
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  writeFileSync(join(process.env.OUTRIGGER_TEST_HEAP, String(process.pid)), String(port));
});
server.unref();
