import { isDeepStrictEqual } from 'node:util';
import type { Certificates } from '../shared/config/certificates.ts';
import type { Program } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/log.ts';
import type { LogLevels } from '../shared/log-levels.ts';
import { admissionRules } from './admission-rules.ts';
import { callLimitRules } from './call-limit-rules.ts';
import type { PolicyError } from './identity/cedar-engine.ts';
import type { LiveVerifier } from './identity/live-verifier.ts';
import type { LiveSettings } from './live-settings.ts';
import type { ReachableBackends } from './reachable-backends.ts';
import type { MeshCredentials } from './rpc/mesh-credentials.ts';
import type { MeshServer } from './rpc/mesh-server.ts';
import type { Admission } from './session/admission.ts';
import type { LiveSession } from './session/live-session.ts';
import type { SessionPlane } from './session/session-plane.ts';
import type { Settings } from './settings.ts';
import type { StoredCallLimits } from './store/call-limits.ts';

export interface FollowOptions {
  readonly live: LiveSettings;
  /** Of the mesh stream; undefined: plain text. */
  readonly credentials: MeshCredentials | undefined;
  readonly program: Program;
  readonly log: Logger;
  readonly levels: LogLevels;
  /** What a shutdown may take beyond the drain, in milliseconds. */
  readonly graceMs: number;
  readonly backends: ReachableBackends;
  readonly verifier: LiveVerifier;
  readonly admission: Admission;
  readonly onPolicyError: (error: PolicyError) => void;
  readonly callLimits: StoredCallLimits;
  readonly sessions: SessionPlane;
  readonly mesh: MeshServer;
}

/**
 * Lets what runs follow the settings. First what sessions will use, then the sessions
 * themselves, then the sidecars: all in one turn, so that no request sees half of it.
 */
export function followSettings(options: FollowOptions): void {
  const {
    live,
    credentials,
    program,
    log,
    levels,
    graceMs,
    backends,
    verifier,
    admission,
    onPolicyError,
    callLimits,
    sessions,
    mesh,
  } = options;
  live.onChange((next, before) => {
    const reach = backends.prepare(next.backends);
    const certificates = differentCertificates(next, before);
    const secure = certificates && credentials?.prepare(certificates);
    const others = !isDeepStrictEqual(next.identity, before.identity);
    const judge = others ? verifier.prepare(next.identity) : undefined;
    const admits = others || !isDeepStrictEqual(next.admission, before.admission);
    const rules = admits ? admissionRules(next, onPolicyError) : undefined;
    const limits = isDeepStrictEqual(next.callLimits, before.callLimits) ? undefined : callLimitRules(next);
    return () => {
      levels.follow(next.log.level);
      program.configure({ log, graceMs: next.limits.drainMs + graceMs });
      secure?.();
      judge?.();
      if (rules !== undefined) admission.replace(rules);
      if (limits !== undefined) callLimits.replace(limits);
      const count = sessions.reconfigure({ credentials: reach(), shown: shownOtherwise(next, before) });
      mesh.renew();
      if (count > 0) log.info('live sessions follow the configuration', { event: 'config_followed', count });
    };
  });
}

function differentCertificates({ meshTls }: Settings, before: Settings): Certificates | undefined {
  const same = isDeepStrictEqual(meshTls?.certificates, before.meshTls?.certificates);
  return same ? undefined : meshTls?.certificates;
}

/** Whether lists may look otherwise by what is said of a session's virtual server, or of any of its backends. */
function shownOtherwise(next: Settings, before: Settings): (session: LiveSession) => boolean {
  const servers = differing(next.virtualServers, before.virtualServers);
  const backends = differing(next.backends, before.backends);
  return ({ body }) => servers.has(body.virtualServer) || body.desired.some((name) => backends.has(name));
}

interface Named {
  readonly name: string;
}

function differing(next: readonly Named[], before: readonly Named[]): ReadonlySet<string> {
  const known = new Map(before.map((each) => [each.name, each]));
  const names = new Set([...known.keys(), ...next.map(({ name }) => name)]);
  const now = new Map(next.map((each) => [each.name, each]));
  return new Set([...names].filter((name) => !isDeepStrictEqual(now.get(name), known.get(name))));
}
