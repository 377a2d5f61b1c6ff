import { createHash, randomBytes } from 'node:crypto';
import { isSupportedVersion } from '../../shared/protocol-versions.ts';
import { type BackendFacts, BackendFault, type CapabilityParts } from './backend.ts';

const SERVED = ['tools', 'resources', 'prompts', 'completions', 'logging', 'tasks'];

/** Reads what routing needs from a raw InitializeResult. Throws BackendFault `protocol` when it is none, or of a revision we do not speak. */
export function readFacts(initializeResult: string): BackendFacts {
  const result = asObject(parse(initializeResult));
  const protocolVersion = result?.['protocolVersion'];
  if (typeof protocolVersion !== 'string' || !isSupportedVersion(protocolVersion)) {
    throw new BackendFault('protocol', 'The backend answered initialize with no protocol version we speak.', {
      executed: 'no',
    });
  }
  const instructions = result?.['instructions'];
  return {
    protocolVersion,
    capabilities: readCapabilities(result?.['capabilities']),
    instructions: typeof instructions === 'string' ? instructions : undefined,
  };
}

/** The same for the same backend session and no other; a backend session without an id is only itself. */
export function fingerprintOf(backend: string, sessionId: string | undefined): string {
  const hash = createHash('sha256').update(backend).update('\0');
  return (sessionId === undefined ? hash.update(randomBytes(32)) : hash.update(sessionId)).digest(
    'base64url',
  );
}

function readCapabilities(value: unknown): BackendFacts['capabilities'] {
  const capabilities: Record<string, CapabilityParts> = Object.create(null);
  const claimed = asObject(value) ?? {};
  for (const name of SERVED.filter((each) => Object.hasOwn(claimed, each))) {
    const flags = claimed[name];
    const { listChanged, subscribe, list, requests } = asObject(flags) ?? {};
    const call = asObject(asObject(asObject(requests)?.['tools'])?.['call']);
    capabilities[name] = {
      ...(typeof listChanged === 'boolean' ? { listChanged } : {}),
      ...(typeof subscribe === 'boolean' ? { subscribe } : {}),
      ...(asObject(list) === undefined ? {} : { list: {} }),
      ...(call === undefined ? {} : { requests: { tools: { call: {} } } }),
    };
  }
  return capabilities;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
