import * as v from 'valibot';
import { size } from '../shared/config/quantity.ts';
import { flag, oneOf, section, text } from '../shared/config/section.ts';
import type { ConfigContext } from './config-context.ts';

/** Where decisions are written down. */
export const AuditSection = v.pipe(
  section({
    file: v.optional(text()),
    stdout: v.optional(flag(), false),
    /** The arguments of calls, which may hold anything. */
    arguments: v.optional(flag(), false),
    buffer: v.optional(size({ min: '64KiB', max: '1GiB' }), '8MiB'),
    onLoss: v.optional(oneOf(['count', 'stop']), 'count'),
  }),
  v.check(({ file, stdout }) => (file === undefined) === stdout, 'expected either file, or stdout: true'),
);

export interface AuditSettings {
  readonly target: { readonly file: string } | 'stdout';
  readonly withArguments: boolean;
  readonly bufferBytes: number;
  /** What happens when an event cannot be kept: it is counted, or the replica ends. */
  readonly onLoss: 'count' | 'stop';
}

export function resolveAudit(
  audit: v.InferOutput<typeof AuditSection> | undefined,
  context: ConfigContext,
): AuditSettings | undefined {
  if (audit === undefined) return undefined;
  const { file, buffer, onLoss } = audit;
  return {
    target: file === undefined ? 'stdout' : { file: context.path(file) },
    withArguments: audit.arguments,
    bufferBytes: buffer,
    onLoss,
  };
}
