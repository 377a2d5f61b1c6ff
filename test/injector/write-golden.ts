import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from '../../control-plane/injector/inject.ts';
import { changeManifest } from '../../control-plane/injector/manifest.ts';
import { SETTINGS } from './settings.ts';

/** Writes the injected manifests that `golden.test.ts` compares with; look at the difference before you keep it. */
const folder = join(import.meta.dirname, 'golden');
for (const name of readdirSync(join(folder, 'in'))) {
  const text = readFileSync(join(folder, 'in', name), 'utf8');
  const { text: injected } = changeManifest(text, (object) =>
    inject(object, { settings: SETTINGS, demandOptIn: false }),
  );
  writeFileSync(join(folder, 'out', name), injected);
}
