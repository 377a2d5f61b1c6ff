import type { Certificates } from '../shared/config/certificates.ts';
import type { OverloadSettings } from '../shared/config/overload.ts';
import type { LogFormat, LogLevel } from '../shared/log.ts';
import type { TracingSettings } from '../shared/telemetry/tracing-config.ts';
import type { AdminSettings } from './config-admin.ts';
import type { AuditSettings } from './config-audit.ts';
import type { CallLimitSettings } from './config-call-limits.ts';
import type { ConnectSettings } from './config-connect.ts';
import type { CredentialSettings } from './credential-settings.ts';
import type { Keys } from './keys.ts';
import type { StoreSettings } from './store/settings.ts';

import type { Naming } from './virtual-server/naming.ts';
import type { Pinning } from './virtual-server/pins.ts';
import type { ShapeSettings } from './virtual-server/shape.ts';
/**
 * The control plane's configuration, resolved: defaults filled in, durations in
 * milliseconds, sizes in bytes, secrets read. `config.ts` makes it from a file;
 * nothing else reads the file or the environment.
 */
export interface Settings {
  /** This replica's name, unique among the replicas of one store. */
  readonly replica: string;
  /** Absolute. Keys and the embedded store live here, and what stdio children leave behind is noted here. */
  readonly stateFolder: string;
  readonly listen: {
    readonly grpc: Address;
    readonly ops: Address;
    /** `host:port` at which the other replicas reach the gRPC port; undefined: where it listens. */
    readonly advertise: string | undefined;
  };
  /** How the mesh stream is secured; undefined: plain text, on loopback. */
  readonly meshTls: MeshTlsSettings | undefined;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  readonly store: StoreSettings;
  /** Undefined: made once and kept in the state folder, which only stores of one machine allow. */
  readonly keys: Keys | undefined;
  readonly identity: IdentitySettings;
  readonly admission: AdmissionSettings;
  readonly advertise: AdvertiseSettings;
  /** Undefined: no backend needs its callers to log in. */
  readonly connect: ConnectSettings | undefined;
  /** In the order of the file. */
  readonly backends: readonly BackendSettings[];
  /** At least one; the first is served to a sidecar that names `default` when none has that name. */
  readonly virtualServers: readonly VirtualServerSettings[];
  readonly limits: LimitSettings;
  /** From which measures on work is refused. */
  readonly overload: OverloadSettings;
  /** How often calls may be made, and how many at once. */
  readonly callLimits: CallLimitSettings;
  /** Where decisions are written down; undefined: nowhere. */
  readonly audit: AuditSettings | undefined;
  /** Where traces go; undefined: none are made. */
  readonly tracing: TracingSettings | undefined;
  /** Who may use the admin API; undefined: nobody, it is off. */
  readonly admin: AdminSettings | undefined;
}

export interface Address {
  readonly host: string;
  /** 0 asks the system for a free one. */
  readonly port: number;
}

/** TLS of the mesh stream: both ends show a certificate. */
export interface MeshTlsSettings {
  readonly certificates: Certificates;
  /** Which sidecars are served, and to which virtual servers; undefined: whoever the authorities vouch for. */
  readonly clients: readonly ClientRule[] | undefined;
  /** The SPIFFE ids of replicas, as patterns: they ask each other in the name of admins, and are no sidecars. */
  readonly replicas: readonly string[];
  /** How sidecars without a certificate prove which workload they are; undefined: not at all. */
  readonly workloadTokens: WorkloadTokenSettings | undefined;
}

export interface WorkloadTokenSettings {
  /** The rules for these tokens. */
  readonly identity: IdentitySettings;
  /** Of the ids that are made of them: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. */
  readonly trustDomain: string;
}

export interface ClientRule {
  /** A SPIFFE id; `*` stands for one segment, or for the rest where it is the last. */
  readonly id: string;
  /** Undefined: every virtual server. */
  readonly virtualServers?: readonly string[] | undefined;
}

