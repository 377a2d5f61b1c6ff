import type { ConnectionOptions } from './connections.ts';
import type { HealthRecord } from './health.ts';

/** What a backend that is reached over HTTP is made of, whichever transport it speaks. */
export interface HttpBackendOptions {
  readonly name: string;
  readonly url: string;
  /** Sent with every request; a credential of the same name takes their place. */
  readonly headers: Readonly<Record<string, string>>;
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  /** How long a message may stop in its middle, in milliseconds; 60 s unless said. */
  readonly stallMs?: number;
  readonly health: HealthRecord;
  readonly connections?: Partial<ConnectionOptions>;
}

export const STALL_MS = 60_000;
