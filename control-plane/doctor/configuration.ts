import { certificateFault } from '../../shared/config/certificate-findings.ts';
import type { CertificateFault } from '../../shared/config/certificates.ts';
import { ConfigError, type ConfigFault } from '../../shared/config/parse.ts';
import type { Finding } from '../../shared/findings.ts';
import { loadSettings } from '../config.ts';
import { checkPolicies } from '../policy-check.ts';
import type { Settings } from '../settings.ts';
import type { DoctorOptions } from './command-line.ts';
import { count, type Surroundings } from './surroundings.ts';

export interface Configuration {
  /** Undefined where there is none, or it is wrong: then what rests on it cannot be looked at. */
  readonly settings: Settings | undefined;
  readonly findings: readonly Finding[];
}

/** Reads the configuration as a replica would at its start. */
export function checkConfiguration(
  { config: file }: DoctorOptions,
  { env, cwd }: Surroundings,
): Configuration {
  if (file === undefined) return { settings: undefined, findings: [] };
  try {
    const settings = loadSettings({ file, env, cwd });
    checkPolicies(settings);
    const { backends, virtualServers, identity } = settings;
    const counts = [
      count(backends.length, 'backend'),
      count(virtualServers.length, 'virtual server'),
      count(identity.issuers.length, 'issuer'),
    ];
    const detail = `valid: ${counts.join(', ')}`;
    return { settings, findings: [{ check: 'configuration', of: file, status: 'ok', detail }] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const findings = error.faults.map((fault) => findingOf(fault, file));
    return { settings: undefined, findings: [...findings, unread(file)] };
  }
}

/** A fault is said by the check that it belongs to. */
function findingOf({ path, line }: ConfigFault, file: string): Finding {
  const [section] = path;
  const part = PARTS.find((each) => each === path.at(-1));
  if (path.includes('tls') && part !== undefined) return certificateFault({ of: file, part, message: line });
  if (section === 'keys')
    return { check: 'keys', of: file, status: 'failed', detail: line, remedy: NEW_KEYS };
  const remedy =
    'correct the file; docs/configuration.md and docker/config.schema.json say what each key takes';
  return { check: 'configuration', of: file, status: 'failed', detail: line, remedy };
}

const PARTS: readonly CertificateFault['part'][] = ['cert', 'key', 'ca'];

export const NEW_KEYS =
  'make a key of 32 random bytes (openssl rand -base64 32), and give every replica of this store the same';

function unread(file: string): Finding {
  return {
    check: 'configuration',
    of: file,
    status: 'skipped',
    detail: 'store, issuers, backends and the rest of it are looked at when it is right',
  };
}
