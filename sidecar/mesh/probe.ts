import { status } from '@grpc/grpc-js';
import type { Welcome } from '../../shared/rpc/mesh-protocol.ts';
import { PULSE } from '../../shared/rpc/pulse.ts';
import type { ChannelSecurity } from './channel-security.ts';
import { RefusedBearers } from './credential-table.ts';
import { ReplicaStream, type SidecarSelf } from './replica-stream.ts';

/** What became of the greeting: the replica's Welcome, or why there was none. */
export type Greeting =
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  /** `status` is the name of the gRPC status, such as `PERMISSION_DENIED`. */
  | { readonly kind: 'refused'; readonly status: string; readonly details: string };

export interface GreetOptions {
  readonly address: string;
  readonly self: SidecarSelf;
  readonly security: ChannelSecurity;
}

/** Opens a mesh stream as the sidecar would, carries nothing on it, and ends it. */
export function greet({ address, self, security }: GreetOptions): Promise<Greeting> {
  return new Promise((resolve) => {
    const stream = new ReplicaStream({
      ...{ address, self, security },
      pulse: PULSE,
      maxExchangeId: 1,
      maxCredentials: 1,
      holdBytes: 0,
      refused: new RefusedBearers(),
      lists: undefined,
      owner: {
        ready(_, welcome) {
          resolve({ kind: 'welcome', welcome });
          stream.close();
        },
        over(_, { code, details }) {
          resolve({ kind: 'refused', status: status[code], details });
        },
        renewed() {},
        left() {},
        answered() {},
        again() {},
        faulted() {},
      },
    });
  });
}
