import type { AuthorizationServer } from 'oauth4webapi';
import type { Clock } from '../../shared/clock.ts';
import { isLoopbackUrl } from '../../shared/config/hosts.ts';
import type { ClientSettings } from '../credential-settings.ts';
import type { ProviderFetch } from './oauth-provider.ts';
import { unavailable } from './refusals.ts';
import type { SealedNotes } from './sealed-notes.ts';

/** As whom the mesh stands before an authorization server that nobody has configured. */
export interface ClientOptions {
  readonly backend: string;
  readonly redirectUri: string;
  /** An https URL at which the mesh's metadata as a client can be read; undefined where there is none. */
  readonly documentUrl: string | undefined;
  readonly fetch: ProviderFetch;
  readonly notes: SealedNotes;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** What an authorization server is told, or reads, about the mesh (RFC 7591 §2). */
export interface ClientMetadata {
  readonly client_name: string;
  readonly application_type: 'web' | 'native';
  readonly redirect_uris: readonly string[];
  readonly grant_types: readonly string[];
  readonly response_types: readonly string[];
  readonly token_endpoint_auth_method: Method;
}

type Method = 'none' | 'client_secret_basic' | 'client_secret_post';

interface Registration {
  readonly client: ClientSettings;
  /** Milliseconds since the epoch; undefined where it has no end. */
  readonly endsAt: number | undefined;
}

/** The best first: whoever has a secret cannot be played by others. */
const METHODS: readonly Method[] = ['client_secret_basic', 'client_secret_post', 'none'];
/** A registration that nobody uses for so long is forgotten. */
const KEPT_MS = 90 * 24 * 3_600_000;
/** A secret is replaced so long before its end. */
const MARGIN_MS = 24 * 3_600_000;
const POLL_MS = 100;
/** What the store may take while a registration is under way. */
const STORE_MS = 5_000;
/** One line of visible ASCII. */
const WORD = /^[\x21-\x7e]{1,4096}$/;

/** The mesh as a client with this redirect URI. */
export function clientMetadata(redirectUri: string, method: Method): ClientMetadata {
  return {
    client_name: 'Outrigger',
    application_type: isLoopbackUrl(redirectUri) ? 'native' : 'web',
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: method,
  };
}

/**
 * The mesh's identity at an authorization server (MCP 2025-11-25, Authorization: Client
 * Registration Approaches): its metadata document where the server reads such, otherwise
 * a registration, which all replicas have in common. Rejects with a plain error that is
 * fit for a log, with `credential_unavailable`, or as the store does.
 */
export async function clientAt(server: AuthorizationServer, options: ClientOptions): Promise<ClientSettings> {
  const { documentUrl } = options;
  if (documentUrl !== undefined && server['client_id_metadata_document_supported'] === true)
    return { id: documentUrl, auth: 'none' };
  if (server.registration_endpoint === undefined)
    throw new Error('the authorization server takes neither a metadata document nor a registration');
  return await registered(server, server.registration_endpoint, options);
}

/** The server knows this client no more: the next time another is registered. */
export async function forgetClient(
  issuer: string,
  { id }: ClientSettings,
  { notes, redirectUri }: Pick<ClientOptions, 'notes' | 'redirectUri'>,
): Promise<void> {
  const kept = await notes.read<Registration>(nameOf(issuer, redirectUri));
  if (kept?.note.client.id === id) await notes.clear(kept);
}

/** Whoever has the claim registers; the others wait for what it writes. */
async function registered(
  server: AuthorizationServer,
  endpoint: string,
  options: ClientOptions,
): Promise<ClientSettings> {
  const { notes, redirectUri, clock, timeoutMs, backend } = options;
  const name = nameOf(server.issuer, redirectUri);
  const giveUpAt = clock.elapsed() + timeoutMs + STORE_MS;
  for (;;) {
    const found = await known(name, options);
    if (found !== undefined) return found;
    const release = await notes.claim(name, timeoutMs + STORE_MS);
    if (release !== undefined) {
      try {
        return (
          (await known(name, options)) ??
          (await keep(name, options, await register(server, endpoint, options)))
        );
      } finally {
        await release().catch(() => {});
      }
    }
    if (clock.elapsed() >= giveUpAt) throw unavailable(backend, 'another replica registers the mesh');
    await new Promise<void>((resolve) => {
      clock.after(POLL_MS, resolve);
    });
  }
}

/** What is used does not end with time alone. */
async function known(name: string, { notes, clock }: ClientOptions): Promise<ClientSettings | undefined> {
  const kept = await notes.read<Registration>(name);
  if (kept === undefined) return undefined;
  const { endsAt } = kept.note;
  if (endsAt !== undefined && endsAt - MARGIN_MS <= clock.now()) {
    await notes.clear(kept);
    return undefined;
  }
  if (endsAt === undefined) await notes.write(name, { note: kept.note, expected: kept, ttlMs: KEPT_MS });
  return kept.note.client;
}

async function keep(
  name: string,
  { notes, clock }: ClientOptions,
  registration: Registration,
): Promise<ClientSettings> {
  const { client, endsAt } = registration;
  const ttlMs = endsAt === undefined ? KEPT_MS : Math.min(KEPT_MS, endsAt - clock.now());
  if (ttlMs <= MARGIN_MS) return client;
  await notes.put(name, registration, ttlMs);
  return client;
}

/** RFC 7591 §3, without an initial access token. */
async function register(
  server: AuthorizationServer,
  endpoint: string,
  { fetch, redirectUri, timeoutMs }: ClientOptions,
): Promise<Registration> {
  // RFC 8414 §2: what a server does when it says nothing.
  const supported = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  const wanted = METHODS.find((method) => supported.includes(method)) ?? 'none';
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: JSON.stringify(clientMetadata(redirectUri, wanted)),
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (answer.status !== 201 && answer.status !== 200)
    throw new Error(`the registration of the mesh is answered with ${answer.status}`);
  // What a parser says of it may have the secret in it.
  return registrationIn(await answer.json().catch(() => undefined), wanted);
}

/** Servers leave out what the RFC asks of them; what is there has to be usable. */
function registrationIn(answer: unknown, wanted: Method): Registration {
  const {
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: method = wanted,
    client_secret_expires_at: end = 0,
  } = Object(answer) as Readonly<Record<string, unknown>>;
  if (typeof id !== 'string' || !WORD.test(id))
    throw new Error('the registration of the mesh names no client');
  const endsAt = typeof end === 'number' && end > 0 ? end * 1_000 : undefined;
  if (method === 'none') return { client: { id, auth: 'none' }, endsAt: undefined };
  if ((method === 'client_secret_basic' || method === 'client_secret_post') && typeof secret === 'string')
    return { client: { id, auth: method, secret }, endsAt };
  throw new Error('the registration of the mesh brings no secret for the way it is to be shown');
}

function nameOf(issuer: string, redirectUri: string): string {
  return JSON.stringify(['client', issuer, redirectUri]);
}