export interface IdentitySettings {
  /** Whether a request without a token is served, as the anonymous caller. */
  readonly anonymous: boolean;
  readonly issuers: readonly IssuerSettings[];
  /** Scopes that stand for others, over any number of steps. Decisions use them; an identity keeps its own. */
  readonly scopeImplies: Readonly<Record<string, readonly string[]>>;
  /** Development only: a loopback URL is the same in every mesh of the world. */
  readonly acceptLoopbackAudience: boolean;
  /** How long a verdict about a token may be used again. */
  readonly verdictCacheMs: number;
  /** Allowed difference of clocks for `exp` and `nbf`. */
  readonly clockToleranceMs: number;
  /** How long an open stream outlives its token. */
  readonly tokenGraceMs: number;
  readonly proofs: ProofSettings;
}

/** Tokens that are bound to a key of the client (DPoP, RFC 9449). */
export interface ProofSettings {
  /** Whether a caller's token must be bound. */
  readonly required: boolean;
  /** In which proofs may be signed; asymmetric ones. */
  readonly algorithms: readonly string[];
}

export interface IssuerSettings {
  /** Compared with `iss`, byte for byte. */
  readonly issuer: string;
  /** https, or http on loopback. Found in the issuer's metadata (OpenID Connect Discovery, RFC 8414) where undefined. */
  readonly jwksUri: string | undefined;
  /** At least one of these must be in `aud`. */
  readonly audiences: readonly string[];
  /** Asymmetric signature algorithms only. */
  readonly algorithms: readonly string[];
  /** The required `typ` header, for example `at+jwt` (RFC 9068). */
  readonly typ: string | undefined;
  /** The oldest acceptable `iat`; `iat` is required then. */
  readonly maxTokenAgeMs: number | undefined;
  /** The claim that names the tenant; part of the identity binding. */
  readonly tenantClaim: string | undefined;
  /** The claim that holds the scopes, as a string or an array (`scope`, some issuers `scp`). */
  readonly scopeClaim: string;
  /** Scopes without which a token of this issuer may do nothing. */
  readonly requiredScopes: readonly string[];
  /** At most one fetch of the issuer's keys in this time; one a second while there is no usable key. */
  readonly jwksCooldownMs: number;
  /** How long fetched keys are used while the issuer cannot be reached. */
  readonly jwksMaxStaleMs: number;
  /** Bounds one fetch of the issuer's keys. */
  readonly jwksTimeoutMs: number;
  /** How the issuer is asked about tokens that say nothing by themselves; undefined: they are refused. */
  readonly introspection: IntrospectionSettings | undefined;
}

/** Token introspection (RFC 7662). */
export interface IntrospectionSettings {
  /** https, or http on loopback. Found in the issuer's metadata where undefined. */
  readonly endpoint: string | undefined;
  /** Whom the mesh is at this endpoint. */
  readonly clientId: string;
  readonly clientSecret: string;
  readonly authentication: 'basic' | 'post';
  /** `all`: JWTs too, so that a revocation counts before they expire. */
  readonly tokens: 'opaque' | 'all';
  /** How its opaque tokens begin; they are shown to no other issuer. Empty: whatever fits no other issuer's. */
  readonly tokenPrefix: string;
  readonly timeoutMs: number;
}

/** Who may see and use what. */
export interface AdmissionSettings {
  /** What a caller sees that lacks only a scope: the item, and a challenge when it is used; or nothing. */
  readonly onMissingScope: 'challenge' | 'hide';
  /** The claim whose texts are a principal's groups in policies. */
  readonly groupsClaim: string;
  /** Cedar policies; without any, whoever is verified may see and use everything. */
  readonly policies: readonly PolicySource[];
  /** Cedar entities in their JSON form. */
  readonly entities: readonly unknown[];
  readonly schema: PolicySource | undefined;
  /** By the backend's configured name. */
  readonly backends: ReadonlyMap<string, BackendScopeSettings>;
  /** Which definitions of tools and prompts were approved; undefined: any will do. */
  readonly pinning: PinningSettings | undefined;
}

export interface PinningSettings extends Pinning {
  /** Absolute. */
  readonly file: string;
}

export interface PolicySource {
  /** The file, or the place in the configuration. */
  readonly name: string;
  readonly text: string;
}

