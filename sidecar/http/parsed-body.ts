import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Scanned, type Span, slice } from '../../shared/json-rpc/message.ts';
import { scanBatch, scanMessage } from '../../shared/json-rpc/scan.ts';
import { mayCarryBatch } from './protocol-version.ts';

/** The requests that an answer owes something to. */
export interface Asked {
  /** The verbatim JSON of each request's id; empty for a notification, a response, GET and DELETE. */
  readonly ids: readonly string[];
  /** They came in an array, so their answers go back in one. */
  readonly batch: boolean;
}

export const NOTHING_ASKED: Asked = { ids: [], batch: false };

export interface ParsedBody extends Asked {
  /** Undefined for an array, which crosses as it is. */
  readonly scanned: Scanned | undefined;
}

const OPEN_BRACE = 0x7b;

/**
 * Scans the body of a POST: one message, or an array of them where the version
 * header allows one. Throws `JsonRpcFault`.
 */
export function parseBody(body: Buffer, protocolVersion: string | undefined): ParsedBody {
  const spans = body[0] === OPEN_BRACE ? undefined : scanBatch(body);
  if (spans === undefined) {
    const scanned = scanMessage(body);
    return { scanned, ids: idsOf(body, scanned), batch: false };
  }
  if (!mayCarryBatch(protocolVersion)) {
    throw new MeshError('invalid_request', 'This protocol version has no arrays of messages.');
  }
  return { scanned: undefined, ids: spans.flatMap((span) => scanElement(body, span)), batch: true };
}

/** What can be answered although the body was refused. */
export function askedBy(refused: unknown): Asked {
  if (!(refused instanceof JsonRpcFault) || refused.id === undefined) return NOTHING_ASKED;
  return { ids: [refused.id.toString()], batch: false };
}

function scanElement(body: Buffer, span: Span): readonly string[] {
  const element = slice(body, span);
  return idsOf(element, scanMessage(element));
}

function idsOf(bytes: Buffer, { kind, id }: Scanned): readonly string[] {
  return kind === 'request' && id !== undefined ? [bytes.toString('utf8', id.start, id.end)] : [];
}
