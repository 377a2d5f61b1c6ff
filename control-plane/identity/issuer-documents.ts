import type { JSONWebKeySet } from 'jose';
import { isLoopbackUrl } from '../../shared/config/hosts.ts';

/** What the verifier needs of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Larger documents are not key sets. */
const LARGEST_DOCUMENT = 512 * 1024;

export interface DocumentRequest {
  readonly issuer: string;
  /** Found in the issuer's metadata where undefined. */
  readonly jwksUri: string | undefined;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
}

/** Whether keys may be fetched from there: over TLS, or from this machine. */
export function isTrustworthyUrl(url: string): boolean {
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackUrl(url));
}

/** Fetches the issuer's keys. Rejects with a plain error that is fit for a log. */
export async function fetchKeys(request: DocumentRequest): Promise<JSONWebKeySet> {
  const uri = request.jwksUri ?? (await discoverJwksUri(request));
  const document = await fetchJson(uri, request);
  const keys = document['keys'];
  if (!Array.isArray(keys) || keys.length === 0) throw new Error('the answer holds no keys');
  return { keys };
}

/** OpenID Connect Discovery 1.0 §4, then RFC 8414 §3.1. The metadata must name the very issuer that was asked. */
async function discoverJwksUri(request: DocumentRequest): Promise<string> {
  const { issuer } = request;
  const base = new URL(issuer);
  const path = base.pathname.replace(/\/$/, '');
  const places = [
    `${base.origin}${path}/.well-known/openid-configuration`,
    `${base.origin}/.well-known/oauth-authorization-server${path}`,
  ];
  const metadata = await fetchJson(places[0] ?? issuer, request).catch(() =>
    fetchJson(places[1] ?? issuer, request),
  );
  const uri = metadata['jwks_uri'];
  if (metadata['issuer'] !== issuer) throw new Error('the metadata is that of another issuer');
  if (typeof uri !== 'string' || !mayNameKeys(issuer, uri)) {
    throw new Error('the metadata names no usable jwks_uri');
  }
  return uri;
}

/** Metadata from afar must not send us to this machine's own services. */
function mayNameKeys(issuer: string, uri: string): boolean {
  return isTrustworthyUrl(uri) && (isLoopbackUrl(issuer) || !isLoopbackUrl(uri));
}

async function fetchJson(url: string, { fetch, signal }: DocumentRequest): Promise<Record<string, unknown>> {
  const response = await fetch(url, {
    signal,
    redirect: 'manual',
    headers: { accept: 'application/json, application/jwk-set+json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the answer has status ${response.status}`);
  }
  const document: unknown = JSON.parse(await readBounded(response));
  if (typeof document !== 'object' || document === null) throw new Error('the answer is not a JSON object');
  return Object.fromEntries(Object.entries(document));
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > LARGEST_DOCUMENT) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
