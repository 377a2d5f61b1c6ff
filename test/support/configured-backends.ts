import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backend } from '../../control-plane/backend/backend.ts';
import { BackendRegistry } from '../../control-plane/backend/registry.ts';
import { loadSettings } from '../../control-plane/config.ts';
import { createLogger } from '../../shared/log.ts';

export interface ConfiguredBackends extends AsyncDisposable {
  readonly registry: BackendRegistry;
  backend(name: string): Backend;
  /** What was logged, as parsed lines. */
  readonly logged: readonly Readonly<Record<string, unknown>>[];
}

/** The backends of a configuration file, as a replica would build them; the other files lie beside it. */
export function configuredBackends(
  mcpServers: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>> = {},
): ConfiguredBackends {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-backends-'));
  const config = JSON.stringify({ identity: { anonymous: true }, mcpServers });
  for (const [name, text] of Object.entries({ 'mesh.json': config, ...files })) {
    writeFileSync(join(folder, name), text);
  }
  const settings = loadSettings({ file: 'mesh.json', env: process.env, cwd: folder, overrides: {} });
  const logged: Record<string, unknown>[] = [];
  const registry = new BackendRegistry({
    backends: settings.backends,
    messageBytes: settings.limits.messageBytes,
    stdioChildren: settings.limits.stdioChildren,
    tokenGraceMs: settings.identity.tokenGraceMs,
    stateFolder: folder,
    log: createLogger({
      format: 'json',
      destination: { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
    }),
  });
  return {
    registry,
    logged,
    backend(name) {
      const backend = registry.get(name);
      if (backend === undefined) throw new Error(`no backend ${name}`);
      return backend;
    },
    async [Symbol.asyncDispose]() {
      await registry.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
