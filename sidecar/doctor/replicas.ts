import type { Finding } from '../../shared/findings.ts';
import { silentLogger } from '../../shared/log.ts';
import { VERSION } from '../../shared/version.ts';
import type { Settings } from '../config.ts';
import { bareTokenFromFile } from '../credentials/held-token.ts';
import type { ChannelSecurity } from '../mesh/channel-security.ts';
import { greet } from '../mesh/probe.ts';

export interface ReplicaOptions {
  readonly settings: Settings;
  readonly security: ChannelSecurity;
}

/** Whether the replica at this address takes this sidecar, under its certificate and for its virtual server. */
export async function checkReplica(
  address: string,
  { settings, security }: ReplicaOptions,
): Promise<Finding[]> {
  const { node, virtualServer, tls } = settings;
  const file = tls?.workloadToken;
  const workloadToken = file === undefined ? undefined : bareTokenFromFile({ file, log: silentLogger });
  const self = { node, virtualServer, build: VERSION, workloadToken };
  const greeting = await greet({ address, self, security });
  const finding = { check: 'control-plane', of: address } as const;
  if (greeting.kind === 'welcome') {
    const { replica, build } = greeting.welcome;
    return [
      { ...finding, status: 'ok', detail: `replica ${replica} takes this sidecar` },
      ...versionOf(replica, build),
    ];
  }
  const remedy = REMEDIES[greeting.status] ?? UNREACHABLE;
  const detail = `no mesh stream (${greeting.status}): ${greeting.details}`;
  return [{ ...finding, status: 'failed', detail, remedy }];
}

const UNREACHABLE =
  'start the replica, correct controlPlane, and see that both sides have TLS or neither, with names and authorities that fit';

const REMEDIES: Readonly<Record<string, string>> = {
  UNAUTHENTICATED:
    'give the sidecar a certificate that the authorities of listen.grpc.tls.ca at the replica vouch for',
  PERMISSION_DENIED: 'let listen.grpc.tls.clients at the replica name this sidecar, and its virtual server',
};

function versionOf(replica: string, build: string): Finding[] {
  if (build === VERSION) return [];
  return [
    {
      check: 'version',
      of: `replica ${replica}`,
      status: 'warning',
      detail: `it runs ${build}, and this is ${VERSION}`,
      remedy: 'neighbouring versions run together for as long as a rollout takes: finish it',
    },
  ];
}
