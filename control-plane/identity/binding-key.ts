import type { IdentityBinding } from './caller.ts';

/** Canonical bytes of a binding, for keyed hashes. */
export function bindingKeyOf({ issuer, subject, tenant }: IdentityBinding): string {
  return JSON.stringify([issuer, subject, tenant]);
}

/** All anonymous callers share one binding: the session id alone opens their sessions, through any sidecar. */
export const ANONYMOUS_BINDING = JSON.stringify(['anonymous']);
