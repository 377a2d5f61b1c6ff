import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as oauth from 'oauth4webapi';

/** How the sidecar's own client proves itself to the token endpoint. */
export type ClientProof =
  /** RFC 6749 §2.3.1, in the Authorization header or in the body. */
  | { readonly kind: 'secret'; readonly value: string; readonly in: 'header' | 'body' }
  /** RFC 7523 §2.2: an assertion signed with this key, PKCS #8 in PEM; the file is read for each request. */
  | { readonly kind: 'key'; readonly file: string; readonly keyId: string | undefined }
  /** RFC 7523 §2.2: an assertion that somebody else signs and renews, such as a projected service account token. */
  | { readonly kind: 'workload'; readonly file: string };

/** A client credentials grant (RFC 6749 §4.4) for the sidecar itself. */
export interface TokenGrant {
  readonly tokenEndpoint: string;
  readonly clientId: string;
  readonly proof: ClientProof;
  readonly scopes: readonly string[];
  /** RFC 8707: the mesh's own resource. */
  readonly resource: string | undefined;
  /** What some servers want in the place of a resource. */
  readonly audience: string | undefined;
}

export interface GrantedToken {
  readonly token: string;
  /** Seconds; undefined where the server does not say. */
  readonly lifeS: number | undefined;
}

const REQUEST_MS = 10_000;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Asks once. Rejects with an error whose text says what the server answered, or the system's. */
export async function requestToken(grant: TokenGrant, signal: AbortSignal): Promise<GrantedToken> {
  const server = { issuer: new URL(grant.tokenEndpoint).origin, token_endpoint: grant.tokenEndpoint };
  const client = { client_id: grant.clientId };
  const parameters = new URLSearchParams();
  if (grant.scopes.length > 0) parameters.set('scope', grant.scopes.join(' '));
  if (grant.resource !== undefined) parameters.set('resource', grant.resource);
  if (grant.audience !== undefined) parameters.set('audience', grant.audience);
  const proof = await authentication(grant.proof);
  const response = await oauth.clientCredentialsGrantRequest(server, client, proof, parameters, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
    // The configuration allows plain text on loopback only.
    [oauth.allowInsecureRequests]: true,
  });
  const answer = await oauth.processClientCredentialsResponse(server, client, response).catch((cause) => {
    const code = cause instanceof oauth.ResponseBodyError ? ` ${cause.error}` : '';
    throw new Error(`the token endpoint answered ${response.status}${code}`, { cause });
  });
  if (answer.token_type !== 'bearer') throw new Error('the token is not a bearer token');
  return { token: answer.access_token, lifeS: answer.expires_in };
}

async function authentication(proof: ClientProof): Promise<oauth.ClientAuth> {
  switch (proof.kind) {
    case 'secret':
      return proof.in === 'body' ? oauth.ClientSecretPost(proof.value) : oauth.ClientSecretBasic(proof.value);
    case 'key': {
      const key = await importKey(await readFile(proof.file, 'utf8'));
      return oauth.PrivateKeyJwt(proof.keyId === undefined ? key : { key, kid: proof.keyId });
    }
    case 'workload': {
      const assertion = (await readFile(proof.file, 'utf8')).trim();
      return (_server, client, body) => {
        body.set('client_id', client.client_id);
        body.set('client_assertion_type', ASSERTION_TYPE);
        body.set('client_assertion', assertion);
      };
    }
  }
}

/** The algorithm that the kind of key asks for: RS256, ES256 to ES512, EdDSA. */
async function importKey(pem: string): Promise<oauth.CryptoKey> {
  const key = createPrivateKey(pem);
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return crypto.subtle.importKey('pkcs8', new Uint8Array(der), algorithmOf(key), false, ['sign']);
}

function algorithmOf(key: ReturnType<typeof createPrivateKey>) {
  const curve = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[
    key.asymmetricKeyDetails?.namedCurve ?? ''
  ];
  if (curve !== undefined) return { name: 'ECDSA', namedCurve: curve };
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519' };
  throw new Error(
    'the key is of a kind that signs no assertion: expected RSA, P-256, P-384, P-521 or Ed25519',
  );
}
