/**
 * Builds a later release of the programs into the folder that is named: the present one with additions, such
 * as a next release may make, at the places below. `next-release.ts` runs it.
 */
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { bundleAll } from '../../.ci/build.mjs';

const root = join(import.meta.dirname, '../..');

/** A field that no message of this release has: number 1,000, a string. */
const NEWER_FIELD = "writer.uint32(8002).string('of the next release')";

/** Each text stands in its file, once unless it says `all`. */
const ADDITIONS = {
  'shared/version.ts': [[/'\d+\.\d+\.\d+'/, "'99.0.0'"]],
  // A field more in every message of the mesh stream, whichever holds it.
  'shared/rpc/gen/mesh.js': [['return writer;', `return ${NEWER_FIELD};`, 'all']],
  // A frame more of a kind that nobody here knows, in whatever is sent.
  'shared/rpc/mesh-protocol.ts': [
    ['wire.SidecarFrames.encode(message ', 'wire.SidecarFrames.encode({ frames: [...message.frames, {}] } '],
    ['wire.ReplicaFrames.encode(message ', 'wire.ReplicaFrames.encode({ frames: [...message.frames, {}] } '],
  ],
  'sidecar/mesh/replica-stream.ts': [[': [CAPABILITIES', ": ['foresight', CAPABILITIES"]],
  'control-plane/rpc/mesh-service.ts': [[': [CAPABILITIES', ": ['foresight', CAPABILITIES"]],
  // A field more in what is asked and answered over the admin API, also between replicas.
  'control-plane/rpc/admin-protocol.ts': [
    [
      "export const ADMIN_SERVICE = loadService('outrigger/admin/v1/admin.proto', 'outrigger.admin.v1.Admin');",
      `import protobuf from 'protobufjs/minimal.js';
       const newer = (write) => (message) => {
         const writer = protobuf.Writer.create();
         return Buffer.concat([write(message), ${NEWER_FIELD}.finish()]);
       };
       const known = loadService('outrigger/admin/v1/admin.proto', 'outrigger.admin.v1.Admin');
       export const ADMIN_SERVICE = Object.fromEntries(Object.entries(known).map(([name, method]) => [name, {
         ...method,
         requestSerialize: newer(method.requestSerialize),
         responseSerialize: newer(method.responseSerialize),
       }]));`,
    ],
  ],
  'control-plane/rpc/replica-directory.ts': [
    ['{ ...self, beatAt: now }', "{ ...self, zone: 'north', beatAt: now }"],
  ],
  // Of a session record: the body, a hint in it, the summary, and the part that the store reads.
  'control-plane/session/live-session.ts': [
    [
      'JSON.stringify({ ...this.#body, opened',
      'JSON.stringify({ ...this.#body, written: (this.#body.written ?? 0) + 1, opened',
    ],
    ['hints[name] = hint;', "hints[name] = { ...hint, warmth: 'kept' };"],
    ['JSON.stringify(this.summary)', "JSON.stringify({ ...this.summary, region: 'north' })"],
  ],
  'control-plane/store/redis-record-scripts.ts': [
    ["'version', 1, 'epoch', 1,", "'version', 1, 'shard', 7, 'epoch', 1,"],
  ],
};

const planted = new Set();

const plantAdditions = {
  name: 'the next release',
  setup(build) {
    build.onLoad({ filter: /\.(?:ts|js)$/ }, async ({ path }) => {
      const file = relative(root, path);
      if (!Object.hasOwn(ADDITIONS, file)) return undefined;
      planted.add(file);
      const text = await readFile(path, 'utf8');
      const contents = ADDITIONS[file].reduce((each, addition) => plant(file, each, addition), text);
      return { contents, loader: file.endsWith('.ts') ? 'ts' : 'js' };
    });
  },
};

function plant(file, text, [find, replace, all]) {
  const parts = text.split(find);
  if (all === undefined ? parts.length !== 2 : parts.length < 2)
    throw new Error(`${file} is another one: ${find}`);
  return parts.join(replace);
}

await bundleAll(process.argv[2], [plantAdditions]);
const missing = Object.keys(ADDITIONS).filter((file) => !planted.has(file));
if (missing.length > 0) throw new Error(`no program has ${missing.join(', ')}`);
