import { writeSync } from 'node:fs';
import { openStore } from '../../control-plane/store/open.ts';
import { silentLogger } from '../../shared/log.ts';
import { freshWriteId, newRecord } from './stores.ts';

/**
 * A process that writes sessions into an embedded store for ever, and says which
 * the store has acknowledged: a line with principal, name and version each, after
 * its creation and after its update.
 */
const path = process.argv[2];
if (path === undefined) throw new Error('usage: store-writer FOLDER');
const store = await openStore({ kind: 'embedded', path }, { log: silentLogger });

async function write(): Promise<void> {
  for (;;) {
    const record = newRecord({ body: 'first' });
    const { key } = record;
    const update = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'second' };
    await acknowledged(() => store.create(record));
    writeSync(1, `${key.principal} ${key.name} 1\n`);
    await acknowledged(() => store.update(update));
    writeSync(1, `${key.principal} ${key.name} 2\n`);
    const events = [{ seq: 1, answer: true, data: Buffer.alloc(2000, 'x') }];
    await acknowledged(() => store.appendEvents({ key, stream: 'a', epoch: 1, events }));
  }
}

/** Retries with the same write id, as a replica does. */
async function acknowledged(work: () => Promise<unknown>): Promise<void> {
  while (
    !(await work().then(
      () => true,
      () => false,
    ))
  );
}

await Promise.all(Array.from({ length: 8 }, write));
