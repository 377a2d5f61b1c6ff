import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

/**
 * Services whose speed does not matter are read from the proto files at start.
 * The sidecar does not import this file: the loader is a third of its memory.
 */

/** The service of this full name, from a file below `proto/`. Throws when either is missing. */
export function loadService(file: string, name: string): ServiceDefinition {
  const definition = loadProtos([file])[name];
  if (definition === undefined || 'format' in definition) throw new Error(`${file} has no service ${name}`);
  return definition;
}

/** Everything that files below `proto/` define, under names in camel case unless `keepCase`. Throws when one is missing. */
export function loadProtos(files: readonly string[], { keepCase = false } = {}): PackageDefinition {
  const root = protoFolder(import.meta.dirname);
  return loadSync(
    files.map((file) => join(root, file)),
    { includeDirs: [root], keepCase, longs: Number, enums: String, defaults: true, oneofs: true },
  );
}

/** The program runs from its sources or from a bundle; `proto` is beside or above either. */
function protoFolder(from: string): string {
  const folder = join(from, 'proto');
  if (existsSync(join(folder, 'outrigger'))) return folder;
  const above = dirname(from);
  if (above === from) throw new Error('the folder proto is missing from this installation');
  return protoFolder(above);
}
