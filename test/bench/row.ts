import type { Load } from './loads.ts';
import type { Endpoint } from './mcp-session.ts';
import type { Programs } from './programs.ts';

/** A way from the client to the backend that is measured. */
export interface Row {
  readonly name: string;
  /** The loads that it is measured with; absent, all but those for rows with a neighbour. */
  readonly loads?: readonly string[];
  /** Rejects with NotHere where this machine lacks what it needs. */
  start(to: { backendUrl: string; programs: Programs }): Promise<RunningRow>;
}

/** A row that stands: where the client connects, and which processes it consists of. */
export interface RunningRow extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  /** Works while this row is measured, and rests before and after. */
  readonly neighbour?: { work(): void; rest(): void };
}

/** A row cannot stand on this machine; the others can be measured all the same. */
export class NotHere extends Error {
  override readonly name = 'NotHere';
}

/** Whether the row is measured with the load. */
export function takes(row: Pick<Row, 'loads'>, load: Load): boolean {
  return row.loads === undefined ? load.beside !== true : row.loads.includes(load.name);
}
