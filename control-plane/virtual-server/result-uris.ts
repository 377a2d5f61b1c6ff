import { encodeString, type Splice, splice } from '../../shared/json-rpc/envelope.ts';
import type { Span } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, isString, peekFields, readElements } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';

/** Whether a message may hold a URI as a member of its own; most do not. */
export function mentionsUri(bytes: Buffer): boolean {
  return bytes.includes(URI_KEY);
}

/**
 * A backend's result with its URIs as the client knows them, else verbatim: those
 * of what was read, and of links and embedded resources in content. `visible` maps
 * one URI of the backend. Nothing is searched in a result that names no URI.
 */
export function withVisibleUris(result: Buffer, visible: (original: string) => string): Uint8Array[] {
  const whole = { start: 0, end: result.length };
  return mentionsUri(result) ? splice(result, whole, uriSplices(result, whole, visible)) : [result];
}

/** What puts the URIs that the client knows into a result, or into the params of a backend's request. */
export function uriSplices(bytes: Buffer, object: Span, visible: (original: string) => string): Splice[] {
  return uriSpans(bytes, object).flatMap((span) => renamed(bytes, span, visible));
}

/** A backend's error with the URI of its data (MCP 2025-11-25, Resources: Error Handling) as the client knows it, else verbatim. */
export function errorWithVisibleUri(error: Buffer, visible: (original: string) => string): Uint8Array {
  const whole = { start: 0, end: error.length };
  if (!mentionsUri(error) || !isObject(error, whole)) return error;
  const [data] = peekFields(error, whole, ERROR);
  if (data === undefined || !isObject(error, data)) return error;
  const splices = uriOf(error, data).flatMap((span) => renamed(error, span, visible));
  return Buffer.concat(splice(error, whole, splices));
}

const URI_KEY = Buffer.from('"uri"');
const RESULT = fields(['contents', 'content', 'messages']);
const MESSAGE = fields(['content']);
const CONTENT = fields(['type', 'uri', 'resource', 'content']);
const RESOURCE = fields(['uri']);
const ERROR = fields(['data']);

function renamed(bytes: Buffer, span: Span, visible: (original: string) => string): Splice[] {
  const original = decodeString(bytes, span);
  const seen = visible(original);
  return seen === original ? [] : [{ span, bytes: encodeString(seen) }];
}

/** contents[].uri of a read; content[] of a call; messages[].content of a prompt, or of what a model is asked. */
function uriSpans(result: Buffer, object: Span): Span[] {
  if (!isObject(result, object)) return [];
  const [contents, content, messages] = peekFields(result, object, RESULT);
  return [
    ...objects(result, contents).flatMap((read) => uriOf(result, read)),
    ...objects(result, content).flatMap((part) => contentUris(result, part)),
    ...objects(result, messages).flatMap((message) => {
      const [parts] = peekFields(result, message, MESSAGE);
      return objects(result, parts).flatMap((part) => contentUris(result, part));
    }),
  ];
}

/** A link's own URI, or that of the resource embedded; of a tool's result those in its content. */
function contentUris(result: Buffer, part: Span): Span[] {
  const [type, uri, resource, content] = peekFields(result, part, CONTENT);
  if (type === undefined || !isString(result, type)) return [];
  switch (decodeString(result, type)) {
    case 'resource_link':
      return uri !== undefined && isString(result, uri) ? [uri] : [];
    case 'resource':
      return objects(result, resource).flatMap((inner) => uriOf(result, inner));
    case 'tool_result':
      return objects(result, content).flatMap((inner) => contentUris(result, inner));
    default:
      return [];
  }
}

function uriOf(result: Buffer, object: Span): Span[] {
  const [uri] = peekFields(result, object, RESOURCE);
  return uri !== undefined && isString(result, uri) ? [uri] : [];
}

/** The objects of an array, or the one object that stands in its place. */
function objects(result: Buffer, span: Span | undefined): Span[] {
  if (span === undefined) return [];
  const spans = isArray(result, span) ? readElements(result, span) : [span];
  return spans.filter((each) => isObject(result, each));
}
