import { join } from 'node:path';
import type { Logger } from '../../shared/log.ts';
import type { CredentialSettings } from '../credential-settings.ts';
import type { BackendSettings, HttpBackendSettings } from '../settings.ts';
import type { Backend } from './backend.ts';
import { ChildRecords } from './child-records.ts';
import { type BackendHealth, HealthRecord } from './health.ts';
import { SseBackend } from './sse.ts';
import { ChildSlots, StdioBackend } from './stdio.ts';
import { StreamableHttpBackend } from './streamable-http.ts';

export interface BackendRegistryOptions {
  readonly backends: readonly BackendSettings[];
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  /** stdio children of this replica, over all backends. */
  readonly stdioChildren: number;
  /** How long a stream may outlive the token it was opened under, in milliseconds. */
  readonly tokenGraceMs: number;
  /** Absolute. Running children are noted here; replicas may share it. */
  readonly stateFolder: string;
  readonly log: Logger;
}

interface Entry {
  readonly backend: Backend;
  readonly health: HealthRecord;
}

/** The configured backends by name, in the order of the configuration, and how they fare. */
export class BackendRegistry {
  /** Resolves when what a killed replica left is ended. */
  readonly swept: Promise<void>;
  readonly #entries: ReadonlyMap<string, Entry>;

  /** Builds the backends without touching one of them, and begins to end the children that a killed replica left. */
  constructor(options: BackendRegistryOptions) {
    const records = new ChildRecords(join(options.stateFolder, 'children'));
    const children = new ChildSlots(options.stdioChildren);
    const entries = options.backends.map((settings): [string, Entry] => {
      const health = healthOf(settings, options);
      return [settings.name, { health, backend: build(settings, { ...options, health, records, children }) }];
    });
    this.#entries = new Map(entries);
    this.swept = records.sweep().then((count) => {
      if (count > 0) options.log.warn('children that a replica left behind were ended', { count });
    });
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  get(name: string): Backend | undefined {
    return this.#entries.get(name)?.backend;
  }

  health(name: string): BackendHealth | undefined {
    return this.#entries.get(name)?.health.read();
  }

  /** Ends every child and connection. What was open fails; no backend is told. */
  async stop(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ backend }) => backend.stop()));
    await this.swept;
  }
}

interface Parts extends BackendRegistryOptions {
  readonly health: HealthRecord;
  readonly records: ChildRecords;
  readonly children: ChildSlots;
}

function build(settings: BackendSettings, parts: Parts): Backend {
  const { name } = settings;
  switch (settings.kind) {
    case 'http':
      return new StreamableHttpBackend({ ...parts, ...remote(settings) });
    case 'sse':
      return new SseBackend({
        ...parts,
        ...remote(settings),
        graceMs: isNobodysOwn(settings.credential) ? Number.POSITIVE_INFINITY : parts.tokenGraceMs,
      });
    case 'stdio': {
      const { shared, limits } = settings;
      return new StdioBackend({ ...parts, name, command: settings, shared, limits, log: logOf(name, parts) });
    }
  }
}

const LONGEST_CONNECT_MS = 5_000;

function remote({ name, url, headers, limits, timeouts, ca }: HttpBackendSettings) {
  // An address that swallows everything must show as such before the handshake as a whole is over.
  const connectTimeoutMs = Math.min(LONGEST_CONNECT_MS, timeouts.initializeMs / 2);
  return { name, url, headers, connections: { ...limits, connectTimeoutMs, ca } };
}

/** Whether the credential is the mesh's or nobody's: then nothing ends with a caller's time. */
function isNobodysOwn({ strategy }: CredentialSettings): boolean {
  return strategy === 'none' || strategy === 'header';
}

/** A program that keeps ending is held back by the time between its starts; its living children are not kept from working. */
function healthOf(settings: BackendSettings, options: BackendRegistryOptions): HealthRecord {
  const log = logOf(settings.name, options);
  return new HealthRecord({
    ...(settings.kind === 'stdio' ? {} : { breaker: settings.breaker }),
    onChange: ({ state, lastFault: kind }, before) => {
      if (state === 'open')
        log.warn('the backend failed too often and is left alone for a while', { state, kind });
      else if (state === 'half_open') log.info('a call finds out whether the backend is back', { state });
      else if (before === 'half_open') log.info('the backend is back', { state });
      else log.debug('the backend fares differently', { state, kind });
    },
  });
}

function logOf(backend: string, { log }: { readonly log: Logger }): Logger {
  return log.child({ backend });
}
