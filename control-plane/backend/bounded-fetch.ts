import { Agent } from 'undici';
import { guardedConnector, type Reach } from './address-policy.ts';

export interface BoundedRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bounds it in time. */
  readonly signal: AbortSignal;
}

export interface BoundedFetch {
  /** Rejects when the answer is too long. A redirect is an answer like any other. */
  readonly fetch: (url: string, request: BoundedRequest) => Promise<Response>;
  stop(): Promise<void>;
}

const LONGEST_ANSWER = 256 * 1024;
const CONNECT_MS = 5_000;
const CONNECTIONS = 32;

/** Short questions to providers of credentials: under the address policy that backends are under, unless their URLs were learned at run time. */
export function createBoundedFetch(reach: Reach = 'configured'): BoundedFetch {
  const agent = new Agent({
    connect: guardedConnector({ connectTimeoutMs: CONNECT_MS, reach }),
    connections: CONNECTIONS,
  });
  return {
    async fetch(url, { method, headers, body, signal }) {
      const target = new URL(url);
      const answer = await agent.request({
        origin: target.origin,
        path: `${target.pathname}${target.search}`,
        method: method as 'GET' | 'POST',
        headers: { ...headers, 'accept-encoding': 'identity' },
        body: body ?? null,
        signal,
      });
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of answer.body) {
        size += (chunk as Buffer).length;
        if (size > LONGEST_ANSWER) throw new Error('the answer is too long');
        chunks.push(chunk as Buffer);
      }
      const { statusCode: status } = answer;
      const noBody = status === 204 || status === 205 || status === 304;
      return new Response(noBody ? null : Buffer.concat(chunks), {
        status,
        headers: headersOf(answer.headers),
      });
    },
    stop: () => agent.destroy(),
  };
}

function headersOf(raw: NodeJS.Dict<string | string[]>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    for (const each of value === undefined ? [] : [value].flat()) headers.append(name, each);
  }
  return headers;
}
