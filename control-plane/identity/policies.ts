import type { Item } from '../virtual-server/item.ts';
import type { Principal } from './principal.ts';

export const ACTIONS = ['list', 'call', 'read', 'get', 'subscribe', 'complete'] as const;

/** What may be done with an item: `list` is to see it, the others are the uses of what is seen. */
export type Action = (typeof ACTIONS)[number];

/** One tool, prompt, resource or template, as policies see it. */
export interface PolicyResource {
  readonly kind: 'tool' | 'prompt' | 'resource' | 'template';
  readonly backend: string;
  /** The backend's own name or URI. */
  readonly name: string;
  /** The name or URI that the client uses. */
  readonly visible: string;
  /** As clients see it; undefined for what no list holds. */
  readonly definition: Pick<Item, 'bytes' | 'hash' | 'given'> | undefined;
}

export interface Question {
  readonly principal: Principal;
  readonly action: Action;
  readonly resource: PolicyResource;
}

/**
 * Decides by policies. Every failure to decide is a denial. Answers are kept for
 * an authorization context and an item: asking again costs next to nothing.
 */
export interface Policies {
  /** Whether an answer may depend on what a backend says of an item. */
  readonly readsDefinitions: boolean;
  /** `depends`: on the arguments of the call. */
  decide(question: Question): 'allow' | 'deny' | 'depends';
  /** For what depends on them. `args` is the raw JSON object; undefined where the call has none. */
  decideWith(question: Question, args: Buffer | undefined): 'allow' | 'deny';
}
