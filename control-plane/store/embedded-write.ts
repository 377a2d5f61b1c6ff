/** A write inside a transaction. Whoever commits the transaction hears what became of it; nobody hears it here. */
export function partOf(write: Promise<unknown>): void {
  write.catch(commitError);
}

/** Why a commit failed: LMDB's binding hides it behind a promise of its own, which somebody has to take. Never rejects. */
export async function commitError(error: unknown): Promise<unknown> {
  if (!(error instanceof Error)) return error;
  const why: unknown = Reflect.get(error, 'commitError');
  return why instanceof Promise ? why.catch((reason: unknown) => reason) : error;
}

/** ENOSPC, EFBIG, EDQUOT, and EIO for a write of which only a part had room: as LMDB tells them, by number. */
const FULL: ReadonlySet<unknown> = new Set([28, 27, 122, 5]);

/** Whether there was no room on the disk, as far as can be told. */
export function isDiskFull(cause: unknown): boolean {
  return FULL.has(Reflect.get(Object(cause), 'code'));
}
