import { networkInterfaces } from 'node:os';
import type { Address } from './settings.ts';

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** `host:port` at which others reach what listens there: where that is every address, the first that this machine has beyond itself. */
export function reachableAt({ host, port }: Address): string {
  const at = EVERY_ADDRESS.has(host) ? (firstOf(host === '::' ? 'IPv6' : 'IPv4') ?? host) : host;
  return at.includes(':') ? `[${at}]:${port}` : `${at}:${port}`;
}

/** Of this family, or where there is none of the other; link-local addresses lead nowhere without their link. */
function firstOf(family: 'IPv4' | 'IPv6'): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const usable = all.filter(({ internal, address }) => !internal && !/^(?:fe80:|169\.254\.)/i.test(address));
  return (usable.find((each) => each.family === family) ?? usable[0])?.address;
}
