/** What one process used while a load ran against its row. */
export interface ProcessUse {
  readonly name: string;
  /** User and system time, in microseconds. */
  readonly cpuUs: number;
  /** Resident set at the end of the load, in bytes. */
  readonly rssBytes: number;
}

/** One load against one row, once. */
export interface Sample {
  readonly row: string;
  readonly load: string;
  readonly round: number;
  readonly calls: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** The processes of the row itself, without backend and client. */
  readonly processes: readonly ProcessUse[];
  readonly backend: ProcessUse;
  readonly client: ProcessUse;
}

/** All that a run measured. */
export interface Measured {
  readonly samples: readonly Sample[];
}

/** A figure of a sample; larger is better only for `callsPerSecond`. */
export type Metric = 'callsPerSecond' | 'p50Us' | 'p99Us' | 'cpuUsPerCall' | 'rssBytes';

/** Reads a figure of a sample. CPU and memory are those of the row's own processes together. */
export function metric(sample: Sample, name: Metric): number {
  switch (name) {
    case 'callsPerSecond':
      return sample.calls / sample.seconds;
    case 'cpuUsPerCall':
      return sum(sample.processes.map(({ cpuUs }) => cpuUs)) / sample.calls;
    case 'rssBytes':
      return sum(sample.processes.map(({ rssBytes }) => rssBytes));
    default:
      return sample[name];
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
