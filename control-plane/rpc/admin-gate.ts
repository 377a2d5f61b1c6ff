import { type Metadata, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { matchesSpiffe } from '../../shared/spiffe-id.ts';
import type { AdminSettings } from '../config-admin.ts';
import type { CallerIdentity, IdentityBinding, IdentityVerifier } from '../identity/caller.ts';
import { ScopeHierarchy } from '../identity/scopes.ts';
import { assertedPrincipal } from './admin-assertion.ts';
import { AdminFault } from './admin-fault.ts';
import { isLoopback } from './mesh-server.ts';
import { isReplica } from './peer-channel.ts';
import { type AuthenticatedCall, workloadOf } from './workload.ts';

/** Who asks, as far as the admin API must know. */
export interface Admin {
  /** For the audit; undefined for anybody on this machine. */
  readonly principal: IdentityBinding | undefined;
  /** To be shown to peers on this machine; undefined for who showed none. */
  readonly authorization: string | undefined;
  /** The SPIFFE id of the replica that asks in the admin's name: it is answered about this replica alone. */
  readonly peer?: string;
}

/** A call of the admin API, and what its connection proves. */
export interface AdminCall extends AuthenticatedCall {
  readonly metadata: Metadata;
  getPeer(): string;
}

/** Somebody who is known, and is no admin. */
export class NotAdmin extends AdminFault {
  readonly principal: IdentityBinding;

  constructor(principal: IdentityBinding, { reason, message }: { reason: string; message: string }) {
    super(status.PERMISSION_DENIED, reason, message);
    this.principal = principal;
  }
}

export interface AdminGateOptions {
  /** As configuration has it now. */
  readonly settings: () => AdminSettings | undefined;
  /** By the rules for admins' tokens, as they are now. */
  readonly verifier: () => IdentityVerifier | undefined;
  /** By the rules for callers' tokens. */
  readonly callers: IdentityVerifier;
  /** The SPIFFE ids of replicas, as patterns. */
  readonly replicas: () => readonly string[];
}

/** Lets admins in. A caller's token is another kind of no than a token that is no good. */
export class AdminGate {
  readonly #options: AdminGateOptions;

  constructor(options: AdminGateOptions) {
    this.#options = options;
  }

  /**
   * By the certificate of the connection, where no token is shown: one that is shown is
   * judged, and no certificate stands in for it. Rejects as `admit` does.
   */
  async admitCall(call: AdminCall): Promise<Admin> {
    const settings = this.#options.settings();
    if (settings === undefined) throw off();
    const { metadata } = call;
    const id = workloadOf(call);
    if (id === undefined || metadata.get('authorization').length > 0 || settings.loopback)
      return this.admit(metadata, call.getPeer());
    if (isReplica(this.#options.replicas(), id))
      return { principal: assertedPrincipal(metadata), authorization: undefined, peer: id };
    const principal = principalOf(id);
    if (settings.certificates.some((pattern) => matchesSpiffe(pattern, id)))
      return { principal, authorization: undefined };
    throw new NotAdmin(principal, {
      reason: 'CERTIFICATE_NOT_ADMIN',
      message: 'This certificate is not that of an admin.',
    });
  }

  /** `peer` is the address that the call came from. Rejects with UNIMPLEMENTED where the API is off, UNAUTHENTICATED, PERMISSION_DENIED, or UNAVAILABLE where no verdict can be had. */
  async admit(metadata: Metadata, peer: string): Promise<Admin> {
    const settings = this.#options.settings();
    if (settings === undefined) throw off();
    if (settings.loopback) {
      if (isLoopback(peer)) return ANYBODY_HERE;
      throw new AdminFault(
        status.PERMISSION_DENIED,
        'NOT_LOOPBACK',
        'Only this machine may ask without a token.',
      );
    }
    if (settings.role === undefined) {
      const message = 'The admins of this mesh are known by their certificates.';
      throw new AdminFault(status.UNAUTHENTICATED, 'CERTIFICATE_MISSING', message);
    }
    const shown = metadata.get('authorization');
    const [authorization] = shown;
    if (shown.length !== 1 || typeof authorization !== 'string')
      throw new AdminFault(status.UNAUTHENTICATED, 'TOKEN_MISSING', 'The admin API needs a token.');
    const identity = await this.#verify(authorization);
    if (!isAdmin(identity, settings)) throw noAdmin(identity.binding);
    return { principal: identity.binding, authorization };
  }

  async #verify(authorization: string): Promise<CallerIdentity> {
    const verifier = this.#options.verifier();
    if (verifier === undefined) throw off();
    try {
      return await verifier.verify(authorization);
    } catch (thrown) {
      const known = thrown instanceof MeshError && thrown.reason === 'unauthenticated';
      const caller = known ? await this.#caller(authorization) : undefined;
      if (caller !== undefined) throw noAdmin(caller.binding);
      throw thrown;
    }
  }

  async #caller(authorization: string): Promise<CallerIdentity | undefined> {
    const [verdict] = await Promise.allSettled([this.#options.callers.verify(authorization)]);
    return verdict.status === 'fulfilled' ? verdict.value : undefined;
  }
}

/** Everybody on this machine, where configuration says so. */
const ANYBODY_HERE: Admin = { principal: undefined, authorization: undefined };

/** Whom a certificate names: its authority vouches for the whole trust domain. */
function principalOf(id: string): IdentityBinding {
  const [domain = ''] = /^spiffe:\/\/[^/]+/.exec(id) ?? [];
  return { issuer: domain, subject: id, tenant: '' };
}

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

function noAdmin(principal: IdentityBinding): NotAdmin {
  return new NotAdmin(principal, { reason: 'ADMIN_ROLE_MISSING', message: 'This token has no admin role.' });
}
