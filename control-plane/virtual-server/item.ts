import type { Span } from '../../shared/json-rpc/message.ts';

/** What a virtual server merges; each is the name of the member that holds the items in a list result. */
export const KINDS = ['tools', 'resources', 'resourceTemplates', 'prompts'] as const;

export type ListKind = (typeof KINDS)[number];

/** One definition. Equal items are the same object in one process. */
export interface Item {
  /** Verbatim, but for what configuration says of it. */
  readonly bytes: Buffer;
  /** SHA-256 of the bytes, base64url. */
  readonly hash: string;
  /** The decoded name, URI or URI template by which the backend knows it. */
  readonly key: string;
  /** Where the raw key lies in the bytes. */
  readonly keySpan: Span;
  /** Where configuration describes it otherwise: as its backend gave it. */
  readonly given?: Item;
}

/** The last known items of a backend. A kind that has never been read is absent, and that is not the same as empty. */
export type BackendItems = Readonly<Partial<Record<ListKind, readonly Item[]>>>;

export function byKind<T>(make: (kind: ListKind) => T): Record<ListKind, T> {
  const [tools, resources, resourceTemplates, prompts] = KINDS;
  return {
    tools: make(tools),
    resources: make(resources),
    resourceTemplates: make(resourceTemplates),
    prompts: make(prompts),
  };
}
