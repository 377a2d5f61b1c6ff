export interface EncodedEvent {
  readonly id?: string | undefined;
  /** How long the reader shall wait before it comes back, in milliseconds. */
  readonly retryMs?: number | undefined;
  /** The data in pieces; none make the empty data of a priming event. */
  readonly pieces: readonly Uint8Array[];
}

/** A comment: keeps idle connections and the proxies on their way alive, and readers ignore it. */
export const KEEP_ALIVE: Uint8Array = Buffer.from(':\n\n');

/**
 * One event, in pieces. The data is given verbatim where it has no line end;
 * where it has (pretty-printed JSON), each line becomes a data line of its own, and
 * the reader sees line feeds, which mean the same between JSON tokens.
 * The id is the mesh's own and holds no line end.
 */
export function encodeEvent({ id, retryMs, pieces }: EncodedEvent): Uint8Array[] {
  const head = `${id === undefined ? '' : `id: ${id}\n`}${retryMs === undefined ? '' : `retry: ${retryMs}\n`}data: `;
  const out: Uint8Array[] = [head === 'data: ' ? DATA : Buffer.from(head)];
  for (const piece of pieces) appendLines(out, piece);
  out.push(END);
  return out;
}

const LF = 0x0a;
const CR = 0x0d;
const DATA = Buffer.from('data: ');
const NEXT_LINE = Buffer.from('\ndata: ');
const END = Buffer.from('\n\n');

function appendLines(out: Uint8Array[], piece: Uint8Array): void {
  let lf = piece.indexOf(LF);
  let cr = piece.indexOf(CR);
  if (lf < 0 && cr < 0) {
    out.push(piece);
    return;
  }
  let p = 0;
  while (lf >= 0 || cr >= 0) {
    const end = cr >= 0 && (lf < 0 || cr < lf) ? cr : lf;
    out.push(piece.subarray(p, end), NEXT_LINE);
    p = end === cr && lf === cr + 1 ? end + 2 : end + 1;
    if (cr >= 0 && cr < p) cr = piece.indexOf(CR, p);
    if (lf >= 0 && lf < p) lf = piece.indexOf(LF, p);
  }
  out.push(piece.subarray(p));
}
