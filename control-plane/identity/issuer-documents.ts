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
  const { issuer, jwksUri } = request;
  const uri = jwksUri ?? metadataUrl(await fetchMetadata(request), { issuer, member: 'jwks_uri' });
  const document = await fetchJson(uri, request);
  const keys = document['keys'];
  if (!Array.isArray(keys) || keys.length === 0) throw new Error('the answer holds no keys');
  return { keys };
}

/** OpenID Connect Discovery 1.0 §4, then RFC 8414 §3.1. The metadata must name the very issuer that was asked. */
export async function fetchMetadata(
  request: Omit<DocumentRequest, 'jwksUri'>,
): Promise<Readonly<Record<string, unknown>>> {
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
  if (metadata['issuer'] !== issuer) throw new Error('the metadata is that of another issuer');
  return metadata;
}

/** A URL out of an issuer's metadata. Throws where there is none that may be asked. */
export function metadataUrl(
  metadata: Readonly<Record<string, unknown>>,
  { issuer, member }: { readonly issuer: string; readonly member: string },
): string {
  const uri = metadata[member];
  if (typeof uri !== 'string' || !mayName(issuer, uri))
    throw new Error(`the metadata names no usable ${member}`);
  return uri;
}

/** Metadata from afar must not send us to this machine's own services. */
function mayName(issuer: string, uri: string): boolean {
  return isTrustworthyUrl(uri) && (isLoopbackUrl(issuer) || !isLoopbackUrl(uri));
}

async function fetchJson(
  url: string,
  { fetch, signal }: Pick<DocumentRequest, 'fetch' | 'signal'>,
): Promise<Record<string, unknown>> {
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

/** The whole body. Rejects where it is larger than any document may be. */
export async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > LARGEST_DOCUMENT) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
