import type { StoreAlarm } from '../../control-plane/store/hooks.ts';
import { openStore } from '../../control-plane/store/open.ts';
import { silentLogger } from '../../shared/log.ts';
import { freshKey, newRecord } from './stores.ts';

/** A process with a wrong clock: makes two sessions, touches one, and says what it saw as one line of JSON. */
const url = process.argv[2];
if (url === undefined) throw new Error('usage: skewed-replica URL');
const alarms: StoreAlarm[] = [];
const store = await openStore(
  { kind: 'redis', url, commandTimeoutMs: 5000 },
  { log: silentLogger, onAlarm: (alarm) => alarms.push(alarm) },
);
const [lasting, brief] = [freshKey(), freshKey()];
await store.create(newRecord({ key: lasting }));
await store.create(newRecord({ key: brief, idleTtlMs: 100 }));
const touched = await store.touch(lasting, 1);
console.log(JSON.stringify({ clock: Date.now(), alarms, lasting, brief, touched }));
await store.stop();
