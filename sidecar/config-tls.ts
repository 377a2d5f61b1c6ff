import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Authorities, certificateFaults } from '../shared/config/certificates.ts';
import type { Problem } from '../shared/config/variables.ts';
import type { ConfigFile } from './config-schema.ts';
import type { CertificateFiles, TlsFiles } from './mesh/channel-security.ts';

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
  const { cert, key } = tls;
  const own =
    cert === undefined || key === undefined ? {} : { cert: resolve(folder, cert), key: resolve(folder, key) };
  const files: CertificateFiles = { ...own, ca: resolve(folder, tls.ca) };
  const read = (part: 'cert' | 'key' | 'ca', file: string): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      problem([...TLS, part], `cannot read ${file}`);
      return '';
    }
  };
  const shown =
    files.cert === undefined || files.key === undefined
      ? {}
      : { cert: read('cert', files.cert), key: read('key', files.key) };
  const certificates: Authorities = { ...shown, ca: read('ca', files.ca) };
  for (const { part, message } of certificateFaults(certificates)) {
    if (certificates[part] !== '') problem([...TLS, part], message);
  }
  const name = dns?.slice(0, dns.lastIndexOf(':'));
  const { workloadToken } = tls;
  const token = workloadToken === undefined ? {} : { workloadToken: resolve(folder, workloadToken.file) };
  return { files, ...token, serverName: tls.serverName ?? name, serverId: tls.serverId };
}

const TLS = ['controlPlane', 'tls'] as const;
