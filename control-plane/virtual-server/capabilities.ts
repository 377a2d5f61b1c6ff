import { MeshError } from '../../shared/errors.ts';
import { JsonRpcFault } from '../../shared/json-rpc/fault.ts';
import { type Span, slice } from '../../shared/json-rpc/message.ts';
import { isObject, isString, peekFields, readFields } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { type Fields, fields } from '../../shared/json-rpc/walker.ts';
import {
  hasTasks,
  isSupportedVersion,
  NEWEST_VERSION,
  type ProtocolVersion,
} from '../../shared/protocol-versions.ts';

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
      ...(hasTasks(protocolVersion) ? { tasks: TASKS } : {}),
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
  const negotiated = negotiateVersion(decodeString(params, version));
  const kept = read(params, capabilities, CAPABILITIES).map((span, i) => {
    const name = CAPABILITIES.names[i] ?? '';
    if (span === undefined || (name === 'tasks' && !hasTasks(negotiated))) return undefined;
    return cut(params, { name, span }, CARRIED[name] ?? []);
  });
  return Buffer.from(
    `{"protocolVersion":"${negotiated}",` +
      `"capabilities":${object(kept)},"clientInfo":${slice(params, info)}}`,
  );
}

/** In characters; the configured instructions count first. */
const LONGEST_INSTRUCTIONS = 16_384;

/** Each backend says of its tools which of them run as tasks; a list of none is one too. */
const TASKS = { list: {}, cancel: {}, requests: { tools: { call: {} } } };

const PARAMS = fields(['protocolVersion', 'capabilities', 'clientInfo']);
const CAPABILITIES = fields(['roots', 'sampling', 'elicitation', 'tasks']);

/** Parts of a capability by name: carried as they are, or the parts of theirs that are. */
type Carried = readonly (string | readonly [name: string, parts: Carried])[];

/**
 * The parts of each capability whose messages the mesh carries. `tasks/list` is not: the
 * client would show each backend what it does for the others.
 */
const CARRIED: Readonly<Record<string, Carried>> = {
  roots: ['listChanged'],
  sampling: ['context', 'tools'],
  elicitation: ['form', 'url'],
  tasks: [
    'cancel',
    [
      'requests',
      [
        ['sampling', ['createMessage']],
        ['elicitation', ['create']],
      ],
    ],
  ],
};

function joinInstructions({ instructions, backends }: InitializeResultOptions): string {
  const parts = backends.map(({ name, instructions: text }) => `## ${name}\n\n${text}`);
  const text = [instructions, ...parts].filter((part) => part !== undefined && part !== '').join('\n\n');
  if (text.length <= LONGEST_INSTRUCTIONS) return text;
  // Half of a surrogate pair at the cut goes too.
  return `${text.slice(0, LONGEST_INSTRUCTIONS - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** A capability, or a part of one, as a member of what backends are told; undefined where it is no object. */
function cut(
  params: Buffer,
  { name, span }: { readonly name: string; readonly span: Span },
  carried: Carried,
): string | undefined {
  if (!isObject(params, span)) return undefined;
  const parts = carried.map((part) => (typeof part === 'string' ? ([part, undefined] as const) : part));
  const spans = peekFields(params, span, fields(parts.map(([each]) => each)));
  const kept = parts.map(([each, below], i) => {
    const at = spans[i];
    if (at === undefined) return undefined;
    return below === undefined
      ? member(each, slice(params, at).toString())
      : cut(params, { name: each, span: at }, below);
  });
  return member(name, object(kept));
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
