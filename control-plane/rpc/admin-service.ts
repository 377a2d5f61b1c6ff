import {
  type Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { AdminFault, toServiceError } from './admin-fault.ts';
import type { Admin, AdminGate } from './admin-gate.ts';
import { REPLICA_METADATA } from './admin-peers.ts';
import type { AdminWatches, Watched } from './admin-watch.ts';

export interface AdminServiceOptions {
  readonly replica: string;
  readonly gate: AdminGate;
  readonly answers: readonly AdminAnswers[];
  readonly watches: AdminWatches;
  readonly log: Logger;
}

/** Methods that change something: each use is in the log. */
const CHANGES: ReadonlySet<string> = new Set([
  'terminateSession',
  'terminatePrincipalSessions',
  'refreshBackend',
  'drainReplica',
  'undrainReplica',
  'reloadConfig',
]);

/** `outrigger.admin.v1.Admin`: lets the caller in, asks, and answers. */
export function adminService(options: AdminServiceOptions): UntypedServiceImplementation {
  const { answers } = options;
  const unary = answers
    .flatMap(({ methods }) => Object.entries(methods))
    .map(([name, answer]) => [
      name,
      (call: ServerUnaryCall<never, object>, done: sendUnaryData<object>) => {
        admit(options, { method: name, call })
          .then((admin) => answer(call.request, admin))
          .then(
            (message) => done(null, message),
            (thrown: unknown) => done(toServiceError(said(options.log, { method: name, thrown }))),
          );
      },
    ]);
  const streams = answers
    .flatMap(({ watches }) => Object.entries(watches))
    .map(([name, watch]) => [
      name,
      (call: ServerWritableStream<never, object>) => {
        admit(options, { method: name, call })
          .then((admin) => begin(options, { call, watched: watch(call.request, admin) }))
          .catch((thrown: unknown) =>
            call.emit('error', toServiceError(said(options.log, { method: name, thrown }))),
          );
      },
    ]);
  return Object.fromEntries([...unary, ...streams]);
}

interface Watching {
  readonly call: ServerWritableStream<never, object>;
  readonly watched: Watched;
}

async function begin({ watches, gate }: AdminServiceOptions, { call, watched }: Watching): Promise<void> {
  // What is wrong with the request is its answer, before anything is watched.
  await watched.list();
  if (call.cancelled) return;
  watches.begin(call, { watched, admit: () => gate.admit(call.metadata, call.getPeer()) });
}

interface Asked {
  readonly method: string;
  readonly call: { readonly metadata: Metadata; getPeer(): string };
}

async function admit({ gate, replica, log }: AdminServiceOptions, { method, call }: Asked): Promise<Admin> {
  const admin = await gate.admit(call.metadata, call.getPeer());
  const [meant] = call.metadata.get(REPLICA_METADATA);
  if (meant !== undefined && meant !== replica) {
    const message = `This is the replica "${replica}".`;
    throw new AdminFault(status.FAILED_PRECONDITION, 'OTHER_REPLICA', message);
  }
  if (CHANGES.has(method))
    log.info('an admin changes something', { event: 'admin_change', method, detail: admin.subject });
  return admin;
}

/** What is no refusal of ours is for the log. */
function said(
  log: Logger,
  { method, thrown }: { readonly method: string; readonly thrown: unknown },
): unknown {
  const refused = thrown instanceof AdminFault || thrown instanceof MeshError;
  if (!refused) log.error('an admin question could not be answered', { method, error: thrown });
  return thrown;
}
