import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { newSecrets } from '../credentials/authorization-code.ts';
import { clientMetadata } from '../credentials/discover-client.ts';
import type { LoginProvider } from '../credentials/login-provider.ts';
import type { LoginName, LoginVault, Sealer, StoredLogin } from '../credentials/login-vault.ts';
import { bindingKeyOf } from '../identity/binding-key.ts';
import {
  anothers,
  astray,
  done,
  failed,
  notFound,
  over,
  type PageAnswer,
  refused,
  wrongMethod,
} from './answers.ts';
import { Cookies, type SignedIn } from './cookies.ts';
import { issuersPage, loginsPage } from './pages.ts';
import type { SignIn } from './sign-in.ts';
import { type Ticket, Tickets } from './tickets.ts';

/** What became of somebody who came to log in, for the people who run the mesh. */
export interface ConnectEvent {
  readonly kind:
    | 'signed_in'
    | 'connected'
    | 'disconnected'
    /** A link was opened by another person than the one it was made for. */
    | 'wrong_principal'
    /** A link was opened a second time. */
    | 'replayed'
    /** A browser came back with something that it was not sent away with. */
    | 'wrong_state'
    /** The provider, or the person, said no. */
    | 'refused'
    /** The provider or the store could not be asked. */
    | 'failed';
  /** Who sits before the browser, where that is known: the binding's canonical bytes. */
  readonly bindingKey?: string | undefined;
  readonly backend?: string | undefined;
  readonly session?: string | undefined;
  /** Fit for a log. */
  readonly cause?: unknown;
}

export interface ConnectOptions {
  readonly clock: Clock;
  /** The origin by which browsers reach every replica. */
  readonly publicUrl: string;
  readonly tickets: Sealer;
  readonly browsers: Sealer;
  readonly vault: LoginVault;
  readonly issuers: readonly SignIn[];
  /** The providers of the configuration as it is now, one for each backend that is known to need a login. Rejects as the store does. */
  readonly providers: () => Promise<readonly LoginProvider[]>;
  /** Those of them that this replica knows without asking. */
  readonly known: () => readonly LoginProvider[];
  /** The backends at whose authorization servers the mesh may be known by its metadata document. */
  readonly documented: () => readonly string[];
  readonly onEvent: (event: ConnectEvent) => void;
}

export interface PageRequest {
  readonly method: string;
  /** With its query, below the public URL. */
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** Of a form. */
  readonly form: URLSearchParams | undefined;
}

const PATH = '/connect/';

/**
 * Logins at third parties, by browser. Whoever opens a link signs in at the mesh's own
 * issuer first and goes on only if it is the very principal that the link was made for:
 * otherwise one person's account would end up in another's hands (MCP 2025-11-25,
 * Elicitation, Phishing). Any replica serves any step.
 */
export class Connect {
  readonly #options: ConnectOptions;
  readonly #tickets: Tickets;
  readonly #cookies: Cookies;

  constructor(options: ConnectOptions) {
    const { clock, vault, tickets, browsers, publicUrl } = options;
    this.#options = options;
    this.#tickets = new Tickets({ clock, vault, sealer: tickets });
    this.#cookies = new Cookies({ clock, sealer: browsers, secure: publicUrl.startsWith('https:') });
  }

  /** Where a person sees and ends logins. */
  static home(publicUrl: string): string {
    return `${publicUrl}${PATH}`;
  }

  static signInRedirect(publicUrl: string): string {
    return `${publicUrl}${PATH}signed-in`;
  }

  /** What the provider of this login must know as the mesh's redirect URI. */
  static loginRedirect(publicUrl: string, login: string): string {
    return `${publicUrl}${PATH}authorized/${login}`;
  }

  /** Where the metadata of the mesh as a client is, by which an authorization server knows it (OAuth Client ID Metadata Document). */
  static clientDocument(publicUrl: string, login: string): string {
    return `${publicUrl}${PATH}client/${login}`;
  }

  /** A link for this principal alone; undefined where the backend needs no login, or the principal cannot sign in. */
  invite(what: Pick<Ticket, 'bindingKey' | 'backend' | 'session' | 'scopes'>): string | undefined {
    const [issuer] = JSON.parse(what.bindingKey) as [string];
    const provider = this.#options.known().find(({ backend }) => backend === what.backend);
    // Whoever comes from elsewhere could never prove who they are here.
    if (!this.#options.issuers.some((each) => each.issuer === issuer)) return undefined;
    return provider && this.#link({ ...what, provider: provider.key });
  }

  /** Never rejects. */
  async answer(request: PageRequest): Promise<PageAnswer> {
    try {
      return await this.#route(request);
    } catch (thrown) {
      this.#options.onEvent({ kind: 'failed', cause: thrown });
      return failed(503);
    }
  }

  #route(request: PageRequest): Promise<PageAnswer> | PageAnswer {
    const path = request.url.pathname.slice(PATH.length);
    if (!request.url.pathname.startsWith(PATH)) return notFound();
    if (path === 'disconnect') return request.method === 'POST' ? this.#disconnect(request) : wrongMethod();
    if (request.method !== 'GET') return wrongMethod();
    if (path === '') return this.#home(request);
    if (path === 'done') return done();
    if (path === 'signed-in') return this.#signedIn(request);
    if (path.startsWith('client/')) return this.#document(path.slice('client/'.length));
    if (path.startsWith('authorized/')) return this.#authorized(request, path.slice('authorized/'.length));
    return path.includes('/') ? notFound() : this.#open(request, path);
  }

