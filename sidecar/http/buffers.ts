/**
 * What the edge holds in memory for clients that send or read slowly: bodies not
 * yet whole and answers not yet read. Beyond the limit new work is shed with 503
 * and streams hold their senders, so that many slow clients cost what one number
 * says and never the process.
 */
export class Buffers {
  readonly limit: number;
  held = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get full(): boolean {
    return this.held > this.limit;
  }
}
