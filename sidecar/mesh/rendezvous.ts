import { createHash } from 'node:crypto';

/**
 * The order in which a sidecar prefers the replicas: rendezvous hashing of its node
 * name, so that every sidecar has an order of its own that survives restarts, and
 * a replica that goes or comes moves only those sidecars that had or get it first.
 */
export function rendezvousOrder(node: string, addresses: readonly string[]): string[] {
  return [...new Set(addresses)]
    .map((address) => ({ address, weight: weight(node, address) }))
    .sort((a, b) => Buffer.compare(b.weight, a.weight))
    .map(({ address }) => address);
}

function weight(node: string, address: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([node, address]))
    .digest();
}
