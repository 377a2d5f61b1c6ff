import { isDeepStrictEqual } from 'node:util';
import type { BackendSettings, HttpBackendSettings, StdioBackendSettings } from '../settings.ts';

/**
 * Whether a setting says how a backend is reached, so that another value needs another
 * connector. The others are looked up when they are needed, and change without one.
 */
const REACHES = {
  name: true,
  kind: true,
  url: true,
  headers: true,
  ca: true,
  breaker: true,
  limits: true,
  command: true,
  args: true,
  env: true,
  cwd: true,
  shared: true,
  credential: false,
  timeouts: false,
  handshakes: false,
  replaySafe: false,
  onStateLoss: false,
} as const satisfies Readonly<Record<keyof HttpBackendSettings | keyof StdioBackendSettings, boolean>>;

/** Whether the connector for one will do for the other. */
export function reachedAlike(one: BackendSettings, other: BackendSettings): boolean {
  return isDeepStrictEqual(reach(one), reach(other));
}

function reach(settings: BackendSettings): readonly unknown[] {
  const entries = Object.entries(settings).filter(([name]) => Reflect.get(REACHES, name) === true);
  // How long connecting may take depends on the handshake's time, and the life of a stream on whose the credential is.
  return [Object.fromEntries(entries), settings.timeouts.initializeMs, settings.credential.strategy];
}
