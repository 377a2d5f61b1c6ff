import { Metadata, type ServiceError, type status } from '@grpc/grpc-js';
import protobuf from 'protobufjs/minimal.js';

/**
 * google.rpc.RetryInfo in the trailer `grpc-status-details-bin`: when a refused
 * stream may be tried again; and google.rpc.ErrorInfo: why, for programs. grpc-js
 * has no rich errors of its own, so these messages (google/rpc/status.proto,
 * google/rpc/error_details.proto) are written and read here by hand.
 */

const TRAILER = 'grpc-status-details-bin';
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
const DOMAIN = 'outrigger.dev';

export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly retryAfterMs?: number | undefined;
  /** A reason code, for ErrorInfo. */
  readonly reason?: string | undefined;
}

/** A status for a grpc-js server call, with its details when there is something to say. */
export function refusal(refused: Refusal): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  const { code, details, retryAfterMs, reason } = refused;
  const metadata = new Metadata();
  if (retryAfterMs !== undefined || reason !== undefined) metadata.set(TRAILER, encode(refused));
  return { code, details, metadata };
}

/** The delay that a peer asked for, in milliseconds; undefined when it asked for none or in a way we cannot read. */
export function retryAfter(metadata: Metadata): number | undefined {
  for (const value of metadata.get(TRAILER)) {
    if (typeof value === 'string') continue;
    try {
      const delay = decodeStatus(new protobuf.Reader(value));
      if (delay !== undefined) return delay;
    } catch {
      // A hint that cannot be read is no hint; our own back-off holds.
    }
  }
  return undefined;
}

function encode({ code, details, retryAfterMs, reason }: Refusal): Buffer {
  const whole = protobuf.Writer.create().uint32(8).int32(code).uint32(18).string(details);
  if (reason !== undefined) whole.uint32(26).bytes(any(ERROR_INFO, errorInfo(reason)));
  if (retryAfterMs !== undefined) whole.uint32(26).bytes(any(RETRY_INFO, retryInfo(retryAfterMs)));
  return Buffer.from(whole.finish());
}

function any(type: string, message: Uint8Array): Uint8Array {
  return protobuf.Writer.create().uint32(10).string(type).uint32(18).bytes(message).finish();
}

function errorInfo(reason: string): Uint8Array {
  return protobuf.Writer.create().uint32(10).string(reason).uint32(18).string(DOMAIN).finish();
}

function retryInfo(ms: number): Uint8Array {
  const duration = protobuf.Writer.create();
  duration.uint32(8).int64(Math.floor(ms / 1000));
  duration.uint32(16).int32((ms % 1000) * 1_000_000);
  return protobuf.Writer.create().uint32(10).bytes(duration.finish()).finish();
}

function decodeStatus(reader: protobuf.Reader): number | undefined {
  let delay: number | undefined;
  fields(reader, 3, (any) => {
    let type = '';
    let value: Uint8Array | undefined;
    while (any.pos < any.len) {
      const tag = any.uint32();
      if (tag === 10) type = any.string();
      else if (tag === 18) value = any.bytes();
      else any.skipType(tag & 7);
    }
    if (type !== RETRY_INFO || value === undefined) return;
    fields(new protobuf.Reader(value), 1, (duration) => {
      delay = decodeDuration(duration);
    });
  });
  return delay;
}

function decodeDuration(reader: protobuf.Reader): number {
  let ms = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 8) ms += Number(reader.int64()) * 1000;
    else if (tag === 16) ms += reader.int32() / 1_000_000;
    else reader.skipType(tag & 7);
  }
  return ms;
}

/** Visits each length-delimited field with this number. */
function fields(reader: protobuf.Reader, number: number, visit: (field: protobuf.Reader) => void): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((number << 3) | 2)) visit(new protobuf.Reader(reader.bytes()));
    else reader.skipType(tag & 7);
  }
}
