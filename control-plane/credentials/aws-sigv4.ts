import { createHash } from 'node:crypto';
import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import type { AwsSettings } from '../credential-settings.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import type { Issued } from './credential-cache.ts';
import { callersOwn, type StrategyEnvironment } from './issuing-strategy.ts';
import { refused, unavailable } from './refusals.ts';
import type { CredentialStrategy, RequestSigner } from './strategy.ts';

/** Temporary credentials for the caller's token (STS AssumeRoleWithWebIdentity), and a signature of each request with them (AWS Signature Version 4). */
export function createAwsStrategy(
  settings: AwsSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  return callersOwn('aws_sigv4', environment, async (caller): Promise<Issued> => {
    const assumed = await assumeRole(settings, environment, caller);
    const expiresAt = Math.min(assumed.expiresAt, caller.expiresAt);
    return { credential: signer(settings, assumed), expiresAt };
  });
}

interface Assumed {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

async function assumeRole(
  settings: AwsSettings,
  { backend, fetch, clock }: StrategyEnvironment,
  caller: CallerIdentity,
): Promise<Assumed> {
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: settings.roleArn,
    RoleSessionName: sessionName(caller),
    DurationSeconds: String(Math.floor(settings.durationMs / 1_000)),
    WebIdentityToken: caller.token,
  });
  const response = await fetch(settings.stsEndpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/xml' },
    body: form.toString(),
    signal: AbortSignal.timeout(settings.timeoutMs),
  }).catch((error: unknown) => {
    throw unavailable(backend, `STS failed: ${error instanceof Error ? error.name : 'error'}`);
  });
  const text = await response.text();
  if (response.status !== 200) throw refusalOf(backend, response.status, text);
  return readAssumed(text, { backend, caller, now: clock.now() });
}

/** Tells people apart in the trail of the account without saying who they are. */
function sessionName({ bindingKey }: CallerIdentity): string {
  return `outrigger-${createHash('sha256').update(bindingKey).digest('hex').slice(0, 32)}`;
}

function readAssumed(
  text: string,
  { backend, caller, now }: { backend: string; caller: CallerIdentity; now: number },
): Assumed {
  const subject = element(text, 'SubjectFromWebIdentityToken');
  if (subject !== undefined && subject !== caller.binding.subject)
    throw refused(backend, 'credentials for another subject');
  const [accessKeyId, secretAccessKey, sessionToken, expiration] = [
    'AccessKeyId',
    'SecretAccessKey',
    'SessionToken',
    'Expiration',
  ].map((name) => element(text, name) ?? '');
  const expiresAt = Date.parse(expiration ?? '');
  if (!accessKeyId || !secretAccessKey || !sessionToken || !(expiresAt > now))
    throw unavailable(backend, 'STS answered with something that is no credentials');
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt };
}

/** STS's own codes; an outage and too many requests are nobody's refusal. */
function refusalOf(backend: string, status: number, text: string): Error {
  const code = element(text, 'Code') ?? '';
  const said = `STS answered ${/^\w{1,60}$/.test(code) ? code : 'an error'} (${status})`;
  const transient = status >= 500 || status === 429 || /^(Throttling|IDPCommunicationError)/.test(code);
  return transient ? unavailable(backend, said) : refused(backend, said);
}

/** A leaf of STS's answer: its names are fixed, and its values hold nothing that XML would escape but entities. */
function element(text: string, name: string): string | undefined {
  const value = new RegExp(`<${name}>([^<]{1,16384})</${name}>`).exec(text)?.[1];
  return value?.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: keyof typeof ENTITIES) => ENTITIES[entity]);
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" } as const;

function signer({ region, service }: AwsSettings, credentials: Assumed): RequestSigner {
  const signature = new SignatureV4({ region, service, credentials, sha256: Sha256 });
  return async ({ method, url, headers, body }) => {
    const signed = await signature.sign({
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: queryOf(url),
      headers: { ...headers, host: url.host },
      body,
    });
    const { host: _host, ...all } = signed.headers;
    return Object.fromEntries(Object.entries(all).filter(([name]) => headers[name] === undefined));
  };
}

function queryOf(url: URL): Record<string, string[]> {
  const query: Record<string, string[]> = {};
  for (const name of new Set(url.searchParams.keys())) query[name] = url.searchParams.getAll(name);
  return query;
}
