import type { Credential } from '../credentials/strategy.ts';
import { BackendFault } from './backend.ts';
import type { Outcome } from './exchange.ts';
import { faultOfStatus, type Refusal } from './faults.ts';

type Send = (body: Buffer, credential: Credential, timeoutMs: number) => Promise<Outcome>;

const PING_MS = 5_000;
const PING = Buffer.from('{"jsonrpc":"2.0","id":"outrigger-ping","method":"ping"}');

/**
 * Whether a backend still knows one session of ours. Some servers answer 400, not
 * 404, for a session they lost, as for much else. A ping has nothing else to be
 * refused for: refused alike, the session is lost.
 */
export class SessionCheck {
  readonly #send: Send;
  #asking: Promise<boolean> | undefined;

  /** `send` never rejects. */
  constructor(send: Send) {
    this.#send = send;
  }

  /** What a refused POST of the session means. */
  async faultOf(refusal: Refusal, credential: Credential): Promise<BackendFault> {
    const { status } = refusal;
    if (status === 400 && (await this.isLost(credential))) {
      return new BackendFault('session_lost', 'The backend does not know the session.', {
        status,
        executed: 'no',
      });
    }
    return faultOfStatus(refusal, true);
  }

  /** Asks the backend, once for all who want to know meanwhile. */
  isLost(credential: Credential): Promise<boolean> {
    this.#asking ??= this.#send(PING, credential, PING_MS).then((outcome) => {
      this.#asking = undefined;
      return outcome.kind === 'refused' && (outcome.refusal.status === 400 || outcome.refusal.status === 404);
    });
    return this.#asking;
  }
}
