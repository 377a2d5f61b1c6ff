import { readFileSync } from 'node:fs';
import { certificateFaults } from '../../../shared/config/certificates.ts';
import type { Environment } from '../../../shared/config/variables.ts';
import { EXIT_USAGE, ExitError } from '../../../shared/lifecycle.ts';
import type { AdminTarget, AdminTls } from '../../rpc/admin-client.ts';

/** Which replica is asked, and what it is shown, as the command line says. */
export interface TargetOptions {
  readonly address?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverId?: string;
}

export const DEFAULT_ADDRESS = '127.0.0.1:4290';

/** What the command line leaves open the environment says. Throws `ExitError`. */
export function targetOf(options: TargetOptions, env: Environment): AdminTarget {
  return {
    address: options.address ?? env['OUTRIGGER_ADMIN_ADDRESS'] ?? DEFAULT_ADDRESS,
    token: tokenOf(options, env),
    tls: tlsOf(options),
  };
}

/** From the file that the command line or the environment names, else the environment itself. */
function tokenOf({ tokenFile }: TargetOptions, env: Environment): string | undefined {
  const file = tokenFile ?? env['OUTRIGGER_ADMIN_TOKEN_FILE'];
  const token = file === undefined ? env['OUTRIGGER_ADMIN_TOKEN'] : read(file).trim();
  if (token === undefined || token === '') return undefined;
  if (!/^[\x21-\x7e]+$/.test(token)) throw new ExitError('the token is not one word of ASCII', EXIT_USAGE);
  return token;
}

function tlsOf({ ca, cert, key, serverId }: TargetOptions): AdminTls | undefined {
  if ((cert === undefined) !== (key === undefined) || (cert !== undefined && ca === undefined))
    throw new ExitError('--cert and --key go together, with --ca', EXIT_USAGE);
  if (ca === undefined && serverId !== undefined)
    throw new ExitError('--server-id goes with --ca', EXIT_USAGE);
  if (ca === undefined) return undefined;
  const client = cert === undefined || key === undefined ? {} : { cert: read(cert), key: read(key) };
  const tls = { ca: read(ca), ...client, ...(serverId === undefined ? {} : { serverId }) };
  const [fault] = certificateFaults(tls);
  if (fault !== undefined) throw new ExitError(`--${fault.part}: ${fault.message}`, EXIT_USAGE);
  return tls;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ExitError(`${file}: cannot be read (${code})`, EXIT_USAGE);
  }
}
