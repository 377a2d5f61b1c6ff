import { request } from '../../shared/json-rpc/envelope.ts';
import type { BackendSession } from '../backend/backend.ts';
import type { CredentialHeaders } from '../credentials/strategy.ts';
import type { Catalogues } from './catalogues.ts';
import type { LiveSession } from './live-session.ts';

/** Ids of the replay lie below those of any call. */
const FIRST_ID = 1;
const TIMEOUT_MS = 5_000;

export interface ReplayTarget {
  readonly backend: BackendSession;
  readonly name: string;
  readonly credential: CredentialHeaders;
}

/** Sets the session's level and its subscriptions at a backend session that was made afresh. A backend that refuses them goes on without. */
export async function replayState(
  catalogues: Catalogues,
  session: LiveSession,
  target: ReplayTarget,
): Promise<void> {
  const { backend, credential } = target;
  const { capabilities } = backend.facts;
  const { logLevel } = session.body;
  const requests: { method: string; params: object }[] = [];
  if (logLevel !== undefined && capabilities['logging'] !== undefined) {
    requests.push({ method: 'logging/setLevel', params: { level: logLevel } });
  }
  if (capabilities['resources']?.subscribe === true) {
    const uris = await catalogues.ownedUris(session, target.name, session.body.subscriptions);
    for (const uri of uris) requests.push({ method: 'resources/subscribe', params: { uri } });
  }
  await Promise.allSettled(
    requests.map(({ method, params }, index) => {
      const id = FIRST_ID + index;
      return backend.call({
        id,
        pieces: request({
          id: Buffer.from(String(id)),
          method,
          params: [Buffer.from(JSON.stringify(params))],
        }),
        method,
        credential,
        timeoutMs: TIMEOUT_MS,
        maxTimeoutMs: TIMEOUT_MS,
        onMessage: () => {},
      });
    }),
  );
}
