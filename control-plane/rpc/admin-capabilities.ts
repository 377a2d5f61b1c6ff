import type { Principal } from '../identity/principal.ts';
import type { Admission } from '../session/admission.ts';
import type { SeenView } from '../session/catalogues.ts';
import { resourceOf } from '../session/shown-lists.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import { KINDS } from '../virtual-server/item.ts';

interface CapabilityMessage {
  readonly kind: ListKind;
  readonly visible: string;
  readonly original: string;
  readonly backend: string;
  readonly visibility:
    | 'SHOWN'
    | 'SHOWN_WITHOUT_SCOPE'
    | 'DENIED'
    | 'HIDDEN_WITHOUT_SCOPE'
    | 'NOT_CONFIGURED'
    | 'NAME_TAKEN'
    | 'NOT_APPROVED';
  readonly missingScopes: readonly string[];
}

/** What one authorization context sees, what it does not, and why not that. */
export function explainView(view: SeenView, admission: Admission) {
  const { principal, missing } = view;
  return {
    principal: principalMessage(principal),
    scopes: principal.kind === 'identified' ? principal.scopes : [],
    capabilities: KINDS.flatMap((kind) => [...named(kind, view, admission), ...nameless(kind, view)]),
    missing: Object.entries(missing).map(([backend, { reason = '', message = '' }]) => ({
      backend,
      reason,
      message,
    })),
  };
}

function principalMessage(principal: Principal) {
  return principal.kind === 'identified' ? principal.binding : { issuer: '', subject: '', tenant: '' };
}

/** Items that have a name in the merged lists. */
function named(kind: ListKind, { catalogue, hidden, principal }: SeenView, admission: Admission) {
  return catalogue.entries(kind).map((entry): CapabilityMessage => {
    const objection = admission.objection(principal, resourceOf(kind, entry));
    const { visible, backend } = entry;
    const isHidden = hidden.has(entry);
    return {
      kind,
      visible,
      original: entry.item.key,
      backend,
      visibility: visibilityOf(isHidden, objection?.why),
      missingScopes: objection?.scopes ?? [],
    };
  });
}

type Objection = ReturnType<Admission['objection']>;

function visibilityOf(
  isHidden: boolean,
  why: NonNullable<Objection>['why'] | undefined,
): CapabilityMessage['visibility'] {
  if (!isHidden) return why === undefined ? 'SHOWN' : 'SHOWN_WITHOUT_SCOPE';
  if (why === 'denied') return 'DENIED';
  return why === 'hidden' ? 'HIDDEN_WITHOUT_SCOPE' : 'NOT_APPROVED';
}

/** Items that their backend has and the merged lists have not: left out by configuration, or under a name that another has. */
function nameless(kind: ListKind, { items, shapes, catalogue }: SeenView): CapabilityMessage[] {
  const entries = catalogue.entries(kind);
  return [...items].flatMap(([backend, lists]) => {
    const listed = new Set(entries.filter((entry) => entry.backend === backend).map(({ item }) => item.key));
    const unlisted = (lists[kind] ?? []).filter(({ key }) => !listed.has(key));
    return unlisted.map(({ key }): CapabilityMessage => {
      const shown = shapes.get(backend)?.admits(kind, key) ?? true;
      const visibility = shown ? 'NAME_TAKEN' : 'NOT_CONFIGURED';
      return { kind, visible: '', original: key, backend, visibility, missingScopes: [] };
    });
  });
}
