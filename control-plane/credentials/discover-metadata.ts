import { isForbiddenHost, isLoopbackUrl } from '../../shared/config/hosts.ts';
import type { ProviderFetch } from './oauth-provider.ts';

/** What a backend says in its 401 (RFC 6750 §3, RFC 9728 §5.1). */
export interface Challenge {
  /** Undefined where it says nothing of that. */
  readonly metadataUrl: string | undefined;
  /** Empty where it names none. */
  readonly scopes: readonly string[];
}

/** The part of a protected resource's metadata that a client needs (RFC 9728 §2). */
export interface ProtectedResource {
  /** Byte for byte as it is published. */
  readonly resource: string;
  /** At least one. */
  readonly authorizationServers: readonly string[];
  readonly scopesSupported: readonly string[];
}

export interface ResourceQuestion {
  /** Of the backend, as it is configured. */
  readonly url: string;
  readonly metadataUrl: string | undefined;
  /** Under the address policy for URLs that were learned. */
  readonly fetch: ProviderFetch;
  /** Bounds each request. */
  readonly timeoutMs: number;
}

/** What fits a URL and a line of a log. */
const URI = /^[\x21-\x7e]{1,2048}$/;
/** More are not looked at. */
const MOST_SERVERS = 10;
const MOST_SCOPES = 100;
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/;
const WELL_KNOWN = '/.well-known/oauth-protected-resource';

/**
 * The metadata of the backend as an OAuth resource: where its challenge says that it
 * is, and otherwise at the well-known place of its path and then of its origin (MCP
 * 2025-11-25, Authorization: Protected Resource Metadata Discovery). It must be about
 * the backend's own URL (RFC 9728 §3.3). Rejects with a plain error that is fit for a log.
 */
export async function readProtectedResource(question: ResourceQuestion): Promise<ProtectedResource> {
  const { url, metadataUrl } = question;
  const document = await readFirst(metadataUrl === undefined ? placesOf(url) : [metadataUrl], question);
  const { resource, authorization_servers: servers, scopes_supported: scopes } = document;
  if (typeof resource !== 'string' || !URI.test(resource) || !covers(resource, url))
    throw new Error("the backend's metadata is about another resource than the backend");
  const authorizationServers = textsOf(servers)
    .filter((each) => URI.test(each))
    .slice(0, MOST_SERVERS);
  if (authorizationServers.length === 0)
    throw new Error("the backend's metadata names no authorization server");
  return {
    resource,
    authorizationServers,
    scopesSupported: textsOf(scopes)
      .filter((scope) => SCOPE.test(scope))
      .slice(0, MOST_SCOPES),
  };
}

/**
 * Whether a URL that was learned from a backend may be asked, or a browser sent there:
 * https, or plain HTTP on this machine for a backend that is here as well. Which address
 * a name has is looked at when it is connected to.
 */
export function isAskable(learned: string, backendUrl: string): boolean {
  if (!URL.canParse(learned)) return false;
  const { protocol, hostname, username, password } = new URL(learned);
  if (username !== '' || password !== '' || isForbiddenHost(hostname)) return false;
  if (isLoopbackUrl(learned))
    return isLoopbackUrl(backendUrl) && (protocol === 'http:' || protocol === 'https:');
  return protocol === 'https:';
}

function placesOf(url: string): readonly string[] {
  const { origin, pathname } = new URL(url);
  const path = pathname.replace(/\/$/, '');
  return [...(path === '' ? [] : [`${origin}${WELL_KNOWN}${path}`]), `${origin}${WELL_KNOWN}`];
}

async function readFirst(
  places: readonly string[],
  question: ResourceQuestion,
): Promise<Readonly<Record<string, unknown>>> {
  for (const place of places) {
    if (!isAskable(place, question.url)) throw new Error("the backend's metadata is at no place to be asked");
    const found = await read(place, question);
    if (found !== undefined) return found;
  }
  throw new Error('the backend publishes no metadata about its authorization');
}

/** Undefined where there is nothing. A redirect is not followed. */
async function read(
  place: string,
  { fetch, timeoutMs }: ResourceQuestion,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const signal = AbortSignal.timeout(timeoutMs);
  const answer = await fetch(place, { method: 'GET', headers: { accept: 'application/json' }, signal });
  if (answer.status >= 400 && answer.status < 500) return undefined;
  if (answer.status !== 200) throw new Error(`the backend's metadata is answered with ${answer.status}`);
  // What a parser says of it has parts of it.
  const document: unknown = await answer.json().catch(() => undefined);
  if (typeof document !== 'object' || document === null)
    throw new Error("the backend's metadata is no JSON object");
  return Object.fromEntries(Object.entries(document));
}

/** The resource is the URL itself, or lies above it at the same origin, as an origin's own metadata has it. */
function covers(resource: string, url: string): boolean {
  if (!URL.canParse(resource)) return false;
  const [outer, inner] = [new URL(resource), new URL(url)];
  if (outer.origin !== inner.origin || outer.hash !== '' || outer.username !== '') return false;
  if (outer.search !== '') return outer.href === inner.href;
  const path = outer.pathname.replace(/\/$/, '');
  return inner.pathname === path || inner.pathname.startsWith(`${path}/`);
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
