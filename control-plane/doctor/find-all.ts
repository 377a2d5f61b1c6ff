import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding, SidecarReport } from '../../shared/findings.ts';
import { CHECKS } from '../../shared/findings.ts';
import { showAddress } from '../cli/ports.ts';
import type { Settings } from '../settings.ts';
import { checkBackends } from './backends.ts';
import { checkCertificates } from './certificates.ts';
import type { DoctorOptions } from './command-line.ts';
import { checkConfiguration } from './configuration.ts';
import { checkIssuer } from './issuers.ts';
import { checkKeys } from './keys.ts';
import { checkReplica, type ReplicaTarget } from './mesh.ts';
import { checkPorts, type Listener } from './ports.ts';
import { lookAtSidecar, NO_SIDECAR } from './sidecar.ts';
import { checkStore } from './store.ts';
import { type Surroundings, within } from './surroundings.ts';
import { checkNode } from './versions.ts';

/** Everything that can be looked at, all at once; in the order of the checks. Throws `ExitError` for wrong usage alone. */
export async function findAll(options: DoctorOptions, around: Surroundings): Promise<Finding[]> {
  const { settings, findings: read } = checkConfiguration(options, around);
  const sidecar = options.sidecar === undefined ? NO_SIDECAR : await lookAtSidecar(options.sidecar, around);
  const listeners = [
    ...listenersOf(settings),
    ...sidecar.claims.map((claim) => ({ ...claim, program: 'sidecar' as const })),
  ];
  const found = await Promise.all([
    [checkNode(), ...read, ...sidecar.findings],
    within({ check: 'ports', of: 'this machine' }, checkPorts(listeners)),
    ...(settings === undefined ? [] : checksOf(settings, { options, around })),
    ...targetsOf({ options, settings, sidecar }).map((target) =>
      within(
        { check: 'control-plane', of: target.address },
        checkReplica(target, { options, env: around.env }),
      ),
    ),
  ]);
  const all = found.flat();
  return CHECKS.flatMap((check) => all.filter((each) => each.check === check));
}

function checksOf(
  settings: Settings,
  { options, around }: { readonly options: DoctorOptions; readonly around: Surroundings },
): Promise<readonly Finding[]>[] {
  const asking = { ...settings, stateFolder: scratchFolder(around) };
  return [
    within({ check: 'store', of: settings.store.kind }, checkStore(settings.store)),
    within({ check: 'keys', of: 'keys' }, Promise.resolve(checkKeys(settings))),
    within({ check: 'certificates', of: 'listen.grpc.tls' }, Promise.resolve(checkCertificates(settings))),
    ...settings.identity.issuers.map((issuer) =>
      within(
        { check: 'issuer', of: issuer.issuer },
        checkIssuer(issuer, { toleranceMs: settings.identity.clockToleranceMs }),
      ),
    ),
    ...settings.backends.map((backend) =>
      within(
        { check: 'backend', of: backend.name },
        checkBackends({ settings: asking, backend, options, around }),
      ),
    ),
  ];
}

/** What is started here is noted here: the replicas' own folder may be another user's, and is left as it is. */
function scratchFolder({ program }: Surroundings): string {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-doctor-'));
  program.defer('scratch folder', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function listenersOf(settings: Settings | undefined): Listener[] {
  if (settings === undefined) return [];
  const { listen, connect } = settings;
  const program = 'replica';
  return [
    { what: 'health and metrics of the replica', program, ...listen.ops },
    { what: 'mesh stream of the replica', program, ...listen.grpc },
    ...(connect === undefined ? [] : [{ what: 'logins', program, ...connect.listen } as const]),
  ];
}

interface Known {
  readonly options: DoctorOptions;
  readonly settings: Settings | undefined;
  readonly sidecar: SidecarReport;
}

/** Whom to ask as an admin: whoever was named, else a replica that took the sidecar, else the one that this configuration is for, if it runs. */
function targetsOf({ options, settings, sidecar }: Known): ReplicaTarget[] {
  const { address } = options;
  if (address !== undefined) return [{ address, mustAnswer: true }];
  const taken = sidecar.findings.find(({ check, status }) => check === 'control-plane' && status === 'ok');
  if (taken !== undefined) return [{ address: taken.of, mustAnswer: true, tls: sidecar.tls }];
  if (settings === undefined) return [];
  const { host, port } = settings.listen.grpc;
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return [
    {
      address: showAddress({ host: reached, port }),
      mustAnswer: false,
      unknownTls: settings.meshTls !== undefined,
    },
  ];
}
