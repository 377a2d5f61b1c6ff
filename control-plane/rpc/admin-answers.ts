import type { Admin } from './admin-gate.ts';
import type { Watched } from './admin-watch.ts';

/** What the admin API answers, by the names of its methods as the proto loader has them. */
export interface AdminAnswers {
  readonly methods: Readonly<Record<string, Answer>>;
  readonly watches: Readonly<Record<string, Watch>>;
}

export type Answer = (request: never, admin: Admin) => Promise<object> | object;
export type Watch = (request: never, admin: Admin) => Watched;
