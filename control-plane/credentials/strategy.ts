import type { MeshError } from '../../shared/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { Challenge } from './discover-metadata.ts';

/** The HTTP headers that authenticate a request to a backend. Made for one live caller; never kept by a connector. */
export type CredentialHeaders = Readonly<Record<string, string>>;

/** A request as it will be sent; what a signature may cover. Header names are in lower case. */
export interface SignableRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: CredentialHeaders;
  readonly body: Uint8Array | undefined;
}

/** Signs one request: the headers that authenticate exactly this one. */
export type RequestSigner = (request: SignableRequest) => Promise<CredentialHeaders>;

/** What authenticates requests to a backend: the same headers for each of them, or a signature of each. */
export type Credential = CredentialHeaders | RequestSigner;

export interface CredentialRequest {
  /** The complete identity of the live call, always. */
  readonly caller: Caller;
  readonly backend: string;
  /** Nobody waits any more. What others wait for as well goes on. */
  readonly signal: AbortSignal;
}

/** How the control plane obtains the credential for one backend, for one caller. */
export interface CredentialStrategy {
  readonly name: string;
  /**
   * Rejects with `backend_unauthorized` or `audience_not_allowed` when this caller cannot have one, and with
   * `credential_unavailable` when it cannot be had now. Synchronous where no I/O is needed.
   */
  obtain(request: CredentialRequest): Credential | Promise<Credential>;
  /** When a credential that it gave ends, in milliseconds since the epoch; undefined for one without an end of its own. */
  expiresAt?(credential: Credential): number | undefined;
  /** The backend refused (401) a credential that it gave, which is not given again. True: the next one will be another. */
  refused?(credential: Credential, challenge: Challenge): boolean;
  /** The backend refused (403) a credential that it gave for want of scopes. How the caller gets one that has them; undefined where it cannot. */
  insufficient?(
    credential: Credential,
    need: { readonly scopes: readonly string[]; readonly backend: string },
  ): MeshError | undefined;
  /** Only where the credential is nobody's own: what may end a backend session when no live caller is there. Absent where every request needs its caller. */
  unattended?(): Credential | Promise<Credential>;
}
