import * as oauth from 'oauth4webapi';
import type { Clock } from '../../shared/clock.ts';
import { isLoopbackUrl } from '../../shared/config/hosts.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { IntrospectionSettings, IssuerSettings } from '../settings.ts';
import { type Fetch, fetchMetadata, metadataUrl, readBounded } from './issuer-documents.ts';

export type { IntrospectionResponse } from 'oauth4webapi';

/** Questions that one issuer is asked at a time; strangers with made-up tokens cannot cause more. */
const MOST_AT_ONCE = 64;
/** After a question without an answer the issuer is left alone for this long. */
const COOLDOWN_MS = 1_000;

interface IntrospectorOptions {
  readonly issuer: IssuerSettings;
  readonly settings: IntrospectionSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetch: Fetch;
}

/**
 * Asks one issuer what a token is (RFC 7662). Whatever is not a clear answer is
 * `unavailable`: only the issuer itself can say that a token is no good.
 */
export class Introspector {
  readonly #options: IntrospectorOptions;
  #endpoint: Promise<string> | undefined;
  #running = 0;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(options: IntrospectorOptions) {
    this.#options = options;
  }

  /** What the issuer says of the token; undefined where it is not active. Rejects with `unavailable`. */
  async ask(token: string): Promise<oauth.IntrospectionResponse | undefined> {
    const { clock, log, issuer } = this.#options;
    if (this.#running >= MOST_AT_ONCE || clock.now() < this.#failedAt + COOLDOWN_MS) throw unavailable();
    this.#running += 1;
    try {
      const answer = await this.#ask(token);
      return answer.active ? answer : undefined;
    } catch (thrown) {
      this.#failedAt = clock.now();
      this.#endpoint = undefined;
      // The library's errors carry what the endpoint answered: neither they nor their causes are kept.
      const code: unknown = Reflect.get(Object(thrown), 'code');
      const why = typeof code === 'string' ? code : thrown instanceof Error ? thrown.message : 'unknown';
      log.warn('an issuer could not be asked about a token', {
        issuer: issuer.issuer,
        error: new Error(why),
      });
      throw unavailable();
    } finally {
      this.#running -= 1;
    }
  }

  async #ask(token: string): Promise<oauth.IntrospectionResponse> {
    const { issuer, settings, fetch } = this.#options;
    const signal = AbortSignal.timeout(settings.timeoutMs);
    this.#endpoint ??= this.#discover(signal);
    const endpoint = await this.#endpoint;
    const server: oauth.AuthorizationServer = { issuer: issuer.issuer, introspection_endpoint: endpoint };
    const client: oauth.Client = { client_id: settings.clientId };
    const authentication =
      settings.authentication === 'post'
        ? oauth.ClientSecretPost(settings.clientSecret)
        : oauth.ClientSecretBasic(settings.clientSecret);
    const response = await oauth.introspectionRequest(server, client, authentication, token, {
      signal,
      additionalParameters: { token_type_hint: 'access_token' },
      [oauth.allowInsecureRequests]: isLoopbackUrl(endpoint),
      [oauth.customFetch]: (url, init) => bounded(fetch, url, init),
    });
    return oauth.processIntrospectionResponse(server, client, response);
  }

  async #discover(signal: AbortSignal): Promise<string> {
    const { issuer, settings, fetch } = this.#options;
    if (settings.endpoint !== undefined) return settings.endpoint;
    const metadata = await fetchMetadata({ issuer: issuer.issuer, fetch, signal });
    return metadataUrl(metadata, { issuer: issuer.issuer, member: 'introspection_endpoint' });
  }
}

/** The answer with a body of bounded size. */
async function bounded(
  fetch: Fetch,
  url: string,
  init: oauth.CustomFetchOptions<'POST', URLSearchParams>,
): Promise<Response> {
  const { signal, ...request } = init;
  const response = await fetch(url, { ...request, ...(signal === undefined ? {} : { signal }) });
  const { status, headers } = response;
  return new Response(await readBounded(response), { status, headers });
}

function unavailable(): MeshError {
  return new MeshError('unavailable', 'Access tokens cannot be verified at the moment.', {
    retryAfterMs: COOLDOWN_MS,
  });
}
