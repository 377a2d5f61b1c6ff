import { execFile } from 'node:child_process';
import * as v from 'valibot';
import { SidecarReport } from '../../shared/findings.ts';
import type { Surroundings } from './surroundings.ts';

export const NO_SIDECAR: SidecarReport = { findings: [], claims: [] };

/** Longer than all that a sidecar's own look may take. */
const PATIENCE_MS = 20_000;

/** What the sidecar's program finds, which alone knows its configuration. Never rejects. */
export async function lookAtSidecar(
  args: readonly string[],
  { sidecarDoctor, env, cwd, program }: Surroundings,
): Promise<SidecarReport> {
  const signal = program.stopping;
  const said = await new Promise<string>((resolve) => {
    const command = [sidecarDoctor, ...args];
    const options = { env: { ...env }, cwd, timeout: PATIENCE_MS, signal };
    execFile(process.execPath, command, options, (_, stdout) => resolve(stdout));
  });
  try {
    return v.parse(SidecarReport, JSON.parse(said));
  } catch {
    const of = args.at(-1) ?? 'sidecar';
    const detail = 'its configuration could not be looked at';
    const remedy = 'start the sidecar with it: it says at once what is wrong';
    return { ...NO_SIDECAR, findings: [{ check: 'sidecar', of, status: 'failed', detail, remedy }] };
  }
}
