import { MeshError } from '../../shared/errors.ts';
import { meshErrorResponse, relayError } from '../../shared/json-rpc/envelope.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { discard, type Reply } from './endpoint.ts';
import { readBody } from './message-stream.ts';

/** Why a request gets no result: an error of ours, or the raw JSON-RPC error object that the other end gave. */
export type Refusal = MeshError | Buffer;

/** An error has a sentence and a little data. */
const MAX_ERROR_BYTES = 64 * 1024;

/** The one answer of a request that is refused. `id` is its raw JSON id. */
export function refusalAnswer(id: string, refusal: Refusal): readonly Uint8Array[] {
  const raw = Buffer.from(id);
  return refusal instanceof MeshError ? meshErrorResponse(raw, refusal) : relayError(raw, refusal);
}

/** What an answer that is no answer says. A client that speaks stdio knows no statuses: they become errors that tell what to do. */
export async function readRefusal(reply: Reply, options: { readonly authorized: boolean }): Promise<Refusal> {
  if (reply.status === 401) {
    discard(reply);
    return unauthenticated(options.authorized);
  }
  const error = await readError(reply);
  if (error !== undefined) return error;
  if (reply.status === 404 || reply.status === 405) {
    return new MeshError('unavailable', 'No MCP endpoint is at this address: check --url or OUTRIGGER_URL.');
  }
  if (reply.status === 503 || reply.status === 429) {
    return new MeshError('unavailable', 'The mesh cannot serve this request at the moment.');
  }
  return new MeshError('internal', `The sidecar answered with HTTP status ${reply.status}.`);
}

export function unreachable(url: string): MeshError {
  return new MeshError(
    'unavailable',
    `Nothing answers at ${url}: is the sidecar running? \`outrigger up\` starts a whole mesh.`,
  );
}

export function outcomeUnknown(): MeshError {
  return new MeshError(
    'outcome_unknown',
    'The connection to the sidecar was lost while this request ran; whether it took effect is not known.',
  );
}

export function closing(): MeshError {
  return new MeshError('cancelled', 'The client closed its input before the answer came.');
}

function unauthenticated(authorized: boolean): MeshError {
  return new MeshError(
    'unauthenticated',
    authorized
      ? 'The mesh refused the token of `outrigger connect`: it has expired, or is meant for somebody else. Put a fresh one into the file of --token-file, or into OUTRIGGER_TOKEN and start again.'
      : 'The mesh asks for a token: start `outrigger connect` with --token-file <file>, or with OUTRIGGER_TOKEN set.',
  );
}

async function readError(reply: Reply): Promise<Buffer | undefined> {
  try {
    const body = await readBody(reply, MAX_ERROR_BYTES);
    const { error } = scanMessage(body, { ids: 'any' });
    return error === undefined ? undefined : slice(body, error);
  } catch {
    return undefined;
  }
}
