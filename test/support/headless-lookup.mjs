/**
 * Preloaded into a sidecar (`node --import`), see `headless.ts`: one name has the addresses that a file
 * holds at the moment of asking.
 */
import { readFileSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';

const dns = createRequire(import.meta.url)('node:dns/promises');
const lookup = dns.lookup;
dns.lookup = async (name, options) => {
  if (name !== process.env.OUTRIGGER_TEST_NAME) return lookup(name, options);
  const hosts = readFileSync(process.env.OUTRIGGER_TEST_ADDRESSES, 'utf8').split('\n');
  return hosts.filter((host) => host !== '').map((address) => ({ address, family: 4 }));
};
syncBuiltinESMExports();
