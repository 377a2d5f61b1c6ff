import type { ProviderSettings } from '../credential-settings.ts';
import {
  type AuthorizationSecrets,
  authorizationUrl,
  redeemCode,
} from '../credentials/authorization-code.ts';
import { OAuthProvider, type ProviderFetch } from '../credentials/oauth-provider.ts';
import type { IdentityBinding } from '../identity/caller.ts';

export interface SignInSettings {
  /** One of the mesh's own issuers; the mesh is its client here. */
  readonly provider: ProviderSettings & { readonly issuer: string };
  readonly scopes: readonly string[];
  /** The claim that names the tenant, as in the tokens of its callers. */
  readonly tenantClaim: string | undefined;
}

export interface SignInOptions {
  readonly settings: SignInSettings;
  readonly fetch: ProviderFetch;
  readonly redirectUri: string;
}

/** One of the mesh's own issuers, asked who sits before a browser (OpenID Connect Core 1.0, section 3.1). */
export class SignIn {
  readonly issuer: string;
  readonly #options: SignInOptions;
  readonly #provider: OAuthProvider;

  constructor(options: SignInOptions) {
    const { provider } = options.settings;
    this.issuer = provider.issuer;
    this.#options = options;
    this.#provider = new OAuthProvider({ settings: provider, backend: 'sign-in', fetch: options.fetch });
  }

  url(secrets: AuthorizationSecrets): Promise<URL> {
    const { redirectUri, settings } = this.#options;
    return authorizationUrl(this.#provider, { ...secrets, redirectUri, scopes: settings.scopes });
  }

  /** Who came back; undefined where the issuer does not say all of it. Rejects as `OAuthProvider` does. */
  async who(secrets: AuthorizationSecrets, url: URL): Promise<IdentityBinding | undefined> {
    const { redirectUri, settings } = this.#options;
    const { claims } = await redeemCode(this.#provider, { ...secrets, redirectUri, url, identity: true });
    const { tenantClaim } = settings;
    const tenant = tenantClaim === undefined ? '' : claims?.[tenantClaim];
    if (claims === undefined || typeof tenant !== 'string') return undefined;
    if (tenantClaim !== undefined && tenant === '') return undefined;
    return { issuer: this.issuer, subject: claims.sub, tenant };
  }
}
