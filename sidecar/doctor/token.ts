import type { Finding } from '../../shared/findings.ts';
import type { Logger } from '../../shared/log.ts';
import type { TokenSource } from '../config-token.ts';
import { type HeldToken, heldTokenFromFile, heldTokenFromValue } from '../credentials/held-token.ts';

interface Around {
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The sidecar's own token, for agents that send none; nothing where it has none. */
export async function checkToken(source: TokenSource | undefined, around: Around): Promise<Finding[]> {
  if (source === undefined) return [];
  if ('grant' in source) return [await checkGrant(source.grant, around)];
  if ('value' in source) return [judge('token.env', heldTokenFromValue(source.value))];
  return [judge(source.file, heldTokenFromFile({ file: source.file, log: around.log }))];
}

async function checkGrant(
  grant: Extract<TokenSource, { grant: unknown }>['grant'],
  { signal }: Around,
): Promise<Finding> {
  const { requestToken } = await import('../credentials/token-grant.ts');
  const finding = { check: 'token', of: new URL(grant.tokenEndpoint).origin } as const;
  try {
    await requestToken(grant, signal);
    return { ...finding, status: 'ok', detail: 'grants a token' };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const remedy = 'see that the endpoint can be reached and knows this client, its proof and its scopes';
    return { ...finding, status: 'failed', detail, remedy };
  }
}

function judge(of: string, held: HeldToken): Finding {
  const finding = { check: 'token', of } as const;
  const token = held.current()?.slice('Bearer '.length);
  if (token === undefined) {
    const remedy = 'let whoever renews it write the token there, one line, readable by this user';
    return { ...finding, status: 'failed', detail: 'there is no usable token', remedy };
  }
  const end = endOf(token);
  if (end === undefined || end * 1_000 > Date.now())
    return { ...finding, status: 'ok', detail: 'there is a token' };
  const remedy = 'see why whoever renews it does not: a projected token is renewed by the kubelet';
  return { ...finding, status: 'failed', detail: 'the token has expired', remedy };
}

/** `exp` of a JWT, in seconds since 1970; it is read, not verified. */
function endOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const end: unknown = Reflect.get(Object(claims), 'exp');
    return typeof end === 'number' ? end : undefined;
  } catch {
    return undefined;
  }
}
