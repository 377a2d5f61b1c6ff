import * as v from 'valibot';

/**
 * What `outrigger doctor` finds. Each program looks at what only it knows how to
 * read, and says it in these words: the one asks the other over its standard output.
 */

export const CHECKS = [
  'version',
  'configuration',
  'ports',
  'store',
  'keys',
  'clock',
  'issuer',
  'backend',
  'certificates',
  'token',
  'control-plane',
  'sidecar',
] as const;

export type Check = (typeof CHECKS)[number];

const Finding = v.strictObject({
  check: v.picklist(CHECKS),
  /** What was looked at: a file, an address, a name. */
  of: v.string(),
  /** Ok: looked at, and right. Warning: works, and may not for long. Skipped: could not be looked at, for a reason that is no fault. */
  status: v.picklist(['ok', 'warning', 'failed', 'skipped']),
  /** What was found, for people; no secret, and no value of a configuration that could be one. */
  detail: v.string(),
  /** What to do about it. */
  remedy: v.optional(v.string()),
});

export type Finding = Readonly<v.InferOutput<typeof Finding>>;

const Claim = v.strictObject({ what: v.string(), host: v.string(), port: v.number() });

/** An address that a program listens on, or would. */
export type Claim = Readonly<v.InferOutput<typeof Claim>>;

/** What a sidecar's own look at its configuration tells. */
export const SidecarReport = v.strictObject({
  findings: v.array(Finding),
  /** Health and metrics first; a Unix socket is none. */
  claims: v.array(Claim),
  /** How the replicas are known: the file of the authorities that vouch for them, and their SPIFFE id; absent: plain text. */
  tls: v.optional(v.strictObject({ ca: v.string(), serverId: v.optional(v.string()) })),
});

export type SidecarReport = Readonly<v.InferOutput<typeof SidecarReport>>;
