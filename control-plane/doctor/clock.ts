import type { Finding } from '../../shared/findings.ts';

/** Another clock as it was read over a network. */
export interface ClockReading {
  /** Whose it is. */
  readonly of: string;
  /** It is ahead of ours by so much at least, or behind where negative; in milliseconds. */
  readonly skewMs: number;
}

/** Less is nobody's trouble: leases and lives of sessions are measured by one clock each. */
const NOTABLE_MS = 2_000;

/** `boundMs`: what goes wrong beyond it is said in `beyond`. */
export function clockFinding(
  { of, skewMs }: ClockReading,
  { boundMs, beyond }: { readonly boundMs: number; readonly beyond: string },
): Finding {
  const distance = Math.abs(skewMs);
  if (distance <= Math.min(boundMs, NOTABLE_MS))
    return { check: 'clock', of, status: 'ok', detail: 'the same time as this machine' };
  const seconds = `${Math.round(distance / 100) / 10} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine`;
  const remedy =
    'let every machine follow a time server (timedatectl, chronyc tracking), this one and that one';
  if (distance <= boundMs) return { check: 'clock', of, status: 'warning', detail: seconds, remedy };
  return { check: 'clock', of, status: 'failed', detail: `${seconds}: ${beyond}`, remedy };
}

/** What an answer says of its sender's clock, between the moments of asking and of hearing. `grainMs`: how exact it is. */
export function skewOf(
  now: number,
  { asked, heard, grainMs }: { readonly asked: number; readonly heard: number; readonly grainMs: number },
): number {
  if (now > heard) return now - heard;
  return Math.min(0, now + grainMs - asked);
}
