import { isDeepStrictEqual } from 'node:util';
import type { LimitSettings, Settings } from './settings.ts';

/** Limits that are built into what runs, by their names in the file. */
const FIXED_LIMITS = {
  sessionIdle: 'sessionIdleMs',
  sessionAbsolute: 'sessionAbsoluteMs',
  message: 'messageBytes',
  streamAfter: 'streamAfterMs',
  lease: 'leaseMs',
  stdioChildren: 'stdioChildren',
} as const satisfies Readonly<Record<string, keyof LimitSettings>>;

/** What a running replica keeps, by its name in the file. */
const FIXED: Readonly<Record<string, (settings: Settings) => unknown>> = {
  replica: ({ replica }) => replica,
  state: ({ stateFolder }) => stateFolder,
  listen: ({ listen }) => listen,
  'listen.grpc.tls': ({ meshTls }) => meshTls !== undefined,
  'log.format': ({ log }) => log.format,
  store: ({ store }) => store,
  keys: ({ keys }) => keys,
  audit: ({ audit }) => audit,
  tracing: ({ tracing }) => tracing,
  connect: ({ connect }) => connect,
  ...Object.fromEntries(
    Object.entries(FIXED_LIMITS).map(([name, key]) => [
      `limits.${name}`,
      ({ limits }: Settings) => limits[key],
    ]),
  ),
};

export interface Kept {
  /** The new settings, where they can be had, and the present ones elsewhere. */
  readonly settings: Settings;
  /** Which of the new ones need a restart, by their names in the file. */
  readonly waiting: readonly string[];
}

/** What of new settings a running replica can take on: not its addresses, its store, its keys. */
export function keepFixed(next: Settings, present: Settings): Kept {
  const { replica, stateFolder, listen, store, keys, audit, tracing, connect, log, limits } = present;
  const secured = (next.meshTls === undefined) === (present.meshTls === undefined);
  const fixedLimits = Object.fromEntries(Object.values(FIXED_LIMITS).map((key) => [key, limits[key]]));
  return {
    waiting: Object.entries(FIXED).flatMap(([name, read]) =>
      isDeepStrictEqual(read(next), read(present)) ? [] : [name],
    ),
    settings: {
      ...next,
      // What is made of a virtual server is kept with this very object.
      virtualServers: next.virtualServers.map(
        (server) => present.virtualServers.find((each) => isDeepStrictEqual(each, server)) ?? server,
      ),
      replica,
      stateFolder,
      listen,
      meshTls: secured ? next.meshTls : present.meshTls,
      store,
      keys,
      audit,
      tracing,
      connect,
      log: { ...next.log, format: log.format },
      limits: { ...next.limits, ...fixedLimits },
    },
  };
}
