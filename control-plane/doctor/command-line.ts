import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Environment } from '../../shared/config/variables.ts';
import { EXIT_USAGE, ExitError } from '../../shared/lifecycle.ts';
import { DEFAULT_ADDRESS, type TargetOptions } from '../cli/admin/target.ts';

export interface DoctorOptions extends TargetOptions {
  /** The configuration of a control plane; undefined: none is looked at. */
  readonly config: string | undefined;
  /** What a sidecar is started with that is looked at: its command line; undefined: none is. */
  readonly sidecar: readonly string[] | undefined;
  /** Whether somebody named a replica, so that it must be there. */
  readonly mustAnswer: boolean;
  /** Where a caller's token is, under which backends are asked; `-` is standard input. */
  readonly callerTokenFile: string | undefined;
  readonly output: Output;
}

export const OUTPUTS = ['table', 'json', 'yaml'] as const;
export type Output = (typeof OUTPUTS)[number];

/** What is looked at where the command line names nothing. */
const CONFIG = 'outrigger.yaml';
const SIDECAR_CONFIG = 'sidecar.yaml';
const SIDECAR_VARIABLE = 'OUTRIGGER_SIDECAR_CONFIG';

/** Throws `ExitError`. */
export function readCommandLine(
  argv: readonly string[],
  { env, cwd }: { readonly env: Environment; readonly cwd: string },
): DoctorOptions {
  const values = parse(argv);
  const output = OUTPUTS.find((each) => each === (values.output ?? 'table'));
  if (output === undefined) throw usage(`--output: allowed choices are ${OUTPUTS.join(', ')}`);
  const { address, ca, cert, key, 'token-file': tokenFile, 'server-id': serverId } = values;
  const named = [values.config, values['sidecar-config'], address].some((each) => each !== undefined);
  const found = (file: string) => (!named && existsSync(resolve(cwd, file)) ? file : undefined);
  const config = values.config ?? found(CONFIG);
  const sidecarFile = values['sidecar-config'] ?? found(SIDECAR_CONFIG);
  const inVariable = !named && env[SIDECAR_VARIABLE] !== undefined;
  const sidecar = sidecarFile === undefined ? (inVariable ? [] : undefined) : ['--config', sidecarFile];
  const nothing = config === undefined && sidecar === undefined;
  const wanted = address ?? env['OUTRIGGER_ADMIN_ADDRESS'] ?? (nothing ? DEFAULT_ADDRESS : undefined);
  return {
    config,
    sidecar,
    mustAnswer: wanted !== undefined,
    callerTokenFile: values['caller-token-file'],
    output,
    ...(wanted === undefined ? {} : { address: wanted }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverId === undefined ? {} : { serverId }),
  };
}

function parse(argv: readonly string[]) {
  const option = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: option,
        'sidecar-config': option,
        address: option,
        'token-file': option,
        'caller-token-file': option,
        ca: option,
        cert: option,
        key: option,
        'server-id': option,
        output: { type: 'string', short: 'o' },
      },
    });
    return values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function usage(problem: string): ExitError {
  return new ExitError(`${problem}\n(outrigger doctor --help shows what there is)`, EXIT_USAGE);
}
