import { isDeepStrictEqual } from 'node:util';
import type { AuthorizationServer } from 'oauth4webapi';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { ClientSettings, DiscoverSettings, ProviderSettings } from '../credential-settings.ts';
import { clientAt, forgetClient } from './discover-client.ts';
import {
  type Challenge,
  isAskable,
  type ProtectedResource,
  readProtectedResource,
} from './discover-metadata.ts';
import { LoginProvider } from './login-provider.ts';
import { OAuthProvider, type ProviderFetch } from './oauth-provider.ts';
import { refused, unavailable } from './refusals.ts';
import type { SealedNotes } from './sealed-notes.ts';

export interface DiscoveryOptions {
  readonly settings: DiscoverSettings;
  readonly backend: string;
  /** Under the address policy for URLs that were learned. */
  readonly fetch: ProviderFetch;
  readonly clock: Clock;
  readonly notes: SealedNotes;
  readonly redirectUri: string;
  /** As in `ClientOptions`. */
  readonly documentUrl: string | undefined;
  /** Told what came of following a 401. */
  readonly onOutcome: (outcome: DiscoveryOutcome) => void;
}

export interface DiscoveryOutcome {
  readonly backend: string;
  /** The authorization server; undefined where there is none that can be used. */
  readonly issuer: string | undefined;
  /** Fit for a log. */
  readonly cause?: unknown;
}

/** What is known of a backend's authorization, on all replicas. */
interface Found {
  /** The scopes of the backend's challenge. */
  readonly said: readonly string[];
  readonly resource: string;
  readonly issuer: string;
  /** What a person is asked to grant at first. */
  readonly scopes: readonly string[];
  /** Undefined where configuration has it. */
  readonly client: ClientSettings | undefined;
}

/** A backend is asked anew after so long, whatever it answers. */
const KEPT_MS = 24 * 3_600_000;
/** Another replica may have learned something else meanwhile. */
const CHECK_MS = 30_000;
/** A backend that refuses everything must not send the mesh around for everything: so often in so long. */
const MOST_ASKED = 3;
const ASKED_WITHIN_MS = 15_000;
const PAUSE_MS = 2_000;

/**
 * Where callers log in for a backend, by what the backend and its authorization server
 * say (MCP 2025-11-25, Authorization): RFC 9728, then RFC 8414 or OpenID Connect
 * Discovery, then the mesh's identity as a client there. What was found is in the store,
 * so that a login is found again on any replica; a backend that comes to name another
 * server has other logins.
 */
