import * as v from 'valibot';
import { OverloadSection } from '../shared/config/overload.ts';
import { duration, size } from '../shared/config/quantity.ts';
import { count, flag, list, oneOf, section, text } from '../shared/config/section.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../shared/log.ts';
import { isSpiffeId } from '../shared/spiffe-id.ts';
import { tracingSection } from '../shared/telemetry/tracing-config.ts';

/**
 * The configuration file of a sidecar, as it is written. What only several keys
 * together can say is in `config.ts`.
 */

export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
export const ADDRESS = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/;

function name() {
  return v.pipe(
    text(),
    v.regex(NAME, 'expected a name of letters, digits, dots, - and _, at most 253 characters'),
  );
}

function address() {
  const message = 'expected host:port, such as 127.0.0.1:4290';
  return v.pipe(v.string(message), v.regex(ADDRESS, message));
}

/** A secret is never written in the file: it is read from another file or from the environment. */
const Secret = v.pipe(
  section({ file: v.optional(text()), env: v.optional(text()) }),
  v.check(
    ({ file, env }) => (file === undefined) !== (env === undefined),
    'expected either file or env, naming where the secret is',
  ),
);

const ClientCredentials = v.pipe(
  section({
    tokenEndpoint: text(),
    clientId: text(),
    clientSecret: v.optional(Secret),
    clientSecretIn: v.optional(oneOf(['header', 'body']), 'header'),
    privateKey: v.optional(section({ file: text(), keyId: v.optional(text()) })),
    workloadToken: v.optional(section({ file: text() })),
    scopes: v.optional(list(text()), []),
    resource: v.optional(text()),
    audience: v.optional(text()),
  }),
  v.check(
    (grant) => countGiven(grant.clientSecret, grant.privateKey, grant.workloadToken) === 1,
    'expected one of clientSecret, privateKey and workloadToken',
  ),
);

const Token = v.pipe(
  section({
    file: v.optional(text()),
    env: v.optional(text()),
    clientCredentials: v.optional(ClientCredentials),
  }),
  v.check(
    (token) => countGiven(token.file, token.env, token.clientCredentials) === 1,
    'expected one of file and env, naming where the token is, and clientCredentials, saying who grants it',
  ),
);

function countGiven(...values: readonly unknown[]): number {
  return values.filter((value) => value !== undefined).length;
}

/** PEM files; they are read again when they change. */
const TlsSection = section({
  ca: text(),
  cert: v.optional(text()),
  key: v.optional(text()),
  /** A token of the workload itself, shown to the replicas in place of a certificate. */
  workloadToken: v.optional(section({ file: text() })),
  /** Absent: the host of each address, or the name that `dns` gives. */
  serverName: v.optional(v.pipe(text(), v.regex(/^[A-Za-z0-9.-]+$/, 'expected a host name'))),
  serverId: v.optional(
    v.pipe(
      text(),
      v.check(
        isSpiffeId,
        'expected a SPIFFE id, such as spiffe://mesh.example/ns/outrigger/sa/control-plane',
      ),
    ),
  ),
});

const Tls = v.pipe(
  TlsSection,
  v.check(
    ({ cert, key, workloadToken }) =>
      (cert === undefined) === (key === undefined) && (cert === undefined) !== (workloadToken === undefined),
    'expected either cert and key, or workloadToken',
  ),
);

const ControlPlane = v.pipe(
  section({
    addresses: v.optional(v.pipe(list(address()), v.minLength(1, 'expected at least one address'))),
    dns: v.optional(address()),
    tls: v.optional(Tls),
  }),
  v.check(
    ({ addresses, dns }) => (addresses === undefined) !== (dns === undefined),
    'expected either addresses, or dns, a name that resolves to all replicas',
  ),
);

const Host = v.pipe(
  text(),
  v.regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/, 'expected host or host:port'),
);
const Origin = v.pipe(
  text(),
  v.regex(/^https?:\/\/[^\s/?#@]+$/, 'expected an origin, such as https://app.example'),
);

export const ConfigFile = section({
  node: v.optional(name()),
  virtualServer: v.optional(name(), 'default'),
  listen: v.optional(
    section({
      mcp: v.optional(text(), '127.0.0.1:4280'),
      ops: v.optional(address(), '127.0.0.1:4281'),
    }),
    {},
  ),
  controlPlane: v.optional(ControlPlane, { addresses: ['127.0.0.1:4290'] }),
  token: v.optional(Token),
  allowSharedLoopback: v.optional(flag(), false),
  allowNonLoopback: v.optional(flag(), false),
  allowedHosts: v.optional(list(Host), []),
  allowedOrigins: v.optional(list(Origin), []),
  log: v.optional(
    section({
      level: v.optional(oneOf(LOG_LEVELS), 'info'),
      format: v.optional(oneOf(LOG_FORMATS), 'auto'),
    }),
    {},
  ),
  tracing: v.optional(tracingSection(Secret)),
  limits: v.optional(
    section({
      message: v.optional(size({ min: '4KiB', max: '64MiB' }), '4MiB'),
      buffered: v.optional(size({ min: '1MiB' }), '48MiB'),
      streams: v.optional(count({ min: 1 }), 1_024),
      connections: v.optional(count({ min: 1 }), 2_048),
    }),
    {},
  ),
  overload: v.optional(OverloadSection, {}),
  timeouts: v.optional(
    section({
      headers: v.optional(duration({ min: '100ms' }), '60s'),
      request: v.optional(duration({ min: '100ms' }), '300s'),
      idle: v.optional(duration({ min: '1s' }), '75s'),
      stalledReader: v.optional(duration({ min: '100ms' }), '30s'),
      keepAlive: v.optional(duration({ min: '100ms', max: '15s' }), '15s'),
      drain: v.optional(duration(), '30s'),
    }),
    {},
  ),
});

export type ConfigFile = v.InferOutput<typeof ConfigFile>;
