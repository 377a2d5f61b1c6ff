import { createHash, randomBytes } from 'node:crypto';
import { type BackendFacts, BackendFault } from './backend.ts';

/** The revisions whose lifecycle is initialize, initialized, requests. */
const SUPPORTED: ReadonlySet<string> = new Set(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']);

/** Reads what routing needs from a raw InitializeResult. Throws BackendFault `protocol` when it is none, or of a revision we do not speak. */
export function readFacts(initializeResult: string): BackendFacts {
  const result = asObject(parse(initializeResult));
  const protocolVersion = result?.['protocolVersion'];
  if (typeof protocolVersion !== 'string' || !SUPPORTED.has(protocolVersion)) {
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
  const capabilities: Record<string, { listChanged?: boolean; subscribe?: boolean }> = Object.create(null);
  for (const [name, flags] of Object.entries(asObject(value) ?? {})) {
    const { listChanged, subscribe } = asObject(flags) ?? {};
    capabilities[name] = {
      ...(typeof listChanged === 'boolean' ? { listChanged } : {}),
      ...(typeof subscribe === 'boolean' ? { subscribe } : {}),
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
