/** A program that starts one deaf stdio child, notes it in the folder given, prints the child's pid and stays: to be killed. */
import { BackendRegistry } from '../../control-plane/backend/registry.ts';
import { silentLogger } from '../../shared/log.ts';
import { callTool, open } from './backend-calls.ts';
import { stdioBackendCommand } from './stdio-backend.ts';

const registry = new BackendRegistry({
  backends: [
    {
      kind: 'stdio',
      name: 'kid',
      ...stdioBackendCommand('--deaf'),
      shared: false,
      credential: { strategy: 'none' },
      timeouts: { initializeMs: 5_000, requestMs: 5_000, humanPacedMs: 5_000 },
      limits: { concurrency: 64, queue: 64 },
      handshakes: { atOnce: 32, perSecond: 200 },
      replaySafe: new Set(),
      onStateLoss: 'continue',
    },
  ],
  messageBytes: 65_536,
  stdioChildren: 2,
  tokenGraceMs: 30_000,
  stateFolder: process.argv[2] ?? '',
  log: silentLogger,
});
const backend = registry.get('kid');
if (backend === undefined) throw new Error('no backend');
console.log(await callTool(await open(backend), 'pid'));
