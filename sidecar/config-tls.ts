import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { certificateFaults } from '../shared/config/certificates.ts';
import type { Problem } from '../shared/config/variables.ts';
import type { ConfigFile } from './config-schema.ts';
import type { TlsFiles } from './mesh/channel-security.ts';

interface Place {
  /** Relative paths start here. */
  readonly folder: string;
  readonly problem: (path: Problem['path'], message: string) => void;
}

/** Where the certificates are, looked at once: what is wrong with them now is a problem of the configuration. */
export function resolveTls(
  { dns, tls }: ConfigFile['controlPlane'],
  { folder, problem }: Place,
): TlsFiles | undefined {
  if (tls === undefined) return undefined;
  const files = {
    cert: resolve(folder, tls.cert),
    key: resolve(folder, tls.key),
    ca: resolve(folder, tls.ca),
  };
  const read = (part: keyof typeof files): string => {
    try {
      return readFileSync(files[part], 'utf8');
    } catch {
      problem([...TLS, part], `cannot read ${files[part]}`);
      return '';
    }
  };
  const certificates = { cert: read('cert'), key: read('key'), ca: read('ca') };
  for (const { part, message } of certificateFaults(certificates)) {
    if (certificates[part] !== '') problem([...TLS, part], message);
  }
  const name = dns?.slice(0, dns.lastIndexOf(':'));
  return { files, serverName: tls.serverName ?? name, serverId: tls.serverId };
}

const TLS = ['controlPlane', 'tls'] as const;
