import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/**
 * Why a request for data is none of the dashboard's own page; undefined when it is.
 * `hosts` are the names, beyond addresses and localhost, under which the page is opened.
 *
 * A page of another site that has its own name resolve to this machine (DNS rebinding)
 * still sends its name as Host: addresses and localhost cannot be had that way.
 */
export function foreign(headers: IncomingHttpHeaders, hosts: readonly string[]): string | undefined {
  const { host = '', origin } = headers;
  const name = nameOf(host);
  if (name === undefined || !(isIP(name) !== 0 || name === 'localhost' || hosts.includes(name)))
    return 'Open the dashboard under an address, under localhost, or under a name that admin.dashboardHosts has.';
  if (origin !== undefined && hostOf(origin) !== host.toLowerCase())
    return 'Pages of other sites are told nothing.';
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    return 'Pages of other sites are told nothing.';
  return undefined;
}

function nameOf(host: string): string | undefined {
  const url = `http://${host}`;
  if (host === '' || !URL.canParse(url)) return undefined;
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
