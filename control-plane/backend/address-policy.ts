import { type LookupAddress, type LookupAllOptions, type LookupOptions, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { isLoopbackHost } from '../../shared/config/hosts.ts';

/**
 * Which addresses a URL may lead to: one that an administrator configured to private
 * and loopback ones too, one that was learned at run time to public ones alone;
 * link-local and cloud metadata ones never. The address that is checked is the one
 * that is connected to, so that a name cannot resolve to something else between the
 * check and the connection.
 */

/** Where a connection may lead: wherever configuration may, to public addresses alone, or to these and this machine. */
export type Reach = 'configured' | 'public' | 'loopback';

const FORBIDDEN = new BlockList();
// Link-local, where AWS, GCP, Azure, Oracle and others also keep their metadata service.
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4');
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
// Metadata services elsewhere: AWS, GCP, Alibaba, and Azure's wire server, whose address is a public one.
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6');
FORBIDDEN.addAddress('fd20:ce::254', 'ipv6');
FORBIDDEN.addAddress('100.100.100.200', 'ipv4');
FORBIDDEN.addAddress('168.63.129.16', 'ipv4');
// The same behind NAT64 (RFC 6052) and 6to4 (RFC 3056).
FORBIDDEN.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
FORBIDDEN.addAddress('64:ff9b::6464:64c8', 'ipv6');
FORBIDDEN.addAddress('64:ff9b::a83f:8110', 'ipv6');
FORBIDDEN.addSubnet('2002:a9fe::', 32, 'ipv6');

/** What is no public address (IANA special-purpose registries), with what its IPv4 part is behind NAT64. */
const INTERNAL = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  INTERNAL.addSubnet(network, prefix, 'ipv4');
  INTERNAL.addSubnet(`64:ff9b::${network}`, 96 + prefix, 'ipv6');
}
for (const [network, prefix] of [
  // With IPv4-compatible ones (RFC 4291 §2.5.5.1).
  ['::', 96],
  ['64:ff9b:1::', 48],
  ['2001::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fec0::', 10],
  ['ff00::', 8],
] as const)
  INTERNAL.addSubnet(network, prefix, 'ipv6');

/** Whether a literal address may not be connected to; IPv4 in IPv6 notation counts as IPv4. */
export function isForbiddenAddress(address: string, reach: Reach = 'configured'): boolean {
  const bare = address.split('%', 1)[0] ?? '';
  const family = isIP(bare);
  if (family === 0) return true;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  if (FORBIDDEN.check(bare, kind)) return true;
  if (reach === 'configured' || (reach === 'loopback' && isLoopbackHost(bare))) return false;
  return INTERNAL.check(bare, kind);
}

export interface ConnectorOptions {
  readonly connectTimeoutMs: number;
  /** PEM: the authorities that may vouch for the backend, instead of those that Node trusts. */
  readonly ca?: string | undefined;
  /** As for what is configured, unless said. */
  readonly reach?: Reach;
  /** Finds all addresses of a name; the system's resolver unless said. */
  readonly lookup?: LookupAll;
}

type LookupAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void,
) => void;

/** Opens connections for undici to addresses that the policy allows, and fails with `EADDRNOTALLOWED` otherwise. */
export function guardedConnector(options: ConnectorOptions): buildConnector.connector {
  const isForbidden = (address: string) => isForbiddenAddress(address, options.reach);
  const connect = buildConnector({
    timeout: options.connectTimeoutMs,
    lookup: guarded(options.lookup ?? lookup, isForbidden),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  return (target, callback) => {
    // An address needs no lookup, so it would never meet the one below.
    if (isIP(target.hostname) !== 0 && isForbidden(target.hostname)) {
      queueMicrotask(() => callback(notAllowed(), null));
      return;
    }
    connect(target, callback);
  };
}

/** Leaves of a name's addresses those that may be connected to; Node connects to one of what is left and asks nobody again. */
function guarded(find: LookupAll, isForbidden: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    find(hostname, allAddresses(options), (error, found) => {
      if (error !== null) return callback(error, '', 0);
      const allowed = found.filter(({ address }) => !isForbidden(address));
      const [first] = allowed;
      if (first === undefined) return callback(notAllowed(), '', 0);
      if (options.all === true) return callback(null, allowed);
      callback(null, first.address, first.family);
    });
  };
}

function allAddresses(options: LookupOptions): LookupAllOptions {
  return { ...options, all: true };
}

function notAllowed(): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(
    'The address is link-local or a metadata service, or no public one where it has to be.',
  );
  error.code = 'EADDRNOTALLOWED';
  return error;
}
