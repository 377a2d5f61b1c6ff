import { Metadata, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Audit } from '../session/audit.ts';
import type { AdminAnswers, Answer } from './admin-answers.ts';
import { AdminFault, toRefusal } from './admin-fault.ts';
import { type Admin, type AdminGate, NotAdmin } from './admin-gate.ts';
import { ADMIN_SERVICE } from './admin-protocol.ts';

export interface AdminQuestionsOptions {
  readonly gate: AdminGate;
  readonly answers: readonly AdminAnswers[];
  readonly audit: Audit;
  readonly log: Logger;
}

/** Why an admin's question has no answer, for HTTP. */
export interface HttpRefusal {
  readonly status: number;
  /** UPPER_SNAKE_CASE, as ErrorInfo has it. */
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

/** The admin API without gRPC: the same gate, the same functions, the same messages. */
export class AdminQuestions {
  readonly #options: AdminQuestionsOptions;
  readonly #methods: ReadonlyMap<string, Answer>;

  constructor(options: AdminQuestionsOptions) {
    this.#options = options;
    this.#methods = new Map(options.answers.flatMap(({ methods }) => Object.entries(methods)));
  }

  /** `peer` is the address that asks, `host:port`; `about` is for the audit, which has who is known and may not. Rejects as the gate does. */
  async admit(
    authorization: string | undefined,
    { peer, about }: { readonly peer: string; readonly about: string },
  ): Promise<Admin> {
    const { gate, audit } = this.#options;
    const metadata = new Metadata();
    if (authorization !== undefined) metadata.set('authorization', authorization);
    try {
      return await gate.admit(metadata, peer);
    } catch (thrown) {
      if (thrown instanceof NotAdmin) {
        const { principal, reason } = thrown;
        audit.record({ action: 'admin.call', method: about, outcome: 'denied', principal, reason });
      }
      throw thrown;
    }
  }

  /** `method` as in `admin.proto`; the answer holds what its message has, and nothing else. */
  async ask(method: string, request: object, admin: Admin): Promise<object> {
    const definition = ADMIN_SERVICE[method];
    const answer = this.#methods.get(method.charAt(0).toLowerCase() + method.slice(1));
    if (definition === undefined || answer === undefined) throw new Error(`there is no method ${method}`);
    const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = definition;
    const message = await answer(requestDeserialize(requestSerialize(request)) as never, admin);
    return responseDeserialize(responseSerialize(message));
  }

  /** Of any thrown value. What is no refusal of ours tells whoever asks nothing, and is for the log. */
  refusal(thrown: unknown): HttpRefusal {
    if (!(thrown instanceof AdminFault) && !(thrown instanceof MeshError))
      this.#options.log.error('an admin question could not be answered', { error: thrown });
    const { code, details, retryAfterMs, reason = '' } = toRefusal(thrown);
    return { status: HTTP_STATUS[code] ?? 500, reason, message: details, retryAfterMs };
  }
}

const HTTP_STATUS: Readonly<Partial<Record<status, number>>> = {
  [status.INVALID_ARGUMENT]: 400,
  [status.UNAUTHENTICATED]: 401,
  [status.PERMISSION_DENIED]: 403,
  [status.NOT_FOUND]: 404,
  [status.RESOURCE_EXHAUSTED]: 429,
  [status.UNIMPLEMENTED]: 501,
  [status.UNAVAILABLE]: 503,
};
