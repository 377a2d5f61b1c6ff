import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Algorithm = 'ES256' | 'RS256' | 'EdDSA';
export type PublicJwk = Readonly<Record<string, unknown>> & { readonly kid: string };

/** What the issuer does when its keys are asked for. */
export type Outage =
  | 'none'
  /** Connections are cut. */
  | 'down'
  /** Answers never come. */
  | 'slow'
  | 'error'
  | 'garbage'
  | 'empty'
  /** Redirects to itself. */
  | 'redirect';

export interface TokenOptions {
  readonly sub?: string;
  readonly aud?: string | readonly string[];
  readonly scope?: string;
  /** Seconds since the epoch; five minutes from now when absent. */
  readonly exp?: unknown;
  /** Further claims, or other values for those above; `undefined` leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Over the default header; `undefined` leaves a member out. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Makes another signature over the signing input, for forgeries. */
  readonly signature?: (input: string) => Buffer;
}

export interface TestIssuer extends AsyncDisposable {
  /** `iss`, and the base of the metadata. */
  readonly url: string;
  readonly jwksUri: string;
  readonly audience: string;
  /** The public half of the current key. */
  readonly publicJwk: PublicJwk;
  /** Answers so far, by path; those during an outage count too. */
  readonly fetches: { readonly keys: number; readonly metadata: number };
  /** Signs an access token (RFC 9068) for `alice`, unless told otherwise. */
  token(options?: TokenOptions): string;
  /** Signs with a new key from now on. The old one stays published unless `withdraw` is set. */
  rotate(options?: { readonly algorithm?: Algorithm; readonly withdraw?: boolean }): void;
  outage(kind: Outage): void;
  stop(): Promise<void>;
}

export interface IssuerOptions {
  /** ES256 when absent. */
  readonly algorithm?: Algorithm;
  readonly audience?: string;
}

interface SigningKey {
  readonly algorithm: Algorithm;
  readonly jwk: PublicJwk;
  readonly privateKey: KeyObject;
}

/** A real token issuer over HTTP on loopback: keys, metadata, tokens, and the ways in which it fails. */
export async function startIssuer(options: IssuerOptions = {}): Promise<TestIssuer> {
  const { algorithm = 'ES256', audience = 'https://mesh.example/mcp' } = options;
  let current = makeKey(algorithm, 1);
  let published: readonly SigningKey[] = [current];
  let outage: Outage = 'none';
  let keysMade = 1;
  const fetches = { keys: 0, metadata: 0 };

  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const kind =
      path === '/keys' ? 'keys' : path === '/.well-known/openid-configuration' ? 'metadata' : undefined;
    if (kind === undefined) return sendJson(response, 404, {});
    fetches[kind] += 1;
    if (outage === 'slow') return;
    if (outage !== 'none') return misbehave(response, outage);
    const metadata = { issuer: url, jwks_uri: `${url}/keys`, response_types_supported: ['code'] };
    sendJson(response, 200, kind === 'metadata' ? metadata : { keys: published.map(({ jwk }) => jwk) });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return {
    url,
    jwksUri: `${url}/keys`,
    audience,
    get publicJwk() {
      return current.jwk;
    },
    fetches,
    token: (asked = {}) => signToken(current, url, { aud: audience, ...asked }),
    rotate(change = {}) {
      keysMade += 1;
      const next = makeKey(change.algorithm ?? current.algorithm, keysMade);
      published = change.withdraw === true ? [next] : [next, ...published];
      current = next;
    },
    outage(kind) {
      outage = kind;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function signToken(key: SigningKey, issuer: string, options: TokenOptions): string {
  const now = Math.floor(Date.now() / 1000);
  const { sub = 'alice', aud, scope, exp = now + 300, claims } = options;
  const header = { alg: key.algorithm, typ: 'at+jwt', kid: key.jwk.kid, ...options.header };
  const payload = { iss: issuer, sub, aud, scope, iat: now, exp, jti: crypto.randomUUID(), ...claims };
  const input = `${encode(header)}.${encode(payload)}`;
  const signature = options.signature?.(input) ?? signBytes(key, input);
  return `${input}.${signature.toString('base64url')}`;
}

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

/** RFC 7518 §3.3 and §3.4, RFC 8037 §3.1. */
function signBytes({ algorithm, privateKey }: SigningKey, input: string): Buffer {
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  return sign(digest, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
}

function makeKey(algorithm: Algorithm, serial: number): SigningKey {
  const { publicKey, privateKey } = makePair(algorithm);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: `key-${serial}`, alg: algorithm, use: 'sig' };
  return { algorithm, jwk, privateKey };
}

function makePair(algorithm: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'EdDSA':
      return generateKeyPairSync('ed25519');
  }
}

function misbehave(response: ServerResponse, outage: Exclude<Outage, 'none' | 'slow'>): void {
  switch (outage) {
    case 'down':
      response.socket?.destroy();
      return;
    case 'error':
      sendJson(response, 500, {});
      return;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'application/json' }).end('<html>');
      return;
    case 'empty':
      sendJson(response, 200, { keys: [] });
      return;
    case 'redirect':
      response.writeHead(302, { location: '/keys' }).end();
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
