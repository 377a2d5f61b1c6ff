import { readFileSync } from 'node:fs';
import { certificateFault, certificateFindings } from '../../shared/config/certificate-findings.ts';
import type { CertificateFault } from '../../shared/config/certificates.ts';
import { ConfigError, type ConfigFault } from '../../shared/config/parse.ts';
import type { Claim, Finding, SidecarReport } from '../../shared/findings.ts';
import type { Logger } from '../../shared/log.ts';
import type { Settings } from '../config.ts';
import { resolveAddresses } from '../mesh/addresses.ts';
import { PLAIN_TEXT, TlsFromFiles } from '../mesh/channel-security.ts';
import { checkHealth } from './health.ts';
import { checkReplica } from './replicas.ts';
import { checkToken } from './token.ts';

export interface LookOptions {
  /** How messages name the configuration. */
  readonly of: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Everything that a sidecar with this configuration would rest on. Never rejects for what it finds. */
export async function lookAround(load: () => Settings, options: LookOptions): Promise<SidecarReport> {
  const { of, log, signal } = options;
  let settings: Settings;
  try {
    settings = load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { findings: error.faults.map((fault) => configurationFault(fault, of)), claims: [] };
  }
  const { tls, listen, virtualServer } = settings;
  const addresses = await resolveAddresses(settings.controlPlane).catch(() => undefined);
  const security = tls === undefined ? undefined : new TlsFromFiles(tls, log);
  try {
    const found = await Promise.all([
      Promise.resolve(certificatesOf(settings)),
      checkToken(settings.token, { log, signal }),
      checkHealth(listen.ops),
      ...(addresses ?? []).map((address) =>
        checkReplica(address, { settings, security: security ?? PLAIN_TEXT }),
      ),
    ]);
    const valid: Finding = {
      check: 'configuration',
      of,
      status: 'ok',
      detail: `valid: virtual server ${virtualServer}`,
    };
    const unknown = addresses === undefined ? [unresolved(settings)] : [];
    const findings = [valid, ...unknown, ...found.flat()];
    return { findings, claims: claimsOf(settings), ...knownBy(settings) };
  } finally {
    security?.close();
  }
}

/** A fault is said by the check that it belongs to. */
function configurationFault({ path, line }: ConfigFault, file: string): Finding {
  const part = PARTS.find((each) => each === path.at(-1));
  if (path.includes('tls') && part !== undefined) return certificateFault({ of: file, part, message: line });
  const remedy = 'correct the file; docs/configuration.md says what each key of a sidecar takes';
  return { check: 'configuration', of: file, status: 'failed', detail: line, remedy };
}

const PARTS: readonly CertificateFault['part'][] = ['cert', 'key', 'ca'];

function certificatesOf({ tls }: Settings): Finding[] {
  if (tls === undefined) return [];
  const { cert, key, ca } = tls.files;
  // Without a certificate a token proves who it is.
  if (cert === undefined || key === undefined) return [];
  const read = (file: string) => readFileSync(file, 'utf8');
  const certificates = { cert: read(cert), key: read(key), ca: read(ca) };
  return certificateFindings(certificates, { of: 'controlPlane.tls', now: Date.now() });
}

function knownBy({ tls }: Settings): Pick<SidecarReport, 'tls'> {
  if (tls === undefined) return {};
  const { files, serverId } = tls;
  return { tls: { ca: files.ca, ...(serverId === undefined ? {} : { serverId }) } };
}

function claimsOf({ listen: { ops, mcp } }: Settings): Claim[] {
  const health = { what: 'health and metrics of the sidecar', ...ops };
  return mcp.kind === 'unix' ? [health] : [health, { what: 'MCP', host: mcp.host, port: mcp.port }];
}

function unresolved({ controlPlane }: Settings): Finding {
  const name = 'dns' in controlPlane ? controlPlane.dns : '';
  const remedy = 'correct controlPlane.dns, or let the name have the addresses of the replicas';
  return {
    check: 'control-plane',
    of: name,
    status: 'failed',
    detail: 'this name cannot be resolved',
    remedy,
  };
}
