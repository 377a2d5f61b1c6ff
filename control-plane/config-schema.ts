import * as v from 'valibot';
import { OverloadSection } from '../shared/config/overload.ts';
import { duration, size } from '../shared/config/quantity.ts';
import { count, flag, list, oneOf, section, table, text } from '../shared/config/section.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../shared/log.ts';
import { tracingSection } from '../shared/telemetry/tracing-config.ts';
import { AdminSection } from './config-admin.ts';
import { Admission, BackendPinning, Pinning, requiredScopes } from './config-admission-schema.ts';
import { HeaderValue, headerName, httpUrl, secret } from './config-atoms.ts';
import { AuditSection } from './config-audit.ts';
import { CallLimitsSection } from './config-call-limits.ts';
import { ConnectSection } from './config-connect.ts';
import { Credential } from './config-credential-schema.ts';
import { address, GrpcListener } from './config-listen.ts';

/**
 * The configuration file of the control plane, as it is written. What a file may
 * hold is here; what only several keys together can say, or what needs the file
 * system, is in `config.ts`.
 */

const NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;

/** Becomes the prefix of names that clients see, a metric label, a part of URLs. */
function name() {
  return v.pipe(
    text(),
    v.regex(NAME, 'expected a name of lower-case letters, digits and -, at most 40 characters'),
  );
}

function named<Item extends v.GenericSchema>(item: Item) {
  return v.record(name(), item, 'expected a group of keys');
}

/** What every client takes as a name (MCP 2025-11-25, Tool Names). */
function legalName() {
  return v.pipe(
    text(),
    v.regex(/^[A-Za-z0-9_.-]{1,128}$/, 'expected at most 128 letters, digits, _, - and .'),
  );
}

const Filter = section({ allow: v.optional(list(text())), deny: v.optional(list(text()), []) });

/** Patterns of names, of URIs and of URI templates, in which `*` stands for any run of characters. */
const Filters = section({
  tools: v.optional(Filter),
  prompts: v.optional(Filter),
  resources: v.optional(Filter),
  resourceTemplates: v.optional(Filter),
});

const texts = { title: v.optional(text()), description: v.optional(text()) };

const ToolEntry = section({
  requiredScopes,
  replay: v.optional(oneOf(['never', 'safe']), 'never'),
  name: v.optional(legalName()),
  ...texts,
  annotations: v.optional(
    section({
      readOnlyHint: v.optional(flag()),
      destructiveHint: v.optional(flag()),
      idempotentHint: v.optional(flag()),
      openWorldHint: v.optional(flag()),
    }),
  ),
});

const backendCommon = {
  credential: v.optional(Credential, { strategy: 'none' }),
  timeouts: v.optional(
    section({
      initialize: v.optional(duration({ min: '100ms' })),
      request: v.optional(duration({ min: '100ms' })),
      humanPaced: v.optional(duration({ min: '1s' })),
    }),
    {},
  ),
  limits: v.optional(
    section({
      concurrency: v.optional(count({ min: 1, max: 4096 }), 64),
      queue: v.optional(count({ min: 0 }), 1024),
    }),
    {},
  ),
  handshakes: v.optional(
    section({
      atOnce: v.optional(count({ min: 1 }), 32),
      perSecond: v.optional(count({ min: 1 }), 200),
    }),
    {},
  ),
  requiredScopes,
  pinning: v.optional(BackendPinning),
  filter: v.optional(Filters, {}),
  /** Titles and descriptions, wherever a model reads one. */
  texts: v.optional(
    section({
      hidden: v.optional(oneOf(['keep', 'strip']), 'keep'),
      longest: v.optional(count({ min: 16 })),
    }),
    {},
  ),
  tools: v.optional(table(ToolEntry), {}),
  prompts: v.optional(table(section({ name: v.optional(legalName()), ...texts })), {}),
  resources: v.optional(table(section(texts)), {}),
  resourceTemplates: v.optional(table(section(texts)), {}),
  onStateLoss: v.optional(oneOf(['continue', 'error']), 'continue'),
};

export const HttpEntry = section({
  url: httpUrl(),
  type: v.optional(oneOf(['http', 'streamable-http', 'sse']), 'http'),
  headers: v.optional(v.record(headerName(), HeaderValue, 'expected a group of keys'), {}),
  /** A PEM file of the authorities that vouch for it, instead of the public ones. */
  tls: v.optional(section({ ca: v.optional(text()) }), {}),
  breaker: v.optional(
    section({
      failures: v.optional(count({ min: 1 }), 5),
      open: v.optional(duration({ min: '100ms' }), '30s'),
    }),
    {},
  ),
  ...backendCommon,
});

