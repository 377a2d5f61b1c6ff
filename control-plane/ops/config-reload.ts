import { createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../../shared/config/parse.ts';
import { FileWatch, ReadFiles } from '../../shared/config/watched-files.ts';
import type { RootLogger } from '../../shared/log.ts';
import type { SettingsSource } from '../config.ts';
import type { Kept } from '../fixed-settings.ts';
import type { LiveSettings } from '../live-settings.ts';
import type { Settings } from '../settings.ts';
import type { Metrics } from './metrics.ts';

export interface ReloadOptions {
  readonly source: SettingsSource;
  /** What the present settings were read from. */
  readonly files: ReadFiles;
  readonly live: LiveSettings;
  /** What of new settings can be taken on by a running replica. */
  readonly keepFixed: (next: Settings, present: Settings) => Kept;
  readonly log: RootLogger;
  readonly metrics: Metrics;
  /** Makes the digests that replicas can be compared by, and that tell nothing of a secret. */
  readonly key: Uint8Array;
}

/** What came of a reading of the configuration. */
export interface ReloadReport {
  readonly result: 'applied' | 'unchanged' | 'rejected';
  /** Why it was rejected. */
  readonly problems: readonly string[];
  /** What of it needs a restart, by its names in the file. */
  readonly waiting: readonly string[];
}

export interface ConfigCheck extends Omit<ReloadReport, 'result'> {
  /** It is another than the one in force. */
  readonly differs: boolean;
}

/**
 * Takes on the configuration as it is now when its file, or a file that it names, has
 * changed, or when somebody asks. What cannot be read, is wrong or cannot be done
 * changes nothing: it is said and counted, and the settings before it stay.
 */
export class ConfigReload {
  readonly #options: ReloadOptions;
  readonly #watch: FileWatch;
  /** What the present settings were read from. */
  #files: ReadFiles;
  #loadedAt = Date.now();

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#files = options.files;
    this.#watch = new FileWatch({ changed: () => this.reload() });
    this.#watch.follow(this.#files.marks);
    options.metrics.configReloadOk.set(1);
    this.#show();
  }

  /** The configuration in force, by a digest that replicas with the same one share. */
  get digest(): string {
    return digestOf(shared(this.#options.live.current), this.#options.key);
  }

  /** How messages name the file. */
  get file(): string {
    return this.#options.source.file;
  }

  /** When the configuration in force was taken on, in milliseconds since the epoch. */
  get loadedAt(): number {
    return this.#loadedAt;
  }

  /** What a reload would find now, without changing anything. */
  check(): ConfigCheck {
    const { source, live, keepFixed } = this.#options;
    try {
      const { settings, waiting } = keepFixed(source.load(new ReadFiles()), live.current);
      return { problems: [], differs: !isDeepStrictEqual(settings, live.current), waiting };
    } catch (error) {
      return { problems: problemsOf(error), differs: true, waiting: [] };
    }
  }

  reload(): ReloadReport {
    const { source, metrics, log } = this.#options;
    const files = new ReadFiles();
    try {
      const report = this.#take(source.load(files));
      this.#files = files;
      metrics.configReloads.inc({ result: report.result });
      metrics.configReloadOk.set(1);
      return report;
    } catch (error) {
      metrics.configReloads.inc({ result: 'rejected' });
      metrics.configReloadOk.set(0);
      log.error('the configuration is refused; the one before it stays', {
        event: 'config_rejected',
        file: source.file,
        ...(error instanceof ConfigError ? { detail: error.message } : { error }),
      });
      return { result: 'rejected', problems: problemsOf(error), waiting: [] };
    } finally {
      // What the present settings need may come right as well as what the refused ones named.
      this.#watch.follow(new Map([...this.#files.marks, ...files.marks]));
    }
  }

  close(): void {
    this.#watch.close();
  }

  #take(loaded: Settings): ReloadReport {
    const { live, log, source, keepFixed } = this.#options;
    const { settings, waiting } = keepFixed(loaded, live.current);
    if (waiting.length > 0) {
      log.warn('some of the new configuration needs a restart', {
        event: 'config_needs_restart',
        detail: waiting.join(', '),
      });
    }
    const changed = !isDeepStrictEqual(settings, live.current);
    if (changed) {
      live.change(settings);
      this.#loadedAt = Date.now();
    }
    log.info(changed ? 'the configuration is another one now' : 'the configuration is still the same', {
      event: changed ? 'config_applied' : 'config_unchanged',
      file: source.file,
      version: this.#show(),
    });
    return { result: changed ? 'applied' : 'unchanged', problems: [], waiting };
  }

  /** Says in the metrics which configuration is in force. */
  #show(): string {
    const { live, key, metrics } = this.#options;
    const digest = digestOf(shared(live.current), key);
    metrics.configInfo.reset();
    metrics.configInfo.set({ digest }, 1);
    return digest;
  }
}

/** In words for whoever wrote the file; what is no mistake of theirs is in the log alone. */
function problemsOf(error: unknown): readonly string[] {
  return error instanceof ConfigError
    ? error.message.split('\n')
    : ['The configuration cannot be taken on: see the log.'];
}

/** What the replicas of one mesh have in common. */
function shared(settings: Settings) {
  const {
    replica: _replica,
    stateFolder: _state,
    listen: _listen,
    meshTls: _certificates,
    log: _log,
    ...rest
  } = settings;
  return rest;
}

const DIGEST_CHARS = 12;

function digestOf(settings: unknown, key: Uint8Array): string {
  const text = JSON.stringify(settings, (_, value: unknown) => {
    if (value instanceof Set) return [...value];
    return value instanceof Map ? [...value] : value;
  });
  return createHmac('sha256', key).update(text).digest('hex').slice(0, DIGEST_CHARS);
}
