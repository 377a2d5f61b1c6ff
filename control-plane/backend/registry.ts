import { join } from 'node:path';
import type { Logger } from '../../shared/log.ts';
import type { Tracer } from '../../shared/telemetry/tracer.ts';
import type { CredentialSettings } from '../credential-settings.ts';
import type { BackendSettings, HttpBackendSettings } from '../settings.ts';
import type { Backend } from './backend.ts';
import { ChildRecords } from './child-records.ts';
import { type BackendHealth, HealthRecord } from './health.ts';
import { reachedAlike } from './reached-alike.ts';
import { SseBackend } from './sse.ts';
import { ChildSlots, StdioBackend } from './stdio.ts';
import { StreamableHttpBackend } from './streamable-http.ts';
import { TracedBackend } from './traced-backend.ts';

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
  /** Where traces are written. */
  readonly tracer?: Tracer | undefined;
}

interface Entry {
  readonly settings: BackendSettings;
  readonly backend: Backend;
  readonly health: HealthRecord;
}

/** The configured backends by name, in the order of the configuration, and how they fare. */
export class BackendRegistry {
  /** Resolves when what a killed replica left is ended. */
  readonly swept: Promise<void>;
  readonly #parts: Omit<Parts, 'health'>;
  #entries: ReadonlyMap<string, Entry>;
  /** Not configured any more, or reached otherwise now; each is stopped when nobody uses it. */
  readonly #former = new Set<Backend>();

  /** Builds the backends without touching one of them, and begins to end the children that a killed replica left. */
  constructor(options: BackendRegistryOptions) {
    const records = new ChildRecords(join(options.stateFolder, 'children'));
    this.#parts = { ...options, records, children: new ChildSlots(options.stdioChildren) };
    this.#entries = this.#build(options.backends, new Map());
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

  /**
   * Gets ready for other settings and returns what makes the change. A backend that is
   * reached as before stays the same object; what is no backend any more goes on until
   * `end`, for those who use it.
   */
  prepare(backends: readonly BackendSettings[]): () => void {
    const entries = this.#build(backends, this.#entries);
    return () => {
      const before = [...this.#entries.values()];
      this.#entries = entries;
      for (const { settings, backend } of before) {
        if (this.get(settings.name) !== backend) this.#former.add(backend);
      }
    };
  }

  /** Nobody uses this former backend any more: its children and connections end. */
  async end(backend: Backend): Promise<void> {
    if (this.#former.delete(backend)) await backend.stop();
  }

  /** Ends every child and connection. What was open fails; no backend is told. */
  async stop(): Promise<void> {
    const present = [...this.#entries.values()].map(({ backend }) => backend);
    await Promise.all([...present, ...this.#former].map((backend) => backend.stop()));
    await this.swept;
  }

  #build(
    backends: readonly BackendSettings[],
    before: ReadonlyMap<string, Entry>,
  ): ReadonlyMap<string, Entry> {
    return new Map(
      backends.map((settings): [string, Entry] => {
        const known = before.get(settings.name);
        if (known !== undefined && reachedAlike(known.settings, settings)) {
          return [settings.name, { ...known, settings }];
        }
        const health = healthOf(settings, this.#parts);
        const backend = traced(build(settings, { ...this.#parts, health }), settings, this.#parts);
        return [settings.name, { settings, health, backend }];
      }),
    );
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

function traced(
  backend: Backend,
  { kind }: BackendSettings,
  { tracer }: Pick<BackendRegistryOptions, 'tracer'>,
): Backend {
  if (tracer === undefined) return backend;
  return new TracedBackend(backend, { tracer, transport: kind === 'stdio' ? 'pipe' : 'tcp' });
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
