import * as v from 'valibot';
import { certificateFaults, certificateId } from '../shared/config/certificates.ts';
import { isLoopbackHost } from '../shared/config/hosts.ts';
import { list, section, text } from '../shared/config/section.ts';
import { isSpiffePattern } from '../shared/spiffe-id.ts';
import type { ConfigContext } from './config-context.ts';
import type { Address, IdentitySettings, MeshTlsSettings, WorkloadTokenSettings } from './settings.ts';

/** Where the mesh stream is served, and how: plain text is for loopback alone. */

export function address() {
  const message = 'expected host:port, such as 127.0.0.1:4290';
  return v.pipe(v.string(message), v.regex(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/, message));
}

const DEFAULT_ADDRESS = '127.0.0.1:4290';

const spiffePattern = (example: string) =>
  v.pipe(text(), v.check(isSpiffePattern, `expected a SPIFFE id, such as ${example}`));

const Client = section({
  id: spiffePattern('spiffe://mesh.example/ns/*/sa/agent'),
  virtualServers: v.optional(list(text())),
});

/** PEM files; they are read again when they change. */
const Tls = section({
  cert: text(),
  key: text(),
  ca: text(),
  /** The sidecars that are served; absent, all that `ca` vouches for. */
  clients: v.optional(v.pipe(list(Client), v.minLength(1, 'expected at least one client'))),
  /** The replicas, which ask each other for admins; absent, whoever has the id of `cert`. */
  replicas: v.optional(list(spiffePattern('spiffe://mesh.example/ns/outrigger/sa/control-plane'))),
  /** Service-account tokens, by which sidecars without a certificate prove which workload they are. */
  workloadTokens: v.optional(
    section({
      /** One of `identity.issuers`. */
      issuer: text(),
      /** That such tokens are for, and no other tokens. */
      audience: text(),
      trustDomain: v.pipe(text(), v.regex(/^[a-z0-9._-]{1,255}$/, 'expected a name, such as mesh.example')),
    }),
  ),
});

export const GrpcAddress = v.pipe(
  address(),
  v.transform((written) => ({ address: written, advertise: undefined, tls: undefined })),
);
export const GrpcSection = section({
  address: v.optional(address(), DEFAULT_ADDRESS),
  /** Where the other replicas reach this one; absent, at `address`, or at this machine's own where that is every one. */
  advertise: v.optional(address()),
  tls: v.optional(Tls),
});

/** An address alone, or a group with `address` and `tls`. */
export const GrpcAddressOrSection = v.lazy((input) =>
  typeof input === 'string' ? GrpcAddress : GrpcSection,
);

export const GrpcListener = v.optional(GrpcAddressOrSection, DEFAULT_ADDRESS);

type GrpcListener = v.InferOutput<typeof GrpcListener>;

export interface GrpcListenSettings {
  readonly address: Address;
  readonly advertise: string | undefined;
  readonly tls: MeshTlsSettings | undefined;
}

export function resolveGrpcListener(
  written: GrpcListener,
  identity: IdentitySettings,
  context: ConfigContext,
): GrpcListenSettings {
  const at = context.address(['listen', 'grpc'], written.address);
  const { tls, advertise } = written;
  if (tls === undefined) {
    if (!isLoopbackHost(at.host)) {
      const message =
        "the mesh stream carries callers' tokens: only a loopback address, or listen.grpc.tls with cert, key and ca";
      context.problem(['listen', 'grpc'], message);
    }
    return { address: at, advertise, tls: undefined };
  }
  const path = ['listen', 'grpc', 'tls'];
  const read = (part: 'cert' | 'key' | 'ca') => context.file([...path, part], tls[part]);
  const certificates = { cert: read('cert'), key: read('key'), ca: read('ca') };
  // A file that could not be read is its own problem.
  for (const { part, message } of certificateFaults(certificates)) {
    if (certificates[part] !== '') context.problem([...path, part], message);
  }
  const own = certificateId(certificates.cert);
  const replicas = tls.replicas ?? (own === undefined ? [] : [own]);
  const workloadTokens = tls.workloadTokens && resolveTokens(tls.workloadTokens, identity, context);
  const rules = { clients: tls.clients, replicas, workloadTokens };
  return { address: at, advertise, tls: { certificates, ...rules } };
}

type WorkloadTokens = NonNullable<v.InferOutput<typeof Tls>['workloadTokens']>;

/** By the issuer's keys, which are kept while it cannot be reached. */
function resolveTokens(
  { issuer, audience, trustDomain }: WorkloadTokens,
  identity: IdentitySettings,
  context: ConfigContext,
): WorkloadTokenSettings {
  const path = ['listen', 'grpc', 'tls', 'workloadTokens'];
  const known = identity.issuers.filter((each) => each.issuer === issuer);
  if (known.length === 0) context.problem([...path, 'issuer'], 'this is none of identity.issuers');
  if (known.some(({ audiences }) => audiences.includes(audience)))
    context.problem([...path, 'audience'], "this is an audience of callers' tokens: a sidecar's is another");
  const issuers = known.map((each) => ({ ...each, requiredScopes: [], audiences: [audience] }));
  return { identity: { ...identity, anonymous: false, issuers }, trustDomain };
}
