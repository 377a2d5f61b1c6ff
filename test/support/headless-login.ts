import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens,
} from '@modelcontextprotocol/sdk/shared/auth.js';

const MOST_REDIRECTS = 12;

/**
 * The person and the browser of an MCP client: follows the authorization page wherever it leads, keeps its
 * cookies, and brings back the code. All else is the SDK's own.
 */
export class HeadlessLogin implements OAuthClientProvider {
  readonly redirectUrl = 'http://127.0.0.1/callback';
  readonly clientMetadata: OAuthClientMetadata;
  /** Every authorization URL that the SDK sent the browser to. */
  readonly visited: URL[] = [];
  /** What the browser came back with. */
  code: string | undefined;
  #information: OAuthClientInformationMixed | undefined;
  #tokens: OAuthTokens | undefined;
  #verifier = '';

  constructor() {
    this.clientMetadata = {
      client_name: 'a headless agent',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code'],
      token_endpoint_auth_method: 'none',
    };
  }

  clientInformation(): OAuthClientInformationMixed | undefined {
    return this.#information;
  }

  saveClientInformation(information: OAuthClientInformationMixed): void {
    this.#information = information;
  }

  tokens(): OAuthTokens | undefined {
    return this.#tokens;
  }

  saveTokens(tokens: OAuthTokens): void {
    this.#tokens = tokens;
  }

  saveCodeVerifier(verifier: string): void {
    this.#verifier = verifier;
  }

  codeVerifier(): string {
    return this.#verifier;
  }

  async redirectToAuthorization(authorization: URL): Promise<void> {
    this.visited.push(authorization);
    const cookies = new Map<string, string>();
    for (let at = authorization, hops = 0; hops < MOST_REDIRECTS; hops += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const response = await fetch(at, { redirect: 'manual', headers: { cookie } });
      for (const set of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
        cookies.set(name, value);
      }
      const location = response.headers.get('location');
      if (location === null) throw new Error(`the login ends at ${at.pathname} with ${response.status}`);
      at = new URL(location, at);
      if (!at.href.startsWith(this.redirectUrl)) continue;
      this.code = at.searchParams.get('code') ?? undefined;
      return;
    }
    throw new Error('the login does not end');
  }
}
