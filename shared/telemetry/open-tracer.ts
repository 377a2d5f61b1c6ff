import type { Program } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import { redact } from '../redact.ts';
import { VERSION } from '../version.ts';
import type { Tracer } from './tracer.ts';
import type { TracingSettings } from './tracing-config.ts';

/** How long the last spans may take to leave at the end of a program. */
export const FLUSH_MS = 2_000;

/** Writes traces from now until the end of the program; undefined where configuration asks for none, and then nothing of it is loaded. */
export async function openTracer(
  settings: TracingSettings | undefined,
  about: {
    readonly service: string;
    readonly instance: string;
    readonly log: Logger;
    readonly program: Pick<Program, 'defer'>;
  },
): Promise<Tracer | undefined> {
  if (settings === undefined) return undefined;
  const { program, ...rest } = about;
  const { OtlpTracer } = await import('./otlp-tracer.ts');
  const tracer = new OtlpTracer({ settings, version: VERSION, redact, ...rest });
  program.defer('traces', () => tracer.close(FLUSH_MS));
  return tracer;
}
