import { posix } from 'node:path';
import { type Import, importsOf } from './imports.ts';
import { lineAt, type SourceFiles, withoutComments } from './source-files.ts';

/**
 * Who may import whom. The wire is the only meeting point of the two programs,
 * a package has one home, and inside the control plane the arrows point one
 * way. Files directly in `control-plane/` are its main, its configuration and
 * its composition root: they see all.
 */

const PRODUCT = /^(shared|sidecar|control-plane)\//;
const MAIN = /(^|\/)main\.ts$/;
const ENVIRONMENT = /(^|\/)(main|config)(\.ts$|\/)/;

interface Home {
  readonly packages: RegExp;
  readonly at: RegExp;
}

/** Where a package may be imported in the product; packages that are not listed have no home to keep, nor have Node's types. */
const HOMES: readonly Home[] = [
  { packages: /^@grpc\//, at: /^(shared|sidecar|control-plane)\/rpc\/|^sidecar\/mesh\// },
  { packages: /^@cedar-policy\//, at: /^control-plane\/identity\/cedar-/ },
  { packages: /^(ioredis|lmdb)(\/|$)/, at: /^control-plane\/store\// },
  { packages: /^undici(\/|$)/, at: /^control-plane\/backend\// },
  // Loaded by whoever writes traces, and by nobody else.
  { packages: /^@opentelemetry\//, at: /^shared\/telemetry\/(otlp-tracer|span-queue)\.ts$/ },
  { packages: /^@modelcontextprotocol\/(sdk\/client|client)(\/|$)/, at: /^control-plane\/backend\// },
  {
    packages: /^(openid-client|oauth4webapi)(\/|$)/,
    // A resource server is a client in one thing: it asks an issuer about a token.
    at: /^(sidecar|control-plane)\/credentials\/|^control-plane\/identity\/introspection\.ts$/,
  },
  {
    packages: /^jose(\/|$)/,
    at: /^control-plane\/(identity|credentials)\/|^control-plane\/session\/[^/]*record[^/]*\.ts$/,
  },
  {
    packages: /^node:(http|https|http2)$/,
    at: /^sidecar\/(http|ops|connect)\/|^control-plane\/(ops|injector|connect)\//,
  },
];

/** What a folder of the control plane may import of its siblings as values. Types may come from any sibling. */
const SIBLINGS: Readonly<Record<string, readonly RegExp[]>> = {
  rpc: [/^identity\//, /^session\//, /^capabilities\//, /^virtual-server\//, /^backend\/registry/],
  session: [/^identity\//, /^virtual-server\//, /^backend\//, /^store\/session-store\.ts$/],
  capabilities: [/^session\//, /^virtual-server\//],
  identity: [],
  store: [],
  backend: [],
  'virtual-server': [],
  credentials: [],
  ops: [],
  dashboard: [],
  connect: [/^credentials\//, /^identity\//],
  // The webhook is a program of its own, with the health and metrics of all.
  injector: [/^ops\/(server|health)\.ts$/],
  // A program of its own, which asks the backends as a replica does.
  // A program of its own, which looks at all that the others rest on, with their own code.
  doctor: [
    /^config\.ts$/,
    /^keys\.ts$/,
    /^policy-check\.ts$/,
    /^probe-backends\.ts$/,
    /^backend\/backend\.ts$/,
    /^identity\/issuer-documents\.ts$/,
    /^store\/(embedded|inspect)\.ts$/,
    /^rpc\/admin-client\.ts$/,
    /^cli\//,
  ],
  pins: [/^config\.ts$/, /^probe-backends\.ts$/, /^virtual-server\//],
  // The command that explains a decision makes it as a replica does.
  cli: [/^rpc\/admin-client\.ts$/, /^config(\.ts$|\/)/, /^injector\//, /^policy-check\.ts$/],
};

/** Every broken rule, as `path:line: what is wrong`. */
export function boundaryViolations(files: SourceFiles): string[] {
  return [...files].flatMap(([path, source]) => [
    ...importsOf(source).flatMap((entry) =>
      objections(path, entry).map((what) => `${path}:${entry.line}: ${what}`),
    ),
    ...environmentReads(path, source),
  ]);
}

function objections(path: string, { specifier, typeOnly }: Import): string[] {
  if (specifier === undefined) return PRODUCT.test(path) ? ['an import names its module as a literal'] : [];
  if (!specifier.startsWith('.')) {
    const erased = typeOnly && specifier.startsWith('node:');
    return PRODUCT.test(path) && !erased ? packageObjections(path, specifier) : [];
  }
  const target = posix.normalize(posix.join(posix.dirname(path), specifier));
  if (MAIN.test(target)) return [`nobody imports an entry point (${target})`];
  if (!PRODUCT.test(path)) return [];
  if (!PRODUCT.test(target)) return [`the product does not import ${target}`];
  return [...programObjections(path, target), ...siblingObjections(path, target, typeOnly)];
}

function packageObjections(path: string, specifier: string): string[] {
  return HOMES.filter(({ packages, at }) => packages.test(specifier) && !at.test(path)).map(
    () => `${specifier} has its home elsewhere`,
  );
}

function programObjections(path: string, target: string): string[] {
  const from = path.split('/')[0];
  const to = target.split('/')[0];
  return to === from || to === 'shared' ? [] : [`${from} does not import ${to}`];
}

function siblingObjections(path: string, target: string, typeOnly: boolean): string[] {
  const [program, folder, ...rest] = path.split('/');
  const [, sibling] = target.split('/');
  const inComposition = rest.length === 0;
  if (program !== 'control-plane' || !target.startsWith('control-plane/')) return [];
  if (inComposition || folder === undefined || folder === 'config' || folder === sibling) return [];
  const allowed = SIBLINGS[folder];
  if (allowed === undefined) return [`${folder} is no folder that the rules know`];
  const inside = target.slice('control-plane/'.length);
  if ((typeOnly && folder !== 'cli') || allowed.some((pattern) => pattern.test(inside))) return [];
  return [`${folder} imports no values of ${inside}`];
}

function environmentReads(path: string, source: string): string[] {
  if (!PRODUCT.test(path) || ENVIRONMENT.test(path)) return [];
  const code = withoutComments(source);
  return [...code.matchAll(/\bprocess\s*(?:\.\s*env\b|\[\s*['"]env['"])/g)].map(
    (match) => `${path}:${lineAt(code, match.index)}: the environment is read in a main or config file`,
  );
}
