import { type ServiceError, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { type Refusal, refusal } from '../../shared/rpc/retry-info.ts';
import { statusOf } from '../../shared/rpc/status.ts';

/** A refusal of an admin's question, with a reason for programs (AIP-193). */
export class AdminFault extends Error {
  override readonly name = 'AdminFault';
  readonly code: status;
  /** UPPER_SNAKE_CASE, from a closed set of ours. */
  readonly reason: string;

  constructor(code: status, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/** What a person wrote is wrong: a filter, a name, a mask. */
export function invalid(message: string): AdminFault {
  return new AdminFault(status.INVALID_ARGUMENT, 'INVALID_ARGUMENT', message);
}

export function notFound(what: string): AdminFault {
  return new AdminFault(status.NOT_FOUND, 'NOT_FOUND', `There is no ${what}.`);
}

/** Any thrown value as the error of a call. What is no refusal of ours tells its peer nothing. */
export function toServiceError(thrown: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  return refusal(toRefusal(thrown));
}

/** The same, before it is put into the form of gRPC. */
export function toRefusal(thrown: unknown): Refusal {
  if (thrown instanceof AdminFault) {
    return { code: thrown.code, details: thrown.message, reason: thrown.reason };
  }
  const { reason, message, retryAfterMs } = MeshError.from(thrown);
  return { code: statusOf(reason), details: message, retryAfterMs, reason: reason.toUpperCase() };
}