export const StdioEntry = section({
  command: text(),
  type: v.optional(oneOf(['stdio']), 'stdio'),
  args: v.optional(list(v.string('expected a text')), []),
  env: v.optional(table(v.string('expected a text')), {}),
  cwd: v.optional(text()),
  shared: v.optional(flag(), false),
  ...backendCommon,
});

/** An entry in the shape that MCP clients use: a command to start, or a URL. */
export const BackendEntry = v.lazy((input) => {
  const type: unknown = Reflect.get(Object(input), 'type');
  const remote = Object.hasOwn(Object(input), 'url') || (type !== undefined && type !== 'stdio');
  return remote ? HttpEntry : StdioEntry;
});

const GivenNames = section({
  tools: v.optional(table(legalName()), {}),
  prompts: v.optional(table(legalName()), {}),
});

const Naming = section({
  mode: v.optional(oneOf(['prefix', 'none', 'priority', 'manual'])),
  order: v.optional(list(name())),
  names: v.optional(named(GivenNames)),
});

const VirtualServer = section({
  backends: v.optional(list(name())),
  naming: v.optional(Naming, {}),
  filter: v.optional(named(Filters), {}),
  instructions: v.optional(text()),
});

const SIGNATURES = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** How an issuer is asked about its tokens (RFC 7662). */
const Introspection = section({
  endpoint: v.optional(httpUrl()),
  clientId: text(),
  clientSecret: secret(),
  authentication: v.optional(oneOf(['basic', 'post']), 'basic'),
  tokens: v.optional(oneOf(['opaque', 'all']), 'opaque'),
  tokenPrefix: v.optional(v.string('expected a text'), ''),
  timeout: v.optional(duration({ min: '100ms', max: '30s' }), '5s'),
});

const Issuer = section({
  issuer: text(),
  jwksUri: v.optional(httpUrl()),
  audiences: v.optional(list(text())),
  algorithms: v.optional(v.pipe(list(oneOf(SIGNATURES)), v.minLength(1, 'expected at least one algorithm')), [
    'RS256',
    'PS256',
    'ES256',
    'EdDSA',
  ]),
  typ: v.optional(text()),
  maxTokenAge: v.optional(duration({ min: '1s' })),
  tenantClaim: v.optional(text()),
  scopeClaim: v.optional(text(), 'scope'),
  requiredScopes: v.optional(list(text()), []),
  jwksCooldown: v.optional(duration({ min: '1s' }), '30s'),
  jwksMaxStale: v.optional(duration(), '1h'),
  jwksTimeout: v.optional(duration({ min: '100ms' }), '5s'),
  introspection: v.optional(Introspection),
});

/** Tokens that are bound to a key of the client (RFC 9449). */
const Dpop = section({
  required: v.optional(flag(), false),
  algorithms: v.optional(v.pipe(list(oneOf(SIGNATURES)), v.minLength(1, 'expected at least one algorithm')), [
    'ES256',
    'ES384',
    'ES512',
    'PS256',
    'RS256',
    'EdDSA',
    'Ed25519',
  ]),
});

const Identity = section({
  anonymous: v.optional(flag(), false),
  issuers: v.optional(list(Issuer), []),
  scopeImplies: v.optional(table(list(text())), {}),
  acceptLoopbackAudience: v.optional(flag(), false),
  verdictCache: v.optional(duration({ max: '60s' }), '60s'),
  tokenGrace: v.optional(duration({ max: '5m' }), '30s'),
  dpop: v.optional(Dpop, {}),
});

const redisCommon = {
  type: v.literal('redis'),
  username: v.optional(text()),
  password: v.optional(secret()),
  /** PEM files. */
  tls: v.optional(
    section({
      ca: v.optional(text()),
      cert: v.optional(text()),
      key: v.optional(text()),
      servername: v.optional(text()),
    }),
  ),
  prefix: v.optional(text(), 'outrigger'),
  durability: v.optional(oneOf(['local', 'replicated']), 'local'),
  waitReplicas: v.optional(count({ min: 1, max: 5 }), 1),
  commandTimeout: v.optional(duration({ min: '50ms', max: '10s' }), '500ms'),
};

const Node = address();

