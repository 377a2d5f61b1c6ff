import type { VirtualServer } from './session/virtual-server.ts';
import type { Settings } from './settings.ts';

/** A sidecar that names no virtual server, or `default`, gets the first where none has that name. */
export function namedServer(settings: Settings, name: string): VirtualServer | undefined {
  const wanted = name === '' ? 'default' : name;
  const named = settings.virtualServers.find((server) => server.name === wanted);
  return named ?? (wanted === 'default' ? settings.virtualServers[0] : undefined);
}
