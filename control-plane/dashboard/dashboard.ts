import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { AdminQuestions, HttpRefusal } from '../rpc/admin-questions.ts';
import type { Asset } from './assets.ts';
import { QUESTIONS } from './data.ts';
import { foreign } from './own-pages.ts';

export interface DashboardOptions {
  readonly replica: string;
  readonly assets: ReadonlyMap<string, Asset>;
  readonly questions: AdminQuestions;
  /** Names under which the page is opened, as configuration has them now. */
  readonly hosts: () => readonly string[];
}

const ROOT = '/dashboard/';
const DATA = `${ROOT}data/`;
/** Questions under way at a time; each may ask every replica. */
const MOST_QUESTIONS = 16;

/**
 * The dashboard: a page that holds nothing, and the questions that it asks in the name of
 * whoever looks at it. They are those of the admin API that change nothing, behind its gate.
 */
export class Dashboard {
  readonly #options: DashboardOptions;
  #asked = 0;

  constructor(options: DashboardOptions) {
    this.#options = options;
  }

  /** Answers a GET or HEAD, if it is for the dashboard; returns whether it is. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (path === '/' || path === '/dashboard') {
      // Relative, for proxies that serve it below a path of theirs.
      response.writeHead(307, { location: 'dashboard/' }).end();
      return true;
    }
    if (path.startsWith(DATA)) {
      void this.#tell(request, response, { name: path.slice(DATA.length), query });
      return true;
    }
    const asset = path.startsWith(ROOT) ? this.#options.assets.get(path.slice(ROOT.length)) : undefined;
    if (asset === undefined) return false;
    const { type, body } = asset;
    response.writeHead(200, { ...PAGE_HEADERS, 'content-type': type }).end(body);
    return true;
  }

  async #tell(
    request: IncomingMessage,
    response: ServerResponse,
    asked: { readonly name: string; readonly query: string },
  ): Promise<void> {
    const { questions } = this.#options;
    this.#asked += 1;
    try {
      const answer = await this.#answer(request, asked);
      if ('refusal' in answer) refuse(response, answer.refusal);
      else send(response, 200, answer.answer);
    } catch (thrown) {
      refuse(response, questions.refusal(thrown));
    } finally {
      this.#asked -= 1;
    }
  }

  async #answer(
    { headers, socket }: IncomingMessage,
    { name, query }: { readonly name: string; readonly query: string },
  ): Promise<{ readonly answer: object } | { readonly refusal: HttpRefusal }> {
    const { questions, replica, hosts } = this.#options;
    const why = foreign(headers, hosts());
    if (why !== undefined) return { refusal: no({ status: 403, reason: 'FOREIGN', message: why }) };
    const question = QUESTIONS.get(name);
    if (question === undefined)
      return { refusal: no({ status: 404, reason: 'NOT_FOUND', message: 'There is no such question.' }) };
    if (this.#asked > MOST_QUESTIONS) return { refusal: BUSY };
    const { remoteAddress = '', remotePort = 0 } = socket;
    // An IPv4 address on a socket for both families.
    const peer = `${remoteAddress.replace(/^::ffff:/, '')}:${remotePort}`;
    const about = `dashboard ${name}`;
    const admin = await questions.admit(headers.authorization, { peer, about });
    return { answer: await question({ replica, questions, admin, parameters: new URLSearchParams(query) }) };
  }
}

const BUSY: HttpRefusal = {
  status: 503,
  reason: 'OVERLOADED',
  message: 'Too many dashboards ask this replica at once.',
  retryAfterMs: 1_000,
};

function no(refusal: Omit<HttpRefusal, 'retryAfterMs'>): HttpRefusal {
  return { ...refusal, retryAfterMs: undefined };
}

const ANY_HEADERS: OutgoingHttpHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

const PAGE_HEADERS: OutgoingHttpHeaders = {
  ...ANY_HEADERS,
  'cache-control': 'no-cache',
  'cross-origin-opener-policy': 'same-origin',
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types',
  ].join('; '),
};

function refuse(response: ServerResponse, { status, reason, message, retryAfterMs }: HttpRefusal): void {
  if (retryAfterMs !== undefined)
    response.setHeader('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  send(response, status, { reason, message });
}

function send(response: ServerResponse, status: number, answer: object): void {
  response
    .writeHead(status, {
      ...ANY_HEADERS,
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'content-type': 'application/json',
    })
    .end(`${JSON.stringify(answer)}\n`);
}
