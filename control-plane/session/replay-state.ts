import { request } from '../../shared/json-rpc/envelope.ts';
import type { BackendSession } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Catalogues } from './catalogues.ts';
import type { LiveSession } from './live-session.ts';

/** Ids of the replay lie below those of any call. */
const FIRST_ID = 1;
const TIMEOUT_MS = 5_000;

export interface ReplayTarget {
  readonly backend: BackendSession;
  readonly name: string;
  readonly credential: Credential;
}

/** Sets the session's level and its subscriptions at a backend session that was made afresh. A backend that refuses them goes on without. */
export async function replayState(
  catalogues: Catalogues,
  session: LiveSession,
  target: ReplayTarget,
): Promise<void> {
  const { capabilities } = target.backend.facts;
  let lastId = FIRST_ID - 1;
  const ask = (method: string, params: object) => {
    lastId += 1;
    return send(target, { id: lastId, method, params });
  };
  const uris =
    capabilities['resources']?.subscribe === true
      ? await catalogues.ownedUris(session, target.name, session.body.subscriptions)
      : [];
  const level = async () => {
    let told: string | undefined;
    // A level that is set meanwhile is told to the backends that are there, and this one is not yet.
    while (capabilities['logging'] !== undefined && session.body.logLevel !== told) {
      told = session.body.logLevel;
      await ask('logging/setLevel', { level: told });
    }
  };
  await Promise.all([level(), ...uris.map((uri) => ask('resources/subscribe', { uri }))]);
}

/** Never rejects. */
async function send(
  { backend, credential }: ReplayTarget,
  { id, method, params }: { id: number; method: string; params: object },
): Promise<void> {
  const rawParams = [Buffer.from(JSON.stringify(params))];
  const pieces = request({ id: Buffer.from(String(id)), method, params: rawParams });
  const limits = { timeoutMs: TIMEOUT_MS, maxTimeoutMs: TIMEOUT_MS };
  try {
    await backend.call({ id, pieces, method, credential, ...limits, onMessage: () => {} });
  } catch {
    // It goes on without.
  }
}
