import type { Caller } from '../identity/caller.ts';

/** The HTTP headers that authenticate one request to a backend. Made for one live caller; never kept by a connector. */
export type CredentialHeaders = Readonly<Record<string, string>>;

export interface CredentialRequest {
  /** The complete identity of the live call, always. */
  readonly caller: Caller;
  readonly backend: string;
  readonly signal: AbortSignal;
}

/** How the control plane obtains the credential for one backend, for one caller. */
export interface CredentialStrategy {
  readonly name: string;
  /** Rejects with `backend_unauthorized` when this caller cannot have one. Synchronous where no I/O is needed. */
  obtain(request: CredentialRequest): CredentialHeaders | Promise<CredentialHeaders>;
  /** Only where the credential is nobody's own: what may end a backend session when no live caller is there. Absent where every request needs its caller. */
  unattended?(): CredentialHeaders;
}
