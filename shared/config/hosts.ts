import { BlockList, isIP } from 'node:net';

/** Which hosts are this machine, and which no configuration may name. Names are not resolved here. */

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const forbidden = new BlockList();
forbidden.addSubnet('169.254.0.0', 16, 'ipv4');
forbidden.addSubnet('fe80::', 10, 'ipv6');
// Metadata services of clouds that are not link-local: EC2 on IPv6, Alibaba, Azure's wire server.
forbidden.addAddress('fd00:ec2::254', 'ipv6');
forbidden.addAddress('100.100.100.200', 'ipv4');
forbidden.addAddress('168.63.129.16', 'ipv4');

const METADATA_NAMES: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
]);

/** 127.0.0.0/8, ::1 or localhost; as an address, a name, or the `hostname` of a URL. */
export function isLoopbackHost(host: string): boolean {
  const bare = unbracket(host);
  return /^(?:[^.]+\.)*localhost\.?$/i.test(bare) || matches(loopback, bare);
}

export function isLoopbackUrl(url: string): boolean {
  return URL.canParse(url) && isLoopbackHost(new URL(url).hostname);
}

/** Link-local addresses and metadata services of clouds; never a backend. */
export function isForbiddenHost(host: string): boolean {
  const bare = unbracket(host).toLowerCase().replace(/\.$/, '');
  return METADATA_NAMES.has(bare) || matches(forbidden, bare);
}

function matches(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function unbracket(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}
