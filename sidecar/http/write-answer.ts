import type { ServerResponse } from 'node:http';
import type { Answer } from './answers.ts';
import type { EdgeState } from './edge-state.ts';

/** A whole answer; a long body may be in pieces, which nobody needs in one. */
interface WholeAnswer extends Omit<Answer, 'body'> {
  readonly body: Uint8Array | readonly Uint8Array[];
}

/** Writes a whole answer at once. The connection stays open unless the sidecar is leaving. */
export function writeAnswer(response: ServerResponse, edge: EdgeState, answer: WholeAnswer): void {
  if (response.destroyed) return;
  if (edge.draining) response.shouldKeepAlive = false;
  response.writeHead(answer.status, [...answer.headers]);
  if (answer.body instanceof Uint8Array) response.end(answer.body);
  else endWith(response, answer.body);
  // Nearly always the kernel has taken all of it by now.
  if (response.writableLength > 0) boundSlowReader(response, edge);
}

/** Head and pieces leave in one write. */
function endWith(response: ServerResponse, pieces: readonly Uint8Array[]): void {
  response.cork();
  for (const piece of pieces) response.write(piece);
  response.end();
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