  #document(login: string): PageAnswer {
    const { publicUrl, documented } = this.#options;
    if (!documented().includes(login)) return notFound();
    const metadata = clientMetadata(Connect.loginRedirect(publicUrl, login), 'none');
    const document = { client_id: Connect.clientDocument(publicUrl, login), ...metadata };
    return { status: 200, document: JSON.stringify(document) };
  }

  /** A link was opened. */
  async #open(request: PageRequest, text: string): Promise<PageAnswer> {
    const ticket = this.#tickets.open(text);
    const provider = ticket && (await this.#options.providers()).find((each) => this.#isFor(ticket, each));
    if (ticket === undefined || provider === undefined) return over();
    const browser = this.#cookies.signedIn(request.headers);
    if (browser === undefined) {
      const [issuer] = JSON.parse(ticket.bindingKey) as [string];
      return this.#signIn(issuer, `${PATH}${text}`);
    }
    const { backend, session } = ticket;
    const facts = { bindingKey: browser.bindingKey, backend, session };
    if (browser.bindingKey !== ticket.bindingKey) {
      this.#options.onEvent({ kind: 'wrong_principal', ...facts });
      return { ...anothers(), cookies: [this.#cookies.signOut()] };
    }
    if (!(await this.#tickets.spend(ticket))) {
      this.#options.onEvent({ kind: 'replayed', ...facts });
      return over();
    }
    return this.#leave(ticket, provider, browser);
  }

  /** Off to the provider. */
  async #leave(ticket: Ticket, provider: LoginProvider, browser: SignedIn): Promise<PageAnswer> {
    const { backend, session, bindingKey, scopes = provider.scopes } = ticket;
    const secrets = newSecrets();
    const redirectUri = this.#loginRedirect(provider);
    try {
      const url = await provider.authorizationUrl({ ...secrets, redirectUri, scopes });
      // What is asked at first the provider knows: there may be more of it than a cookie holds.
      const what = { backend, provider: provider.key, session, scopes: ticket.scopes };
      const cookie = this.#cookies.begin<'login'>({
        ...secrets,
        kind: 'login',
        ...what,
        browser: browser.id,
      });
      return { status: 303, location: url.href, cookies: [cookie] };
    } catch (cause) {
      this.#options.onEvent({ kind: 'failed', bindingKey, backend, session, cause });
      return failed(502);
    }
  }

  /** Back from the provider. */
  async #authorized({ url, headers }: PageRequest, login: string): Promise<PageAnswer> {
    const journey = this.#cookies.journey(headers, 'login', url.searchParams.get('state') ?? '');
    const browser = this.#cookies.signedIn(headers);
    const lost = () => {
      this.#options.onEvent({ kind: 'wrong_state', bindingKey: browser?.bindingKey });
      return astray();
    };
    // The store is asked nothing for whoever only knows the address.
    if (journey === undefined || browser?.id !== journey.browser) return lost();
    const provider = (await this.#options.providers()).find(
      (each) => this.#isFor(journey, each) && each.name === login,
    );
    if (provider === undefined) return lost();
    const { bindingKey } = browser;
    const { backend, session, scopes = provider.scopes } = journey;
    const cookies = [this.#cookies.end(journey)];
    try {
      const redirectUri = this.#loginRedirect(provider);
      const made = await provider.redeem({ ...journey, scopes, redirectUri, url });
      await this.#keep({ bindingKey, provider: provider.key }, made, journey.scopes !== undefined);
    } catch (cause) {
      const refusal = isRefusal(cause);
      this.#options.onEvent({ kind: refusal ? 'refused' : 'failed', bindingKey, backend, session, cause });
      return { ...(refusal ? refused() : failed(502)), cookies };
    }
    this.#options.onEvent({ kind: 'connected', bindingKey, backend, session });
    return { status: 303, location: `${this.#options.publicUrl}${PATH}done`, cookies };
  }

  /** How often more was asked for is counted from the first login on. */
  async #keep(name: LoginName, made: StoredLogin, more: boolean): Promise<void> {
    const { vault } = this.#options;
    const before = more ? ((await vault.read(name))?.login.stepUps ?? 0) : undefined;
    await vault.put(name, before === undefined ? made : { ...made, stepUps: before + 1 });
  }

  /** Off to the mesh's own issuer, and back to `next`. */
  async #signIn(issuer: string, next: string): Promise<PageAnswer> {
    const at = this.#options.issuers.find((each) => each.issuer === issuer);
    if (at === undefined) return failed(502);
    const secrets = newSecrets();
    try {
      const url = await at.url(secrets);
      const cookie = this.#cookies.begin<'sign-in'>({ ...secrets, kind: 'sign-in', issuer, next });
      return { status: 303, location: url.href, cookies: [cookie] };
    } catch (cause) {
      this.#options.onEvent({ kind: 'failed', cause });
      return failed(502);
    }
  }

  /** Back from the mesh's own issuer. */
  async #signedIn({ url, headers }: PageRequest): Promise<PageAnswer> {
    const journey = this.#cookies.journey(headers, 'sign-in', url.searchParams.get('state') ?? '');
    const issuer = this.#options.issuers.find((each) => each.issuer === journey?.issuer);
    if (journey === undefined || issuer === undefined) {
      this.#options.onEvent({ kind: 'wrong_state' });
      return astray();
    }
    const end = this.#cookies.end(journey);
    try {
      const binding = await issuer.who(journey, url);
      if (binding === undefined) throw new Error('the issuer does not say who this is');
      const bindingKey = bindingKeyOf(binding);
      this.#options.onEvent({ kind: 'signed_in', bindingKey });
      const cookies = [end, this.#cookies.signIn(bindingKey)];
      return { status: 303, location: `${this.#options.publicUrl}${journey.next}`, cookies };
    } catch (cause) {
      const refusal = isRefusal(cause);
      this.#options.onEvent({ kind: refusal ? 'refused' : 'failed', cause });
      return { ...(refusal ? refused() : failed(502)), cookies: [end] };
    }
  }

  async #home({ url, headers }: PageRequest): Promise<PageAnswer> {
    const browser = this.#cookies.signedIn(headers);
    if (browser === undefined) return this.#choose(url.searchParams.get('issuer'));
    const { bindingKey, form } = browser;
    const logins = await this.#logins();
    const rows = await Promise.all(
      logins.map(async (provider) => {
        const { name, key, backend } = provider;
        const kept = (await this.#options.vault.read({ bindingKey, provider: key })) !== undefined;
        const link = this.#link({ bindingKey, provider: key, backend, session: '' });
        return { login: name, kept, link };
      }),
    );
    const action = `${this.#options.publicUrl}${PATH}disconnect`;
    return { status: 200, html: loginsPage(rows, { form, action }) };
  }

  #choose(wanted: string | null): Promise<PageAnswer> | PageAnswer {
    const { issuers, publicUrl } = this.#options;
    const [only, ...others] = issuers;
    const chosen = others.length === 0 ? only : issuers.find(({ issuer }) => issuer === wanted);
    if (chosen !== undefined) return this.#signIn(chosen.issuer, PATH);
    const link = (issuer: string) => `${publicUrl}${PATH}?issuer=${encodeURIComponent(issuer)}`;
    return { status: 200, html: issuersPage(issuers.map(({ issuer }) => ({ issuer, link: link(issuer) }))) };
  }

  async #disconnect({ headers, form }: PageRequest): Promise<PageAnswer> {
    const browser = this.#cookies.signedIn(headers);
    if (browser === undefined || !isSame(form?.get('form') ?? '', browser.form)) return astray();
    const provider = (await this.#logins()).find(({ name }) => name === form?.get('login'));
    const { bindingKey } = browser;
    if (provider !== undefined) {
      const { vault } = this.#options;
      const kept = await vault.read({ bindingKey, provider: provider.key });
      if (kept !== undefined) {
        await vault.clear(kept);
        this.#options.onEvent({ kind: 'disconnected', bindingKey, backend: provider.backend });
        // Gone here in any case; a provider that cannot be told lets it end by itself.
        await provider.revoke(kept.login).catch(() => {});
      }
    }
    return { status: 303, location: `${this.#options.publicUrl}${PATH}` };
  }

  /** Backends that share a login are one. */
  async #logins(): Promise<readonly LoginProvider[]> {
    const providers = await this.#options.providers();
    return [...new Map(providers.map((each) => [each.key, each])).values()];
  }

  #isFor(
    { backend, provider }: Pick<Ticket, 'backend' | 'provider'>,
    each: Pick<LoginProvider, 'backend' | 'key'>,
  ): boolean {
    return backend === each.backend && provider === each.key;
  }

  #link(what: Omit<Ticket, 'id' | 'expiresAt'>): string {
    return `${this.#options.publicUrl}${PATH}${this.#tickets.issue(what)}`;
  }

  #loginRedirect({ name }: LoginProvider): string {
    return Connect.loginRedirect(this.#options.publicUrl, name);
  }
}

function isRefusal(thrown: unknown): boolean {
  return thrown instanceof MeshError && thrown.reason === 'backend_unauthorized';
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
