import { createLogger, type LogFormat, type Logger, type LogLevel } from '../../shared/log.ts';

/** A logger on standard error. A client that closed its end of it loses the lines and nothing else. */
export function logToStderr({
  level,
  format,
}: {
  readonly level: LogLevel;
  readonly format: LogFormat;
}): Logger {
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {});
  return createLogger({
    level,
    format,
    fields: { program: 'connect' },
    destination: { write: (line) => void process.stderr.write(line) },
  });
}
