import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../../shared/config/parse.ts';
import { FileWatch, ReadFiles } from '../../shared/config/watched-files.ts';
import type { Program } from '../../shared/lifecycle.ts';
import type { RootLogger } from '../../shared/log.ts';
import type { Settings } from '../config.ts';

export interface ReloadOptions {
  readonly settings: Settings;
  /** What the settings were read from. */
  readonly files: ReadFiles;
  /** Throws `ConfigError`. */
  readonly load: (files: ReadFiles) => Settings;
  readonly log: RootLogger;
  readonly program: Pick<Program, 'defer' | 'onReload'>;
}

/**
 * Reads the configuration again when its file has changed, or on SIGHUP. A running
 * sidecar takes on the level of its log; what else is another one is named, and
 * counts after a restart. A file that is wrong changes nothing.
 */
export function followConfiguration({ settings, files, load, log, program }: ReloadOptions): void {
  const watch = new FileWatch({ changed: reload });
  watch.follow(files.marks);
  program.onReload(reload);
  program.defer('configuration', () => watch.close());

  function reload(): void {
    const read = new ReadFiles();
    try {
      const next = load(read);
      log.setLevel(next.log.level);
      const waiting = namesOf(settings, next);
      if (waiting.length > 0) {
        log.warn('some of the new configuration needs a restart', {
          event: 'config_needs_restart',
          detail: waiting.join(', '),
        });
      }
      log.info('the configuration was read again', { event: 'config_applied' });
    } catch (error) {
      log.error('the configuration is refused; the one before it stays', {
        event: 'config_rejected',
        ...(error instanceof ConfigError ? { detail: error.message } : { error }),
      });
    }
    watch.follow(read.marks);
  }
}

/** The keys that a running sidecar does not take on. */
function namesOf(settings: Settings, next: Settings): string[] {
  const fixed = (each: Settings) => Object.entries({ ...each, log: each.log.format });
  const before = new Map<string, unknown>(fixed(settings));
  return fixed(next).flatMap(([name, value]) =>
    isDeepStrictEqual(value, before.get(name)) ? [] : [name === 'log' ? 'log.format' : name],
  );
}
