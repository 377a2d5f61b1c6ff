import type { Refusal } from '../wire.ts';

/** A replica that says no, or nothing. */
export class AskError extends Error {
  override readonly name = 'AskError';
  /** 0 where nobody answered. */
  readonly status: number;
  readonly reason: string;

  constructor(status: number, { reason, message }: Refusal) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** Whoever asks may not, or nobody may. */
  get refused(): boolean {
    return this.status === 401 || this.status === 403 || this.status === 501;
  }
}

const PATIENCE_MS = 15_000;

/** In memory alone, and gone with the page. */
let token: string | undefined;

export function useToken(text: string | undefined): void {
  token = text;
}

export function hasToken(): boolean {
  return token !== undefined;
}

/** Rejects with `AskError`. */
export async function ask<Answer>(
  question: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const asker = token;
  const query = new URLSearchParams(parameters).toString();
  const response = await reach(`data/${question}${query === '' ? '' : `?${query}`}`);
  const { status } = response;
  const answer: unknown = await response.json().catch(() => {
    throw new AskError(status, {
      reason: 'NO_REPLICA',
      message: `No replica answers like that (${status}).`,
    });
  });
  // Whoever asked has left meanwhile.
  if (asker !== token) throw new AskError(0, { reason: 'LEFT', message: '' });
  if (!response.ok) throw new AskError(status, answer as Refusal);
  return answer as Answer;
}

async function reach(path: string): Promise<Response> {
  try {
    return await fetch(path, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new AskError(0, { reason: 'SILENT', message: 'This replica does not answer.' });
  }
}

/** What went wrong, and what to do about it. */
export function explained(thrown: unknown): string {
  if (!(thrown instanceof AskError)) return 'This page met a fault of its own: reload it.';
  const remedy = REMEDIES[thrown.reason];
  return remedy === undefined ? thrown.message : `${thrown.message} ${remedy}`;
}

const REMEDIES: Readonly<Record<string, string>> = {
  SILENT: 'It is asked again; the dashboard of another replica knows the same.',
  ADMIN_API_OFF: 'Say there who is an admin, and load this page again.',
  ADMIN_ROLE_MISSING: 'Get one that has the scope or the claim that "admin" names in the configuration.',
  CERTIFICATE_MISSING:
    'A browser cannot show one here: use the outrigger command, or name an admin role as well.',
  UNAUTHENTICATED: 'Get a fresh one from the issuer of admins, meant for this mesh.',
  NOT_LOOPBACK: 'Forward a port to it, or name an admin role in the configuration.',
  OVERLOADED: 'It is asked again.',
};
