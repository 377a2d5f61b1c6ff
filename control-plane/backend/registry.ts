import { join } from 'node:path';
import { EXIT_USAGE, ExitError } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import type { BackendSettings } from '../settings.ts';
import type { Backend } from './backend.ts';
import { ChildRecords } from './child-records.ts';
import { type BackendHealth, HealthRecord } from './health.ts';
import { ChildSlots, StdioBackend } from './stdio.ts';
import { StreamableHttpBackend } from './streamable-http.ts';

export interface BackendRegistryOptions {
  readonly backends: readonly BackendSettings[];
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  /** stdio children of this replica, over all backends. */
  readonly stdioChildren: number;
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
    const slots = new ChildSlots(options.stdioChildren);
    const entries = options.backends.map((settings): [string, Entry] => {
      const health = new HealthRecord();
      return [settings.name, { health, backend: build(settings, { ...options, health, records, slots }) }];
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
  readonly slots: ChildSlots;
}

function build(settings: BackendSettings, parts: Parts): Backend {
  const { name } = settings;
  const log = parts.log.child({ backend: name });
  switch (settings.kind) {
    case 'http':
      return new StreamableHttpBackend({ ...parts, name, url: settings.url, headers: settings.headers });
    case 'stdio':
      return new StdioBackend({ ...parts, name, command: settings, shared: settings.shared, log });
    case 'sse':
      throw new ExitError(
        `Backend "${name}" has the type sse: the HTTP+SSE transport of 2024-11-05 is not spoken.`,
        EXIT_USAGE,
      );
  }
}
