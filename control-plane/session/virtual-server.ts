import type { Naming } from '../virtual-server/naming.ts';

/** A configured virtual server, as sessions need it. */
export interface VirtualServer {
  readonly name: string;
  /** Names of backends, in the order in which lists show them. */
  readonly backends: readonly string[];
  readonly naming: Naming;
  readonly instructions: string | undefined;
}
