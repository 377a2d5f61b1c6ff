import type { ServerResponse } from 'node:http';
import type { Answer } from './answers.ts';
import type { EdgeState } from './edge-state.ts';

/** Writes a whole answer at once. The connection stays open unless the sidecar is leaving. */
export function writeAnswer(response: ServerResponse, edge: EdgeState, answer: Answer): void {
  if (response.destroyed) return;
  if (edge.draining) response.shouldKeepAlive = false;
  response.writeHead(answer.status, [...answer.headers]);
  response.end(answer.body);
  // Nearly always the kernel has taken all of it by now.
  if (response.writableLength > 0) boundSlowReader(response, edge);
}

/** An answer that its reader does not take is held within the common limit and for a bounded time. */
function boundSlowReader(response: ServerResponse, edge: EdgeState): void {
  const unread = response.writableLength;
  edge.buffers.held += unread;
  response.once('close', () => {
    edge.buffers.held -= unread;
  });
  response.setTimeout(edge.limits.stallMs, () => response.destroy());
}
