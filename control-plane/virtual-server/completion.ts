import { MeshError } from '../../shared/errors.ts';
import { insertMember, type Splice, splice } from '../../shared/json-rpc/envelope.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import type { Span } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, peekFields, readElements, readFields } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { RouteKind } from './routes.ts';

/** What a completion request refers to. */
export interface CompletionTarget {
  readonly kind: RouteKind;
  /** The name, URI or template as the client knows it. */
  readonly visible: string;
  /** Where the original goes in its place. */
  readonly span: Span;
}

/** Values that one completion may have (MCP 2025-11-25, Completion). */
const MAX_VALUES = 100;

/** Reads the `ref` of a completion request. Throws MeshError `invalid_params` where it names nothing, or by a key twice. */
export function completionTarget(bytes: Buffer, ref: Span): CompletionTarget {
  if (!isObject(bytes, ref)) throw malformed();
  const [type, name, uri] = readRef(bytes, ref);
  const kind = type === undefined ? '' : decodeString(bytes, type);
  if (kind === 'ref/prompt' && name !== undefined)
    return { kind: 'prompt', visible: decodeString(bytes, name), span: name };
  if (kind === 'ref/resource' && uri !== undefined)
    return { kind: 'template', visible: decodeString(bytes, uri), span: uri };
  throw malformed();
}

/** A completion result with its first 100 values; with fewer it is verbatim. */
export function capCompletion(result: Buffer): Uint8Array[] {
  const whole = { start: 0, end: result.length };
  const [completion] = peekFields(result, whole, RESULT);
  if (completion === undefined || !isObject(result, completion)) return [result];
  const [values, hasMore] = peekFields(result, completion, COMPLETION);
  if (values === undefined || !isArray(result, values)) return [result];
  const elements = readElements(result, values);
  const last = elements[MAX_VALUES - 1];
  if (last === undefined || elements.length <= MAX_VALUES) return [result];
  const cut: Splice = { span: { start: last.end, end: values.end }, bytes: Buffer.from(']') };
  const more: Splice =
    hasMore === undefined
      ? insertMember(result, completion, Buffer.from('"hasMore":true'))
      : { span: hasMore, bytes: Buffer.from('true') };
  return splice(result, whole, [cut, more]);
}

const REF = fields(['type', 'name', 'uri']);
const RESULT = fields(['completion']);
const COMPLETION = fields(['values', 'hasMore']);

function readRef(bytes: Buffer, ref: Span): (Span | undefined)[] {
  try {
    return readFields(bytes, ref, REF);
  } catch (thrown) {
    throw thrown instanceof JsonRpcFault ? malformed() : thrown;
  }
}

function malformed(): MeshError {
  return new MeshError(
    'invalid_params',
    'A completion refers to one prompt by its name, or to one resource by its URI.',
  );
}
