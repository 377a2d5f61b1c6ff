import { randomBytes } from 'node:crypto';

/**
 * The session id that a client holds: 16 random bytes that name the session and
 * 32 that unlock its record, as 64 characters of base64url (visible ASCII, MCP
 * 2025-11-25 §Session Management). The store holds neither part.
 */
export interface SessionId {
  readonly text: string;
  readonly name: Buffer;
  readonly secret: Buffer;
}

const NAME_BYTES = 16;
const ID_BYTES = 48;
const SHAPE = /^[A-Za-z0-9_-]{64}$/;

export function newSessionId(): SessionId {
  return split(randomBytes(ID_BYTES));
}

/** Undefined for anything that could not be an id of ours. */
export function parseSessionId(text: string): SessionId | undefined {
  return SHAPE.test(text) ? split(Buffer.from(text, 'base64url')) : undefined;
}

function split(bytes: Buffer): SessionId {
  return {
    text: bytes.toString('base64url'),
    name: bytes.subarray(0, NAME_BYTES),
    secret: bytes.subarray(NAME_BYTES),
  };
}
