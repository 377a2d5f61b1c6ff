import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { isObject, isString, peekFields, readFields } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { type Fields, fields } from '../../shared/json-rpc/walker.ts';
import { isSupportedVersion, NEWEST_VERSION, type ProtocolVersion } from '../../shared/protocol-versions.ts';

/** The client's version where we speak it, else our newest; an unknown one is never echoed (MCP 2025-11-25, Lifecycle). */
export function negotiateVersion(requested: string): ProtocolVersion {
  return isSupportedVersion(requested) ? requested : NEWEST_VERSION;
}

export interface InitializeResultOptions {
  /** The negotiated version. */
  readonly protocolVersion: string;
  /** The mesh's own version. */
  readonly build: string;
  /** From the configuration; they come first. */
  readonly instructions?: string | undefined;
  /** The backends that are present and have instructions. */
  readonly backends: readonly { readonly name: string; readonly instructions: string }[];
  readonly meta?: Readonly<Record<string, unknown>>;
}

/**
 * The mesh's own InitializeResult, raw. It claims everything it serves itself, always,
 * because a backend that joins late could not add a capability to a session afterwards.
 */
export function initializeResult(options: InitializeResultOptions): Buffer {
  const { protocolVersion, build, meta } = options;
  const instructions = joinInstructions(options);
  const result = {
    protocolVersion,
    capabilities: {
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      completions: {},
      logging: {},
    },
    serverInfo: { name: 'outrigger', version: build },
    ...(instructions === '' ? {} : { instructions }),
    ...(meta === undefined ? {} : { _meta: meta }),
  };
  return Buffer.from(JSON.stringify(result));
}

/**
 * What backends are told in the client's name: its true initialize params (raw), cut
 * to the capabilities that the mesh carries, and with a version that it speaks. What
 * is kept is verbatim. Throws MeshError `invalid_params` where they are no initialize
 * params.
 */
export function cutCapabilities(params: Buffer): Buffer {
  const [version, capabilities, info] = read(params, { start: 0, end: params.length }, PARAMS);
  if (version === undefined || !isString(params, version)) throw malformed();
  if (capabilities === undefined || !isObject(params, capabilities)) throw malformed();
  if (info === undefined || !isObject(params, info)) throw malformed();
  const kept = read(params, capabilities, CAPABILITIES).map((span, i) => {
    const name = CAPABILITIES.names[i] ?? '';
    return span === undefined || !isObject(params, span)
      ? undefined
      : member(name, cut(params, span, CARRIED[name]));
  });
  return Buffer.from(
    `{"protocolVersion":"${negotiateVersion(decodeString(params, version))}",` +
      `"capabilities":${object(kept)},"clientInfo":${slice(params, info)}}`,
  );
}

/** In characters; the configured instructions count first. */
const LONGEST_INSTRUCTIONS = 16_384;

const PARAMS = fields(['protocolVersion', 'capabilities', 'clientInfo']);
const CAPABILITIES = fields(['roots', 'sampling', 'elicitation']);

/** The parts of each capability whose messages the mesh carries. */
const CARRIED: Readonly<Record<string, Fields>> = {
  roots: fields(['listChanged']),
  sampling: fields(['context', 'tools']),
  elicitation: fields(['form', 'url']),
};

function joinInstructions({ instructions, backends }: InitializeResultOptions): string {
  const parts = backends.map(({ name, instructions: text }) => `## ${name}\n\n${text}`);
  const text = [instructions, ...parts].filter((part) => part !== undefined && part !== '').join('\n\n');
  if (text.length <= LONGEST_INSTRUCTIONS) return text;
  // Half of a surrogate pair at the cut goes too.
  return `${text.slice(0, LONGEST_INSTRUCTIONS - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

function cut(params: Buffer, capability: Span, carried: Fields | undefined): string {
  if (carried === undefined) return '{}';
  const spans = peekFields(params, capability, carried);
  return object(
    spans.map((span, i) =>
      span === undefined ? undefined : member(carried.names[i] ?? '', slice(params, span).toString()),
    ),
  );
}

function member(name: string, raw: string): string {
  return `"${name}":${raw}`;
}

function object(members: readonly (string | undefined)[]): string {
  return `{${members.filter((text) => text !== undefined).join()}}`;
}

function read(bytes: Buffer, span: Span, wanted: Fields): (Span | undefined)[] {
  if (!isObject(bytes, span)) throw malformed();
  try {
    return readFields(bytes, span, wanted);
  } catch (thrown) {
    throw thrown instanceof JsonRpcFault ? malformed() : thrown;
  }
}

function malformed(): MeshError {
  return new MeshError(
    'invalid_params',
    'initialize needs protocolVersion, capabilities and clientInfo, each once.',
  );
}
