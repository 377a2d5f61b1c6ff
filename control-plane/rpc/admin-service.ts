import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Audit, AuditEvent } from '../session/audit.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { AdminFault, toServiceError } from './admin-fault.ts';
import { type Admin, type AdminCall, type AdminGate, NotAdmin } from './admin-gate.ts';
import { REPLICA_METADATA } from './admin-peers.ts';
import type { AdminWatches, Watched } from './admin-watch.ts';

export interface AdminServiceOptions {
  readonly replica: string;
  readonly gate: AdminGate;
  readonly answers: readonly AdminAnswers[];
  readonly watches: AdminWatches;
  readonly audit: Audit;
  readonly log: Logger;
}

/** Methods that change something: each use is in the log and in the audit. */
const CHANGES: ReadonlySet<string> = new Set([
  'terminateSession',
  'terminatePrincipalSessions',
  'refreshBackend',
  'drainReplica',
  'undrainReplica',
  'setReplicaLogLevel',
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
  watches.begin(call, { watched, admit: () => gate.admitCall(call) });
}

interface Asked {
  readonly method: string;
  readonly call: AdminCall & { readonly request: object };
}

async function admit(
  { gate, replica, log, audit }: AdminServiceOptions,
  { method, call }: Asked,
): Promise<Admin> {
  const about = { action: 'admin.call', method, ...subjectOf(call.request) } as const;
  const admin = await gate.admitCall(call).catch((thrown: unknown) => {
    if (thrown instanceof NotAdmin)
      audit.record({ ...about, outcome: 'denied', principal: thrown.principal, reason: thrown.reason });
    throw thrown;
  });
  const [meant] = call.metadata.get(REPLICA_METADATA);
  if (meant !== undefined && meant !== replica) {
    const message = `This is the replica "${replica}".`;
    throw new AdminFault(status.FAILED_PRECONDITION, 'OTHER_REPLICA', message);
  }
  const { principal, peer } = admin;
  if (peer !== undefined && Reflect.get(call.request, 'localOnly') !== true) {
    const message = 'A replica is asked by another about itself alone.';
    throw new AdminFault(status.PERMISSION_DENIED, 'NOT_LOCAL', message);
  }
  if (CHANGES.has(method)) {
    const detail = peer === undefined ? undefined : `asked by ${peer}`;
    log.info('an admin changes something', { event: 'admin_change', method, detail: principal?.subject });
    audit.record({ ...about, outcome: 'allowed', principal, detail });
  }
  return admin;
}

/** The session or the backend that a question names. */
function subjectOf(request: object): Pick<AuditEvent, 'session' | 'backend'> {
  const [, collection, id] = /^(sessions|backends)\/(.+)$/.exec(String(Reflect.get(request, 'name'))) ?? [];
  if (id === undefined) return {};
  return collection === 'sessions' ? { session: id } : { backend: id };
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
