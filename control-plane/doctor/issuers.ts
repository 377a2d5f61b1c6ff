import type { Finding } from '../../shared/findings.ts';
import { redact } from '../../shared/redact.ts';
import { type Fetch, fetchKeys, fetchMetadata } from '../identity/issuer-documents.ts';
import type { IssuerSettings } from '../settings.ts';
import { clockFinding, skewOf } from './clock.ts';
import { count } from './surroundings.ts';

/** A Date header has whole seconds (RFC 9110 §5.6.7). */
const GRAIN_MS = 1_000;

/** The issuer's documents, fetched as a replica fetches them, and its clock. */
export async function checkIssuer(
  settings: IssuerSettings,
  { toleranceMs }: { readonly toleranceMs: number },
): Promise<Finding[]> {
  const clock = new HeardClock();
  const { issuer, jwksUri } = settings;
  const request = () => ({ issuer, fetch: clock.fetch, signal: AbortSignal.timeout(settings.jwksTimeoutMs) });
  const [metadata, keys] = await Promise.allSettled([
    fetchMetadata(request()),
    fetchKeys({ ...request(), jwksUri }),
  ]);
  const findings = [keysFinding(settings, keys), metadataFinding(settings, metadata)];
  const { skewMs } = clock;
  if (skewMs !== undefined) {
    const beyond = 'tokens are refused as expired, or as of the future';
    findings.push(clockFinding({ of: issuer, skewMs }, { boundMs: toleranceMs, beyond }));
  }
  return findings.filter((each) => each !== undefined);
}

type Outcome<Value> = PromiseSettledResult<Value>;

function keysFinding(
  { issuer, jwksUri, algorithms }: IssuerSettings,
  keys: Outcome<Awaited<ReturnType<typeof fetchKeys>>>,
): Finding {
  const finding = { check: 'issuer', of: issuer } as const;
  const where = jwksUri === undefined ? 'the jwks_uri of its metadata' : 'jwksUri';
  if (keys.status === 'rejected') {
    const remedy = `see that this machine reaches ${where} and that the issuer in the configuration is written exactly as its tokens have it in iss`;
    return { ...finding, status: 'failed', detail: `its keys cannot be had: ${why(keys.reason)}`, remedy };
  }
  const usable = keys.value.keys.filter(({ alg, use }) => {
    return (alg === undefined || algorithms.includes(alg)) && use !== 'enc';
  });
  if (usable.length > 0) return { ...finding, status: 'ok', detail: count(usable.length, 'usable key') };
  const remedy = `let it sign with one of ${algorithms.join(', ')}, or name its algorithm under algorithms`;
  return { ...finding, status: 'failed', detail: 'none of its keys is for an allowed algorithm', remedy };
}

/** Where the keys are named in the configuration, the metadata is for the agents alone, who find their way by it. */
function metadataFinding(
  { issuer, jwksUri }: IssuerSettings,
  metadata: Outcome<unknown>,
): Finding | undefined {
  // Without jwksUri the keys are found by it, and their finding says so already.
  if (metadata.status === 'fulfilled' || jwksUri === undefined) return undefined;
  return {
    check: 'issuer',
    of: issuer,
    status: 'warning',
    detail: `agents cannot find out how to log in: ${why(metadata.reason)}`,
    remedy:
      'publish metadata under the very name that the configuration has (OpenID Connect Discovery, RFC 8414)',
  };
}

function why(error: unknown): string {
  if (!(error instanceof Error)) return 'it does not answer';
  const cause: unknown = error.cause;
  const code: unknown = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
  return redact(typeof code === 'string' ? `${error.message} (${code})` : error.message);
}

/** Listens to the Date of answers that pass. */
class HeardClock {
  skewMs: number | undefined;

  readonly fetch: Fetch = async (url, init) => {
    const asked = Date.now();
    const response = await fetch(url, init);
    const date = Date.parse(response.headers.get('date') ?? '');
    if (!Number.isNaN(date)) this.skewMs = skewOf(date, { asked, heard: Date.now(), grainMs: GRAIN_MS });
    return response;
  };
}
