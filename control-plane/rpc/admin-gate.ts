import { type Metadata, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import type { AdminSettings } from '../config-admin.ts';
import type { CallerIdentity, IdentityVerifier } from '../identity/caller.ts';
import { ScopeHierarchy } from '../identity/scopes.ts';
import { AdminFault } from './admin-fault.ts';
import { isLoopback } from './mesh-server.ts';

/** Who asks, as far as the admin API must know. */
export interface Admin {
  /** For the log. */
  readonly subject: string;
  /** To be shown to peers, in the name of whoever asks. */
  readonly authorization: string | undefined;
}

export interface AdminGateOptions {
  /** As configuration has it now. */
  readonly settings: () => AdminSettings | undefined;
  /** By the rules for admins' tokens, as they are now. */
  readonly verifier: () => IdentityVerifier | undefined;
  /** By the rules for callers' tokens. */
  readonly callers: IdentityVerifier;
}

/** Lets admins in. A caller's token is another kind of no than a token that is no good. */
export class AdminGate {
  readonly #options: AdminGateOptions;

  constructor(options: AdminGateOptions) {
    this.#options = options;
  }

  /** `peer` is the address that the call came from. Rejects with UNIMPLEMENTED where the API is off, UNAUTHENTICATED, PERMISSION_DENIED, or UNAVAILABLE where no verdict can be had. */
  async admit(metadata: Metadata, peer: string): Promise<Admin> {
    const settings = this.#options.settings();
    if (settings === undefined) throw off();
    if (settings.role === undefined) {
      if (isLoopback(peer)) return ANYBODY_HERE;
      throw new AdminFault(
        status.PERMISSION_DENIED,
        'NOT_LOOPBACK',
        'Only this machine may ask without a token.',
      );
    }
    const shown = metadata.get('authorization');
    const [authorization] = shown;
    if (shown.length !== 1 || typeof authorization !== 'string')
      throw new AdminFault(status.UNAUTHENTICATED, 'TOKEN_MISSING', 'The admin API needs a token.');
    const identity = await this.#verify(authorization);
    if (!isAdmin(identity, settings)) throw noAdmin();
    return { subject: identity.binding.subject, authorization };
  }

  async #verify(authorization: string): Promise<CallerIdentity> {
    const verifier = this.#options.verifier();
    if (verifier === undefined) throw off();
    try {
      return await verifier.verify(authorization);
    } catch (thrown) {
      const known = thrown instanceof MeshError && thrown.reason === 'unauthenticated';
      if (known && (await this.#isCaller(authorization))) throw noAdmin();
      throw thrown;
    }
  }

  async #isCaller(authorization: string): Promise<boolean> {
    const [verdict] = await Promise.allSettled([this.#options.callers.verify(authorization)]);
    return verdict.status === 'fulfilled';
  }
}

/** Everybody on this machine, where configuration says so. */
const ANYBODY_HERE: Admin = { subject: '', authorization: undefined };

function isAdmin({ scopes, claims }: CallerIdentity, { role, identity }: AdminSettings): boolean {
  if (role?.kind === 'scope') return new ScopeHierarchy(identity.scopeImplies).cover(scopes, [role.scope]);
  if (role === undefined || !Object.hasOwn(claims, role.name)) return false;
  const claim = claims[role.name];
  return Array.isArray(claim) ? claim.includes(role.value) : claim === role.value;
}

function off(): AdminFault {
  const message = 'The admin API is off: the configuration has no "admin".';
  return new AdminFault(status.UNIMPLEMENTED, 'ADMIN_API_OFF', message);
}

function noAdmin(): AdminFault {
  return new AdminFault(status.PERMISSION_DENIED, 'ADMIN_ROLE_MISSING', 'This token has no admin role.');
}
