import { lookup } from 'node:dns/promises';

/**
 * Where the replicas are: a static list of `host:port`, or one DNS name whose
 * every address is a replica (a headless service), looked up again and again.
 */
export type ReplicaAddresses = readonly string[] | { readonly dns: string; readonly port: number };

export const LOOKUP_MS = 5_000;

export function isStatic(addresses: ReplicaAddresses): addresses is readonly string[] {
  return Array.isArray(addresses);
}

/** The addresses now. Rejects when the name cannot be resolved. */
export async function resolveAddresses(addresses: ReplicaAddresses): Promise<readonly string[]> {
  if (isStatic(addresses)) return addresses;
  const found = await lookup(addresses.dns, { all: true });
  return found.map(({ address, family }) => `${family === 6 ? `[${address}]` : address}:${addresses.port}`);
}
