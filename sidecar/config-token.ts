import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { isLoopbackHost } from '../shared/config/hosts.ts';
import type { Environment, Problem } from '../shared/config/variables.ts';
import { conceal } from '../shared/redact.ts';
import type { ConfigFile } from './config-schema.ts';
import type { ClientProof, TokenGrant } from './credentials/token-grant.ts';

/** The sidecar's own token: its file, the token itself, or who grants it. */
export type TokenSource =
  | { readonly file: string }
  | { readonly value: string }
  | { readonly grant: TokenGrant };

interface Sources {
  /** Relative paths start here. */
  readonly folder: string;
  readonly env: Environment;
  readonly problem: Report;
}

type Report = (path: Problem['path'], message: string) => void;
type Token = NonNullable<ConfigFile['token']>;
type Grant = NonNullable<Token['clientCredentials']>;

/** Problems are reported and leave an empty value in their place. */
export function resolveToken(token: Token, sources: Sources): TokenSource {
  if (token.file !== undefined) return { file: resolve(sources.folder, token.file) };
  if (token.clientCredentials !== undefined) return { grant: resolveGrant(token.clientCredentials, sources) };
  return { value: variable(token.env ?? '', ['token', 'env'], sources) };
}

function resolveGrant(grant: Grant, sources: Sources): TokenGrant {
  const { tokenEndpoint, clientId, scopes, resource, audience } = grant;
  checkEndpoint(tokenEndpoint, sources.problem);
  return { tokenEndpoint, clientId, scopes, resource, audience, proof: resolveProof(grant, sources) };
}

/** A client's secret goes there: in plain text to this machine only. */
function checkEndpoint(tokenEndpoint: string, problem: Report): void {
  const url = URL.canParse(tokenEndpoint) ? new URL(tokenEndpoint) : undefined;
  const safe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackHost(url.hostname));
  if (!safe) problem([...GRANT, 'tokenEndpoint'], 'expected an https URL, or http on loopback');
}

function resolveProof(grant: Grant, { folder, env, problem }: Sources): ClientProof {
  const { clientSecret, clientSecretIn, privateKey, workloadToken } = grant;
  if (privateKey !== undefined) {
    return { kind: 'key', file: resolve(folder, privateKey.file), keyId: privateKey.keyId };
  }
  if (workloadToken !== undefined) return { kind: 'workload', file: resolve(folder, workloadToken.file) };
  const value = readSecret(clientSecret ?? {}, [...GRANT, 'clientSecret'], { folder, env, problem });
  return { kind: 'secret', value, in: clientSecretIn };
}

const GRANT = ['token', 'clientCredentials'] as const;

export type SecretSource = NonNullable<Grant['clientSecret']>;

/** A secret out of a file or the environment; never printed from now on. */
export function readSecret(source: SecretSource, path: Problem['path'], sources: Sources): string {
  const { file, env = '' } = source;
  const value =
    file === undefined
      ? variable(env, [...path, 'env'], sources)
      : secretFile(resolve(sources.folder, file), [...path, 'file'], sources.problem);
  conceal(value);
  return value;
}

function variable(
  name: string,
  path: Problem['path'],
  { env, problem }: Pick<Sources, 'env' | 'problem'>,
): string {
  const value = env[name] ?? '';
  if (value === '') problem(path, `the environment variable ${name} is not set`);
  return value;
}

function secretFile(file: string, path: Problem['path'], problem: Report): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    problem(path, 'cannot be read');
    return '';
  }
}