export class Discovery {
  readonly #options: DiscoveryOptions;
  #known: { readonly found: Found; readonly provider: LoginProvider } | undefined;
  /** Until then the store is not asked again. */
  #checkUntil = 0;
  /** Not looked at yet. */
  #challenge: Challenge | undefined;
  /** When it was followed, the latest last. */
  readonly #asked: number[] = [];
  #failure: { readonly error: MeshError; readonly until: number } | undefined;
  #reading: Promise<LoginProvider | undefined> | undefined;
  #asking: Promise<LoginProvider> | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  get settings(): DiscoverSettings {
    return this.#options.settings;
  }

  /** The latest that this replica knows. */
  get known(): LoginProvider | undefined {
    return this.#known?.provider;
  }

  /** Undefined where `current` has to be asked. */
  get fresh(): LoginProvider | undefined {
    const { clock } = this.#options;
    return this.#challenge === undefined && clock.now() < this.#checkUntil ? this.known : undefined;
  }

  /** The backend answered 401: before the next credential, what it says is followed. */
  challenged(challenge: Challenge): void {
    if (this.#asking !== undefined) return;
    const { clock } = this.#options;
    const [first = 0] = this.#asked;
    const often = this.#asked.length === MOST_ASKED && clock.now() - first < ASKED_WITHIN_MS;
    if (this.#known !== undefined && often) return;
    this.#challenge = challenge;
  }

  /**
   * Undefined while the backend has asked nobody for a credential. Rejects with
   * `credential_unavailable` where something cannot be asked now, and with
   * `backend_unauthorized` where what is said is not acceptable.
   */
  current(): Promise<LoginProvider | undefined> {
    if (this.#challenge !== undefined) return this.#ask(this.#challenge);
    const now = this.#options.clock.now();
    if (this.known === undefined && this.#failure !== undefined && now < this.#failure.until)
      return Promise.reject(this.#failure.error);
    if (now < this.#checkUntil) return Promise.resolve(this.known);
    return this.reread();
  }

  /** As `current`, by what the store has now. */
  reread(): Promise<LoginProvider | undefined> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<LoginProvider | undefined> {
    const { notes, backend, clock } = this.#options;
    try {
      const kept = await notes.read<Found>(this.#name);
      this.#checkUntil = clock.now() + CHECK_MS;
      if (kept !== undefined) return this.#adopt(kept.note);
      this.#known = undefined;
      return undefined;
    } catch {
      if (this.#known === undefined) throw unavailable(backend, 'the store of logins cannot be asked');
      return this.known;
    }
  }

  #ask(challenge: Challenge): Promise<LoginProvider> {
    this.#asking ??= this.#discover(challenge).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #discover(challenge: Challenge): Promise<LoginProvider> {
    const { backend, clock, notes } = this.#options;
    this.#asked.push(clock.now());
    if (this.#asked.length > MOST_ASKED) this.#asked.shift();
    try {
      const before = (await notes.read<Found>(this.#name))?.note;
      const found = await this.#find(challenge, before);
      await notes.put(this.#name, found, KEPT_MS);
      this.#failure = undefined;
      this.#checkUntil = clock.now() + CHECK_MS;
      const provider = this.#adopt(found);
      this.#options.onOutcome({ backend, issuer: found.issuer });
      if (provider === undefined) throw unavailable(backend, 'the configuration has changed meanwhile');
      return provider;
    } catch (thrown) {
      const error = thrown instanceof MeshError ? thrown : unavailable(backend, messageOf(thrown));
      this.#options.onOutcome({ backend, issuer: undefined, cause: error.cause ?? error });
      this.#failure = { error, until: clock.now() + PAUSE_MS * (0.5 + Math.random() / 2) };
      // What held until now holds on; otherwise the backend is asked again, which may say something else by then.
      if (this.#known === undefined) throw error;
      return this.#known.provider;
    } finally {
      this.#challenge = undefined;
    }
  }

  async #find(challenge: Challenge, before: Found | undefined): Promise<Found> {
    const { settings, fetch } = this.#options;
    const { url, timeoutMs } = settings;
    const metadata = await readProtectedResource({
      url,
      fetch,
      timeoutMs,
      metadataUrl: challenge.metadataUrl,
    });
    const issuer = this.#issuerOf(metadata);
    const server = await this.#serverAt(issuer);
    const configured = settings.clients.some((each) => each.issuer === issuer);
    const { backend, clock, notes, redirectUri, documentUrl } = this.#options;
    const client = configured
      ? undefined
      : await clientAt(server, { backend, redirectUri, documentUrl, fetch, notes, clock, timeoutMs });
    // A later 401 need not say again what the first one said.
    const said = challenge.scopes.length === 0 && before?.issuer === issuer ? before.said : challenge.scopes;
    const scopes = this.#scopesOf(said, metadata, server);
    return { said, resource: metadata.resource, issuer, scopes, client };
  }

  /** One that configuration knows, otherwise the first. */
  #issuerOf({ authorizationServers }: ProtectedResource): string {
    const { backend, settings } = this.#options;
    const { clients, url } = settings;
    const known = authorizationServers.find((each) => clients.some(({ issuer }) => issuer === each));
    const issuer = known ?? authorizationServers[0] ?? '';
    if (known === undefined && !isAskable(issuer, url))
      throw refused(backend, 'the backend names an authorization server at no place to be asked');
    return issuer;
  }

  /** Without PKCE nobody may go on (MCP 2025-11-25, Authorization: Authorization Code Protection). */
  async #serverAt(issuer: string): Promise<AuthorizationServer> {
    const { backend } = this.#options;
    const provider = this.#providerAt(issuer, { id: '', auth: 'none' });
    const server = await provider.asking(async (at) => at.server);
    if (server.code_challenge_methods_supported?.includes('S256') !== true)
      throw refused(backend, `${issuer} does not say that it has PKCE with S256`);
    return server;
  }

  #providerAt(issuer: string, client: ClientSettings): OAuthProvider {
    const { backend, fetch, settings } = this.#options;
    return new OAuthProvider({
      settings: providerSettings(issuer, client, settings.timeoutMs),
      backend,
      fetch,
    });
  }

  /** MCP 2025-11-25, Authorization: Scope Selection Strategy; and a refresh token where the server offers one by scope. */
  #scopesOf(
    said: readonly string[],
    { scopesSupported }: ProtectedResource,
    server: AuthorizationServer,
  ): readonly string[] {
    const { scopes } = this.#options.settings;
    const [wanted = []] = [scopes, said, scopesSupported].filter((each) => each.length > 0);
    const offline = wanted.length > 0 && server.scopes_supported?.includes(OFFLINE) === true;
    return [...new Set([...wanted, ...(offline ? [OFFLINE] : [])])];
  }

  /** Undefined where configuration had its client, and has it no more. */
  #adopt(found: Found): LoginProvider | undefined {
    if (this.#known === undefined || !isDeepStrictEqual(this.#known.found, found)) {
      const provider = this.#loginsAt(found);
      this.#known = provider && { found, provider };
    }
    return this.known;
  }

  #loginsAt({ issuer, resource, scopes, client: found }: Found): LoginProvider | undefined {
    const { settings, backend, fetch, clock } = this.#options;
    const configured = settings.clients.find((each) => each.issuer === issuer)?.client;
    const client = configured ?? found;
    if (client === undefined) return undefined;
    return new LoginProvider({
      settings: {
        provider: providerSettings(issuer, client, settings.timeoutMs),
        authorizationEndpoint: undefined,
        login: backend,
        scopes: [],
        resource: [resource],
        parameters: {},
      },
      scopes,
      backend,
      fetch,
      clock,
      ...(configured === undefined ? { onUnknownClient: () => this.#clientGone(issuer, client) } : {}),
    });
  }

  /** The server has forgotten the mesh: it is registered anew with the next 401, and whoever had a login there is asked again. */
  #clientGone(issuer: string, client: ClientSettings): void {
    const { notes, redirectUri } = this.#options;
    const forget = async () => {
      await forgetClient(issuer, client, { notes, redirectUri });
      const kept = await notes.read<Found>(this.#name);
      if (kept !== undefined && isDeepStrictEqual(kept.note.client, client)) await notes.clear(kept);
      this.#checkUntil = 0;
    };
    // A store that cannot be asked now is asked with the next refusal.
    void forget().catch(() => {});
  }

  get #name(): string {
    const { settings, redirectUri } = this.#options;
    const { url, scopes, clientMetadata } = settings;
    return JSON.stringify(['backend', url, redirectUri, scopes, clientMetadata]);
  }
}

const OFFLINE = 'offline_access';

function providerSettings(issuer: string, client: ClientSettings, timeoutMs: number): ProviderSettings {
  return { issuer, tokenEndpoint: undefined, introspectionEndpoint: undefined, client, timeoutMs };
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : 'the metadata cannot be read';
}
