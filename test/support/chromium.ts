import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { chromiumBinary } from './chromium-binary.ts';

/** A real Chromium without a window; each page of it that a test opens is a person of its own. */
export interface ChromiumBrowser extends AsyncDisposable {
  readonly browser: Browser;
}

/** Rejects with one sentence where there is no Chromium to be had. */
export async function startChromium(): Promise<ChromiumBrowser> {
  const { path, env } = await chromiumBinary();
  const home = await mkdtemp(join(tmpdir(), 'outrigger-chromium-'));
  const browser = await chromium.launch({
    executablePath: path,
    env: { ...defined(env), HOME: home, XDG_CACHE_HOME: home, XDG_CONFIG_HOME: home },
    // A container's /dev/shm is small; root has no sandbox; nothing is asked of the network.
    args: ['--disable-dev-shm-usage', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    timeout: 60_000,
  });
  return {
    browser,
    async [Symbol.asyncDispose]() {
      await browser.close();
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

function defined(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
