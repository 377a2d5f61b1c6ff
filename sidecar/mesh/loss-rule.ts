/**
 * What becomes of an exchange whose stream is lost: it is sent again, or its
 * outcome is unknown; never both. Everything runs at most once, except what
 * cannot do harm by running twice.
 */

export interface LostExchange {
  readonly kind: 'message' | 'listen' | 'terminate';
  /** What the message is; undefined for a batch, and for listen and terminate. */
  readonly message: 'request' | 'notification' | 'response' | undefined;
  readonly method: string | undefined;
  /** The tool of a tools/call, by the name the client uses. */
  readonly tool: string | undefined;
  /** Tools that configuration marks `replay: safe`. What a backend claims of itself is not enough. */
  readonly replaySafeTools: ReadonlySet<string>;
  /** Whether the whole message was handed to the lost stream. An unfinished one cannot have run. */
  readonly written: boolean;
  /** Whether a GoAway said that the replica did not take it. */
  readonly refused: boolean;
}

export type LossVerdict = 'resend' | 'outcome_unknown';

/** Requests that read and change nothing. */
const READS: ReadonlySet<string> = new Set([
  'ping',
  'tools/list',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'completion/complete',
  'tasks/list',
  'tasks/get',
  // It waits for a task that runs in any case; asking again waits on.
  'tasks/result',
]);

export function lossRule(lost: LostExchange): LossVerdict {
  if (!lost.written || lost.refused) return 'resend';
  // A stream of events is opened again after the last one; a session that ends twice has ended.
  if (lost.kind !== 'message') return 'resend';
  if (lost.message === 'notification') return 'resend';
  if (lost.message !== 'request' || lost.method === undefined) return 'outcome_unknown';
  if (READS.has(lost.method)) return 'resend';
  if (lost.method === 'tools/call' && lost.tool !== undefined && lost.replaySafeTools.has(lost.tool))
    return 'resend';
  return 'outcome_unknown';
}
