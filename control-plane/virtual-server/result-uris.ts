import { encodeString, type Splice, splice } from '../../shared/json-rpc/envelope.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, isString, peekFields, readElements } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { fields } from '../../shared/json-rpc/walker.ts';

/**
 * A backend's result with its URIs as the client knows them, else verbatim: those
 * of what was read, and of links and embedded resources in content. `visible` maps
 * one URI of the backend. Nothing is searched in a result that names no URI.
 */
export function withVisibleUris(result: Buffer, visible: (original: string) => string): Uint8Array[] {
  if (!result.includes(URI_KEY)) return [result];
  const splices = uriSpans(result).flatMap((span): Splice[] => {
    const original = decodeString(result, span);
    const seen = visible(original);
    return seen === original ? [] : [{ span, bytes: encodeString(seen) }];
  });
  return splice(result, { start: 0, end: result.length }, splices);
}

const URI_KEY = Buffer.from('"uri"');
const RESULT = fields(['contents', 'content', 'messages']);
const MESSAGE = fields(['content']);
const CONTENT = fields(['type', 'uri', 'resource']);
const RESOURCE = fields(['uri']);
const LINK = Buffer.from('"resource_link"');
const EMBEDDED = Buffer.from('"resource"');

/** contents[].uri of a read; content[] of a call; messages[].content of a prompt. */
function uriSpans(result: Buffer): Span[] {
  const [contents, content, messages] = peekFields(result, { start: 0, end: result.length }, RESULT);
  return [
    ...objects(result, contents).flatMap((read) => uriOf(result, read)),
    ...objects(result, content).flatMap((part) => contentUris(result, part)),
    ...objects(result, messages).flatMap((message) => {
      const [parts] = peekFields(result, message, MESSAGE);
      return objects(result, parts).flatMap((part) => contentUris(result, part));
    }),
  ];
}

/** A link's own URI, or that of the resource embedded. */
function contentUris(result: Buffer, part: Span): Span[] {
  const [type, uri, resource] = peekFields(result, part, CONTENT);
  if (type === undefined) return [];
  const kind = slice(result, type);
  if (kind.equals(LINK) && uri !== undefined && isString(result, uri)) return [uri];
  return kind.equals(EMBEDDED) ? objects(result, resource).flatMap((inner) => uriOf(result, inner)) : [];
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
