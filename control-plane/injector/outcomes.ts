import { INJECT } from './settings.ts';
import type { Workload } from './workloads.ts';

/** What was done, or why nothing was: a closed set, for scripts, logs and metrics. */
export type SuccessReason = 'injected' | 'annotated' | 'uninjected';

export type DeclineReason =
  | 'already_injected'
  | 'already_annotated'
  | 'not_injected'
  | 'opted_out'
  | 'not_opted_in'
  | 'host_network'
  | 'static_pod'
  | 'windows'
  | 'name_conflict'
  | 'port_conflict'
  | 'invalid_annotation'
  | 'invalid_template'
  | 'no_pod_template'
  | 'unsupported_kind';

export interface Outcome extends Workload {
  readonly reason: SuccessReason | DeclineReason;
  /** Which name, port or annotation, where that helps. */
  readonly detail?: string;
}

/** For people. */
export const SENTENCES: Readonly<Record<Outcome['reason'], string>> = {
  injected: 'has a sidecar now',
  annotated: 'is marked for the webhook now',
  uninjected: 'is as it was before',
  already_injected: 'has a sidecar already',
  already_annotated: 'is marked for the webhook already',
  not_injected: 'was not changed by outrigger',
  opted_out: `says ${INJECT}: disabled`,
  not_opted_in: `does not say ${INJECT}: enabled`,
  host_network: 'is on the network of its host: its loopback is not its own',
  static_pod: 'is a static pod, which only its node changes',
  windows: 'runs on Windows, for which there is no sidecar',
  name_conflict: "has one of the sidecar's names for something else",
  port_conflict: "has one of the sidecar's ports for something else",
  invalid_annotation: 'has an annotation or label that cannot be read',
  invalid_template: 'is not what Kubernetes would take',
  no_pod_template: 'has no pods',
  unsupported_kind: 'has no pods that are known here',
};

/** That somebody may want to look at: the sidecar was wished for, or could have been, and is not there. */
export const SURPRISING: ReadonlySet<Outcome['reason']> = new Set<Outcome['reason']>([
  'host_network',
  'windows',
  'name_conflict',
  'port_conflict',
  'invalid_annotation',
  'invalid_template',
]);

/** `enabled`, `disabled`, or neither. */
export function optInOf(
  texts: Readonly<Record<string, string>>,
): 'enabled' | 'disabled' | 'unclear' | undefined {
  const said = texts[INJECT];
  if (said === undefined) return undefined;
  if (said === 'enabled' || said === 'true') return 'enabled';
  return said === 'disabled' || said === 'false' ? 'disabled' : 'unclear';
}
