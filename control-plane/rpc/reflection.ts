import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { loadProtos } from '../../shared/rpc/proto-files.ts';
import { CHANNELZ_PROTO } from './channelz-service.ts';

const FILES = [
  'outrigger/admin/v1/admin.proto',
  'outrigger/mesh/v1/mesh.proto',
  'grpc/health/v1/health.proto',
  CHANNELZ_PROTO,
];

/** The standard reflection service, v1 and v1alpha: what grpcurl and its like learn the protocols from. */
export function addReflection(server: Pick<Server, 'addService'>): void {
  new ReflectionService(loadProtos(FILES)).addToServer(server);
}
