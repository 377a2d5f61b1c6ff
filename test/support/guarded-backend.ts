import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { RecordingBackend } from './recording-backend.ts';

/**
 * An MCP server of somebody else with its own authorization: a recording backend behind a guard that takes JWTs of
 * one issuer for its own URL, and says in its 401, 403 and metadata where they come from (RFC 6750, RFC 9728).
 */
export interface GuardedBackend extends AsyncDisposable {
  readonly url: string;
  readonly inner: RecordingBackend;
  /** How it guards itself; may change while it runs. */
  readonly guard: Guard;
  /** What was asked of its metadata, by path. */
  readonly asked: readonly string[];
}

export interface Guard {
  issuer: { readonly url: string; readonly jwksUri: string };
  /** What its metadata is about; its own URL where absent. */
  resource?: string;
  /** Where its 401 says that its metadata is; its well-known place where absent. */
  metadataUrl?: string;
  /** What a tool needs beside `read`, which everything needs. */
  readonly needs: Record<string, string>;
}

const WELL_KNOWN = '/.well-known/oauth-protected-resource/mcp';

export async function startGuardedBackend(issuer: Guard['issuer']): Promise<GuardedBackend> {
  const inner = await RecordingBackend.start();
  const guard: Guard = { issuer, needs: {} };
  const asked: string[] = [];
  const keys = new Map<string, JWTVerifyGetKey>();
  const server = createServer((incoming, outgoing) => {
    serve({ incoming, outgoing }).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${origin}/mcp`;
  return {
    ...{ url, inner, guard, asked },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await inner[Symbol.asyncDispose]();
    },
  };

  async function serve({ incoming, outgoing }: Exchange): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (incoming.url !== '/mcp') return describe({ incoming, outgoing });
    const scopes = await scopesOf(incoming.headers.authorization);
    if (scopes === undefined) return refuse(outgoing, 401, ['read']);
    const needed = neededFor(body);
    if (!needed.every((each) => scopes.includes(each))) return refuse(outgoing, 403, needed);
    pass({ incoming, outgoing, body });
  }

  function describe({ incoming, outgoing }: Exchange): void {
    asked.push(incoming.url ?? '');
    if (incoming.url !== WELL_KNOWN) {
      outgoing.writeHead(404).end();
      return;
    }
    const { issuer: at, resource = url } = guard;
    const document = {
      resource,
      authorization_servers: [at.url],
      scopes_supported: ['read', 'write', 'admin'],
    };
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
  }

  /** Of a token for this very server; undefined for any other. */
  async function scopesOf(authorization = ''): Promise<readonly string[] | undefined> {
    const { url: from, jwksUri } = guard.issuer;
    const key = keys.get(jwksUri) ?? createRemoteJWKSet(new URL(jwksUri));
    keys.set(jwksUri, key);
    const token = authorization.replace(/^Bearer /, '');
    const verified = await jwtVerify(token, key, { issuer: from, audience: url }).catch(() => undefined);
    return verified && String(verified.payload['scope'] ?? '').split(' ');
  }

  function neededFor(body: Buffer): readonly string[] {
    const { method, params } = body.length === 0 ? {} : JSON.parse(body.toString());
    const more = method === 'tools/call' ? guard.needs[params.name] : undefined;
    return more === undefined ? ['read'] : [more];
  }

  function refuse(outgoing: ServerResponse, status: 401 | 403, scopes: readonly string[]): void {
    const { metadataUrl = `${origin}${WELL_KNOWN}` } = guard;
    const error = status === 401 ? '' : 'error="insufficient_scope", ';
    const challenge = `Bearer ${error}scope="${scopes.join(' ')}", resource_metadata="${metadataUrl}"`;
    outgoing.writeHead(status, { 'www-authenticate': challenge }).end();
  }

  function pass({ incoming, outgoing, body }: Exchange & { readonly body: Buffer }): void {
    const { method = 'GET', headers } = incoming;
    const onward = request(inner.url, { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
      answer.pipe(outgoing);
      answer.once('error', () => outgoing.destroy());
    });
    onward.once('error', () => outgoing.destroy());
    outgoing.once('close', () => onward.destroy());
    onward.end(body);
  }
}

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}