/** The scopes that one backend asks for. */
export interface BackendScopeSettings {
  /** For everything it has. */
  readonly all: readonly string[];
  /** For single tools beside those, by the backend's own names. */
  readonly tools: ReadonlyMap<string, readonly string[]>;
}

/** What the protected resource metadata says (RFC 9728). */
export interface AdvertiseSettings {
  /** The mesh's logical resource; undefined echoes the Host that the client used. */
  readonly resource: string | undefined;
  readonly scopes: readonly string[];
}

interface BackendCommon {
  /** `[a-z0-9][a-z0-9-]*`, at most 40 characters: it becomes the prefix of names. */
  readonly name: string;
  readonly credential: CredentialSettings;
  readonly timeouts: BackendTimeouts;
  readonly limits: BackendLimits;
  /** With it, over all sessions of one replica. */
  readonly handshakes: HandshakeLimits;
  /** The backend's own names of tools that may be called again when the outcome of a call is unknown. */
  readonly replaySafe: ReadonlySet<string>;
  /** What the first call after lost backend state gets: its result, which says so, or an error. */
  readonly onStateLoss: 'continue' | 'error';
}

export interface HttpBackendSettings extends BackendCommon {
  /** `http` is Streamable HTTP, `sse` the HTTP+SSE transport of 2024-11-05. */
  readonly kind: 'http' | 'sse';
  readonly url: string;
  /** Sent with every request, the same for every caller. */
  readonly headers: Readonly<Record<string, string>>;
  /** PEM: the authorities that vouch for it, instead of those that Node trusts. */
  readonly ca: string | undefined;
  /** After so many failures to reach it, it is left alone for so long. */
  readonly breaker: { readonly failures: number; readonly openMs: number };
}

export interface StdioBackendSettings extends BackendCommon {
  readonly kind: 'stdio';
  readonly command: string;
  readonly args: readonly string[];
  /** The child's whole environment: a few harmless inherited variables and the configured ones. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. */
  readonly cwd: string;
  /** One child for all sessions instead of one a session. */
  readonly shared: boolean;
}

export type BackendSettings = HttpBackendSettings | StdioBackendSettings;

export interface BackendTimeouts {
  readonly initializeMs: number;
  readonly requestMs: number;
  /** For requests that wait for a person. */
  readonly humanPacedMs: number;
}

/** Of one backend in one replica. */
export interface BackendLimits {
  /** Calls under way at once. */
  readonly concurrency: number;
  /** Calls that may wait for their turn; more are refused. */
  readonly queue: number;
}

export interface HandshakeLimits {
  /** Under way at once. */
  readonly atOnce: number;
  /** Begun in a second. */
  readonly perSecond: number;
}

export interface VirtualServerSettings {
  readonly name: string;
  /** Names of backends, in the order in which lists show them. */
  readonly backends: readonly string[];
  readonly naming: Naming;
  /** Of the backends whose items are not shown as they are, in their order. */
  readonly shapes: readonly ShapeSettings[];
  readonly instructions: string | undefined;
}

export interface LimitSettings {
  readonly sessionIdleMs: number;
  readonly sessionAbsoluteMs: number;
  /** Live sessions of one replica. */
  readonly liveSessions: number;
  /** Memory of all live sessions of one replica, as estimated. */
  readonly liveBytes: number;
  readonly sessionsPerPrincipal: number;
  readonly anonymousPerSidecar: number;
  readonly initializePerMinute: number;
  readonly initializeBurst: number;
  /** How long a request waits for its session's turn to be restored, and how long for the restore itself. */
  readonly restoreDeadlineMs: number;
  /** Sessions that are restored at once. */
  readonly restoresAtOnce: number;
  /** How long initialize waits for backends before it answers with those that are there. */
  readonly initializeAnswerMs: number;
  readonly messageBytes: number;
  /** A call that takes longer becomes a stream. */
  readonly streamAfterMs: number;
  /** How long an owner may serve without asking the store. At most 1,000. */
  readonly leaseMs: number;
  readonly drainMs: number;
  /** stdio children of one replica. */
  readonly stdioChildren: number;
}
