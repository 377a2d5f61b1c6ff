import { isIPv4 } from 'node:net';
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { SERVER_OPTIONS } from '../../shared/rpc/channel-options.ts';
import { MESH_SERVICE } from '../../shared/rpc/mesh-protocol.ts';
import { ADMIN_SERVICE } from './admin-protocol.ts';
import type { ServedService } from './channelz-service.ts';
import { HEALTH_SERVICE, HealthService } from './health-service.ts';
import {
  type DepartedSidecar,
  MeshService,
  type MeshServiceOptions,
  type StreamView,
} from './mesh-service.ts';
import { addReflection } from './reflection.ts';

export interface MeshServerOptions extends MeshServiceOptions {
  /** TLS. Without it only loopback addresses are listened on. */
  readonly credentials?: ServerCredentials;
}

/** The replica's gRPC server: the mesh stream, the admin API, and the standard services for health and reflection. */
export interface MeshServer {
  /** Answers admins from now on, by the admin API and by what else is theirs. To be called before `listen`. */
  administer(service: UntypedServiceImplementation, others: readonly ServedService[]): void;
  /** Asks the sidecars to leave and takes none, until `comeBack`; the replica goes on. */
  leave(): void;
  comeBack(): void;
  readonly away: boolean;
  /** Asks some sidecars to leave, because there is too much to do here. */
  relieve(): void;
  /** Whether it is ready may have changed. */
  refresh(): void;
  /** Whether sidecars are taken now. */
  readonly ready: boolean;
  /** Sidecars that left lately, and may still answer lists. */
  departed(): readonly DepartedSidecar[];
  /** Binds `host:port`; resolves with the port. Rejects an address beyond loopback without TLS. */
  listen(address: string): Promise<number>;
  /** Lets the sidecars move away and the open exchanges finish, then stops. Resolves within about `graceMs`. */
  drain(graceMs: number): Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
  /** The streams that stand, for admins and metrics. */
  streams(): StreamView[];
  /** The configuration is another one: tells every sidecar, and judges the callers anew. */
  renew(): void;
  /** Tells every sidecar that this session is gone for good. */
  endSession(sessionId: string): void;
}

export function createMeshServer(options: MeshServerOptions): MeshServer {
  const mesh = new MeshService(options);
  const health = new HealthService(() => mesh.ready, ['outrigger.mesh.v1.Mesh', 'outrigger.admin.v1.Admin']);
  const server = new Server(SERVER_OPTIONS);
  server.addService(MESH_SERVICE, { connect: mesh.connect.bind(mesh) });
  server.addService(HEALTH_SERVICE, health.implementation);
  addReflection(server);

  const shutDown = async () => {
    mesh.stop();
    health.stop();
    // The last statuses are written in this turn; a session that is destroyed now would swallow them.
    await new Promise<void>((resolve) => {
      const bound = setTimeout(resolve, LAST_WORDS_MS);
      server.tryShutdown(() => {
        clearTimeout(bound);
        resolve();
      });
    });
    server.forceShutdown();
  };

  return {
    administer(service, others) {
      server.addService(ADMIN_SERVICE, service);
      for (const { definition, implementation } of others) server.addService(definition, implementation);
    },
    leave() {
      mesh.leave();
      health.refresh();
    },
    comeBack() {
      mesh.comeBack();
      health.refresh();
    },
    get away() {
      return mesh.away;
    },
    get ready() {
      return mesh.ready;
    },
    relieve: () => mesh.relieve(),
    refresh: () => health.refresh(),
    departed: () => mesh.departed(),
    listen: (address) => listen(server, address, options.credentials),
    streams: () => mesh.streams(),
    renew: () => mesh.renew(),
    endSession: (sessionId) => mesh.endSession(sessionId),
    stop: shutDown,
    async drain(graceMs) {
      const drained = mesh.drain(graceMs);
      health.refresh();
      await drained;
      await shutDown();
    },
  };
}

/** How long peers get to take their last status before their connections are cut, in milliseconds. */
const LAST_WORDS_MS = 200;

function listen(
  server: Server,
  address: string,
  credentials: ServerCredentials | undefined,
): Promise<number> {
  if (credentials === undefined && !isLoopback(address)) {
    const refusal = `${address} is not a loopback address: a gRPC address that others can reach needs TLS`;
    return Promise.reject(new Error(refusal));
  }
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials ?? ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

/** Whether only this machine can reach `host:port`. */
export function isLoopback(address: string): boolean {
  if (address.startsWith('unix:')) return true;
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
