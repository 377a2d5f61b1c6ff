import { invalid, notFound } from './admin-fault.ts';
import type { Admin } from './admin-gate.ts';
import type { Named, Scoped } from './admin-messages.ts';
import type { AdminPeers } from './admin-peers.ts';

interface Question {
  readonly method: string;
  readonly request: Named & Scoped;
  readonly admin: Admin;
}

/**
 * Answers a question about one replica, which the request names: here where it is this one, and by
 * the peer of that name otherwise. Whoever was asked as that peer and is not passes it on to nobody.
 */
export async function ofOneReplica(
  { replica, peers }: { readonly replica: string; readonly peers: Pick<AdminPeers, 'require'> },
  question: Question,
  answer: () => object | Promise<object>,
): Promise<object> {
  const { name, localOnly } = question.request;
  const [, named] = /^replicas\/(.+)$/.exec(name) ?? [];
  if (named === undefined) throw invalid('name: expected replicas/ and the name of a replica.');
  if (named === replica) return await answer();
  if (localOnly) throw notFound(`replica "${named}" here`);
  return await peers.require<object>(named, question);
}