const Redis = section({
  ...redisCommon,
  url: v.optional(v.pipe(text(), v.regex(/^rediss?:\/\/\S+$/, 'expected a redis:// or rediss:// URL'))),
  sentinel: v.optional(
    section({
      name: text(),
      nodes: v.pipe(list(Node), v.minLength(1, 'expected at least one node')),
      username: v.optional(text()),
      password: v.optional(secret()),
    }),
  ),
  cluster: v.optional(section({ nodes: v.pipe(list(Node), v.minLength(1, 'expected at least one node')) })),
});

const Store = v.variant(
  'type',
  [
    section({ type: v.literal('embedded'), path: v.optional(text()) }),
    section({ type: v.literal('memory') }),
    Redis,
  ],
  'expected one of embedded, redis, memory',
);

const ServerKey = v.pipe(
  section({ id: name(), file: v.optional(text()), env: v.optional(text()) }),
  v.check(
    ({ file, env }) => (file === undefined) !== (env === undefined),
    'expected either file or env, naming where the key is',
  ),
);

const Limits = section({
  sessionIdle: v.optional(duration({ min: '1s' }), '30m'),
  sessionAbsolute: v.optional(duration({ min: '1s' }), '24h'),
  liveSessions: v.optional(count({ min: 1 }), 5_000),
  liveMemory: v.optional(size({ min: '1MiB' }), '320MiB'),
  sessionsPerPrincipal: v.optional(count({ min: 1 }), 100),
  anonymousPerSidecar: v.optional(count({ min: 1 }), 1_000),
  initializePerMinute: v.optional(count({ min: 1 }), 600),
  initializeBurst: v.optional(count({ min: 1 }), 100),
  restoreDeadline: v.optional(duration({ min: '100ms' }), '15s'),
  restoresAtOnce: v.optional(count({ min: 1 }), 64),
  backendInitialize: v.optional(duration({ min: '100ms' }), '10s'),
  initializeAnswer: v.optional(duration(), '2s'),
  requestTimeout: v.optional(duration({ min: '100ms' }), '60s'),
  humanPaced: v.optional(duration({ min: '1s' }), '10m'),
  message: v.optional(size({ min: '4KiB', max: '64MiB' }), '4MiB'),
  streamAfter: v.optional(duration(), '1s'),
  lease: v.optional(duration({ min: '50ms', max: '1s' }), '1s'),
  drain: v.optional(duration({ min: '100ms' }), '30s'),
  stdioChildren: v.optional(count({ min: 1 }), 64),
});

const HelperProcess = section({
  name: name(),
  command: text(),
  args: v.optional(list(v.string('expected a text')), []),
  env: v.optional(table(v.string('expected a text')), {}),
  ready: v.optional(section({ url: httpUrl() })),
});

/** What `outrigger up` starts beside the mesh itself. A replica ignores it. */
const Up = section({
  replicas: v.optional(count({ min: 1, max: 9 }), 2),
  folders: v.optional(
    list(v.pipe(text(), v.regex(/^[A-Za-z0-9_-]+$/, 'expected the name of a folder in the state folder'))),
    [],
  ),
  processes: v.optional(list(HelperProcess), []),
});

export const ConfigFile = section({
  replica: v.optional(name()),
  state: v.optional(text()),
  listen: v.optional(
    section({
      grpc: GrpcListener,
      ops: v.optional(address(), '127.0.0.1:4291'),
    }),
    {},
  ),
  log: v.optional(
    section({
      level: v.optional(oneOf(LOG_LEVELS), 'info'),
      format: v.optional(oneOf(LOG_FORMATS), 'auto'),
    }),
    {},
  ),
  store: v.optional(Store, { type: 'embedded' }),
  keys: v.optional(
    section({
      server: v.pipe(list(ServerKey), v.minLength(1, 'expected at least one key')),
      index: section({ current: secret(), previous: v.optional(secret()) }),
    }),
  ),
  identity: v.optional(Identity, {}),
  admission: v.optional(Admission, {}),
  pinning: v.optional(Pinning),
  advertise: v.optional(
    section({ resource: v.optional(httpUrl()), scopes: v.optional(list(text()), []) }),
    {},
  ),
  connect: v.optional(ConnectSection),
  mcpServers: named(BackendEntry),
  virtualServers: v.optional(named(VirtualServer), {}),
  limits: v.optional(Limits, {}),
  overload: v.optional(OverloadSection, {}),
  callLimits: v.optional(CallLimitsSection, {}),
  audit: v.optional(AuditSection),
  tracing: v.optional(tracingSection(secret())),
  admin: v.optional(AdminSection),
  up: v.optional(Up, {}),
});

export type ConfigFile = v.InferOutput<typeof ConfigFile>;
