import {
  getChannelzHandlers,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadProtos } from '../../shared/rpc/proto-files.ts';
import { AdminFault, toServiceError } from './admin-fault.ts';
import type { AdminGate } from './admin-gate.ts';

const CHANNELZ = 'grpc.channelz.v1.Channelz';
export const CHANNELZ_PROTO = 'grpc/channelz/v1/channelz.proto';

/** A service, and what answers it. */
export interface ServedService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

type Handler = (call: ServerUnaryCall<object, object>, done: sendUnaryData<object>) => void;

/**
 * The standard service that tells of the gRPC server's sockets and calls: addresses of
 * sidecars are in it, so it is for admins. No replica asks it of another.
 */
export function channelzService(gate: Pick<AdminGate, 'admitCall'>): ServedService {
  // The answers come with the proto file's own names.
  const definition = loadProtos([CHANNELZ_PROTO], { keepCase: true })[CHANNELZ];
  if (definition === undefined || 'format' in definition)
    throw new Error(`${CHANNELZ_PROTO} has no ${CHANNELZ}`);
  const implementation = Object.entries(getChannelzHandlers()).map(([name, answer]) => {
    const handler: Handler = (call, done) => {
      gate.admitCall(call).then(
        ({ peer }) => {
          if (peer === undefined) Reflect.apply(answer, undefined, [call, done]);
          else done(toServiceError(notForPeers()));
        },
        (thrown: unknown) => done(toServiceError(thrown)),
      );
    };
    return [name, handler] as const;
  });
  return { definition, implementation: Object.fromEntries(implementation) };
}

function notForPeers(): AdminFault {
  return new AdminFault(status.PERMISSION_DENIED, 'NOT_LOCAL', 'This is for admins alone.');
}
