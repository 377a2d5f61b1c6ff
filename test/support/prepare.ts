/**
 * Fetches what the tests need beyond npm's dependencies, before any test runs: what is
 * fetched inside a test counts against its time, and two lanes would fetch at once. What
 * cannot be had is said here, and fails the tests that need it.
 */
import { chromiumBinary } from './chromium-binary.ts';
import { node22 } from './node22.ts';
import { fakeTimeLibrary, redisBinaries } from './redis-binaries.ts';

for (const fetch of [redisBinaries, fakeTimeLibrary, node22, chromiumBinary]) {
  try {
    await fetch();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
}
