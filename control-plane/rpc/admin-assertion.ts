import { type Metadata, status } from '@grpc/grpc-js';
import type { IdentityBinding } from '../identity/caller.ts';
import { AdminFault } from './admin-fault.ts';
import type { Admin } from './admin-gate.ts';

/** In whose name a replica asks another: its word, which counts because its certificate proves that it is a replica. */
const ADMIN_METADATA = 'outrigger-admin-bin';

/** Says for whom the call is. Nothing of the admin's token is in it. */
export function assertAdmin(metadata: Metadata, { principal }: Pick<Admin, 'principal'>): void {
  const said = principal === undefined ? [] : [principal.issuer, principal.subject, principal.tenant];
  metadata.set(ADMIN_METADATA, Buffer.from(JSON.stringify(said)));
}

/** For whom a replica asks; undefined for anybody at its own machine. Throws INVALID_ARGUMENT where it does not say. */
export function assertedPrincipal(metadata: Metadata): IdentityBinding | undefined {
  const [said] = metadata.get(ADMIN_METADATA);
  const parts = Buffer.isBuffer(said) ? parse(said.toString('utf8')) : undefined;
  const [issuer, subject, tenant] = parts ?? [];
  if (parts?.length === 0) return undefined;
  if (parts?.length === 3 && issuer !== undefined && subject !== undefined && tenant !== undefined)
    return { issuer, subject, tenant };
  throw new AdminFault(status.INVALID_ARGUMENT, 'ADMIN_NOT_NAMED', 'A replica says for whom it asks.');
}

function parse(text: string): readonly string[] | undefined {
  try {
    const said: unknown = JSON.parse(text);
    return Array.isArray(said) && said.every((each) => typeof each === 'string') ? said : undefined;
  } catch {
    return undefined;
  }
}
