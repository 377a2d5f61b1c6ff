import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../gates/source-files.ts';

/** The parts of the control plane that stand between a verified caller and a backend. */
export interface Product {
  readonly SessionManager: typeof import('../../control-plane/session/session-manager.ts').SessionManager;
  readonly RecordNames: typeof import('../../control-plane/session/record-names.ts').RecordNames;
  readonly RecordCrypto: typeof import('../../control-plane/session/record-crypto.ts').RecordCrypto;
  readonly RunningCall: typeof import('../../control-plane/session/running-call.ts').RunningCall;
  readonly ClientStream: typeof import('../../control-plane/session/client-stream.ts').ClientStream;
  readonly callBackend: typeof import('../../control-plane/session/backend-call.ts').callBackend;
  readonly callersOwn: typeof import('../../control-plane/credentials/issuing-strategy.ts').callersOwn;
  readonly parseBody: typeof import('../../control-plane/session/session-record.ts').parseBody;
  readonly BackendFault: typeof import('../../control-plane/backend/backend.ts').BackendFault;
  readonly MemorySessionStore: typeof import('../../control-plane/store/memory.ts').MemorySessionStore;
  readonly SharedMemory: typeof import('../../control-plane/store/memory.ts').SharedMemory;
  readonly MeshError: typeof import('../../shared/errors.ts').MeshError;
}

/** One change of the source: `find` stands there exactly once. */
export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const MODULES = [
  'control-plane/session/session-manager.ts',
  'control-plane/session/record-names.ts',
  'control-plane/session/record-crypto.ts',
  'control-plane/session/running-call.ts',
  'control-plane/session/client-stream.ts',
  'control-plane/session/backend-call.ts',
  'control-plane/session/session-record.ts',
  'control-plane/backend/backend.ts',
  'control-plane/credentials/issuing-strategy.ts',
  'control-plane/store/memory.ts',
  'shared/errors.ts',
];
const COPIED = ['shared', 'control-plane'];

/** The product as it is. */
export function loadProduct(): Promise<Product> {
  return loadFrom(ROOT);
}

/** The product with a bug: loaded from a changed copy of its source, which `remove` deletes. */
export async function loadBroken(
  changes: readonly Change[],
): Promise<{ readonly product: Product; remove(): void }> {
  const tree = mkdtempSync(join(tmpdir(), 'outrigger-planted-'));
  const remove = () => rmSync(tree, { recursive: true, force: true });
  try {
    for (const folder of COPIED) cpSync(join(ROOT, folder), join(tree, folder), { recursive: true });
    writeFileSync(join(tree, 'package.json'), '{"type":"module"}\n');
    for (const change of changes) apply(tree, change);
    return { product: await loadFrom(tree), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function apply(tree: string, { file, find, replace }: Change): void {
  const path = join(tree, file);
  const parts = readFileSync(path, 'utf8').split(find);
  if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in ${file}`);
  writeFileSync(path, parts.join(replace));
}

async function loadFrom(root: string): Promise<Product> {
  const parts: object[] = [];
  for (const file of MODULES) parts.push(await import(pathToFileURL(join(root, file)).href));
  return Object.assign({}, ...parts);
}
