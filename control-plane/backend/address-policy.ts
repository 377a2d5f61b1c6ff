import { type LookupAddress, type LookupAllOptions, type LookupOptions, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';

/**
 * Which addresses a backend that an administrator configured may have: private
 * and loopback ones yes, link-local and cloud metadata ones never. The address
 * that is checked is the one that is connected to, so that a name cannot resolve
 * to something else between the check and the connection.
 */

const FORBIDDEN = new BlockList();
// Link-local, where AWS, GCP, Azure, Oracle and others also keep their metadata service.
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4');
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
// Metadata services elsewhere: AWS, GCP and Alibaba.
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6');
FORBIDDEN.addAddress('fd20:ce::254', 'ipv6');
FORBIDDEN.addAddress('100.100.100.200', 'ipv4');
// The same link-local network behind NAT64 (RFC 6052) and 6to4 (RFC 3056).
FORBIDDEN.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
FORBIDDEN.addSubnet('2002:a9fe::', 32, 'ipv6');

/** Whether a literal address may never be connected to; IPv4 in IPv6 notation counts as IPv4. */
export function isForbiddenAddress(address: string): boolean {
  const bare = address.split('%', 1)[0] ?? '';
  const family = isIP(bare);
  return family === 0 || FORBIDDEN.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

export interface ConnectorOptions {
  readonly connectTimeoutMs: number;
  /** PEM: the authorities that may vouch for the backend, instead of those that Node trusts. */
  readonly ca?: string | undefined;
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
  const connect = buildConnector({
    timeout: options.connectTimeoutMs,
    lookup: guarded(options.lookup ?? lookup),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  return (target, callback) => {
    // An address needs no lookup, so it would never meet the one below.
    if (isIP(target.hostname) !== 0 && isForbiddenAddress(target.hostname)) {
      queueMicrotask(() => callback(notAllowed(), null));
      return;
    }
    connect(target, callback);
  };
}

/** Leaves of a name's addresses those that may be connected to; Node connects to one of what is left and asks nobody again. */
function guarded(find: LookupAll): LookupFunction {
  return (hostname, options, callback) => {
    find(hostname, allAddresses(options), (error, found) => {
      if (error !== null) return callback(error, '', 0);
      const allowed = found.filter(({ address }) => !isForbiddenAddress(address));
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
  const error: NodeJS.ErrnoException = new Error('The address is link-local or a metadata service.');
  error.code = 'EADDRNOTALLOWED';
  return error;
}
