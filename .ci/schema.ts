/**
 * Writes docker/config.schema.json, the JSON Schema of the configuration file,
 * for editors. `--check` writes nothing and exits 1 when what is committed is not
 * what the loader checks.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configSchema } from './config-schema.ts';

const file = join(import.meta.dirname, '..', 'docker/config.schema.json');
const text = `${JSON.stringify(configSchema(), null, 2)}\n`;
if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
  if (process.argv.includes('--check')) {
    console.error('docker/config.schema.json is not what the loader checks: run npm run generate');
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
  }
}
