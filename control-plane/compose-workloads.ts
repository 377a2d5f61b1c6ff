import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import { LiveVerifier } from './identity/live-verifier.ts';
import type { LiveSettings } from './live-settings.ts';
import type { WorkloadRules } from './rpc/workload.ts';
import { workloadOfToken } from './rpc/workload-tokens.ts';
import type { Settings, WorkloadTokenSettings } from './settings.ts';

/** Who may open mesh streams, as configuration has it now. */
export function workloadRules(live: LiveSettings, log: Logger): () => WorkloadRules {
  const make = (tokens: WorkloadTokenSettings | undefined) =>
    tokens && new LiveVerifier(tokens.identity, { clock: systemClock, log });
  let verifier = make(live.current.meshTls?.workloadTokens);
  live.onChange((next, before) => {
    const tokens = next.meshTls?.workloadTokens;
    const same = isDeepStrictEqual(tokens, before.meshTls?.workloadTokens);
    const other = same ? verifier : make(tokens);
    return () => {
      verifier = other;
    };
  });
  return () => {
    const { meshTls } = live.current;
    const trustDomain = meshTls?.workloadTokens?.trustDomain;
    const known = { clients: meshTls?.clients, others: noSidecars(live.current) };
    if (verifier === undefined || trustDomain === undefined) return known;
    const options = { verifier, trustDomain };
    return { ...known, prove: (token) => workloadOfToken(token, options) };
  };
}

/** Replicas and admins are no sidecars, whoever else is one. */
function noSidecars({ meshTls, admin }: Settings): readonly string[] {
  return [...(meshTls?.replicas ?? []), ...(admin?.certificates ?? [])];
}
