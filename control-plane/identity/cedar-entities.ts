import type { CedarValueJson, EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { slice } from '../../shared/json-rpc/message.ts';
import { peekFields } from '../../shared/json-rpc/object.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import { claimRecord } from './cedar-values.ts';
import type { Action, PolicyResource } from './policies.ts';
import type { Principal } from './principal.ts';
import type { ScopeHierarchy } from './scopes.ts';

/** Whether some policy reads an attribute of this name: nothing else has to be told to the engine. */
export type Mentions = (attribute: string) => boolean;

export interface PrincipalOptions {
  readonly scopes: ScopeHierarchy;
  readonly groupsClaim: string;
  readonly mentions: Mentions;
}

const RESOURCE_TYPES: Readonly<Record<PolicyResource['kind'], string>> = {
  tool: 'Outrigger::Tool',
  prompt: 'Outrigger::Prompt',
  resource: 'Outrigger::Resource',
  template: 'Outrigger::Template',
};

export function actionUid(action: Action): TypeAndId {
  return { type: 'Outrigger::Action', id: action };
}

export function principalEntity(principal: Principal, options: PrincipalOptions): EntityJson {
  if (principal.kind === 'anonymous') {
    return { uid: { type: 'Outrigger::Anonymous', id: 'anonymous' }, attrs: {}, parents: [] };
  }
  const { binding, scopes, claims, actorChain } = principal;
  const { issuer, subject, tenant } = binding;
  const groups = groupsOf(claims[options.groupsClaim]);
  const actors = actorChain.map((actor) => ({ issuer: actor.issuer, subject: actor.subject }));
  const [actor] = actors;
  const attrs = {
    issuer,
    subject,
    tenant,
    // With all that they imply.
    scopes: [...options.scopes.effective(scopes)],
    groups,
    actorChain: actors,
    // The one that acts now; absent where the principal acts by itself.
    ...(actor === undefined ? {} : { actor }),
    claims: claimRecord(claims),
  };
  return {
    uid: { type: 'Outrigger::Principal', id: `${issuer}|${subject}` },
    attrs: read(attrs, options.mentions),
    parents: groups.map((id) => ({ type: 'Outrigger::Group', id })),
  };
}

export function resourceEntity(resource: PolicyResource, mentions: Mentions): EntityJson {
  const { kind, backend, name, visible } = resource;
  return {
    uid: { type: RESOURCE_TYPES[kind], id: `${backend}/${name}` },
    attrs: {
      ...read({ backend, name, visible }, mentions),
      ...(mentions('annotations') ? { annotations: annotationsOf(resource) } : {}),
    },
    parents: [{ type: 'Outrigger::Backend', id: backend }],
  };
}

function read(attrs: Record<string, CedarValueJson>, mentions: Mentions): Record<string, CedarValueJson> {
  return Object.fromEntries(Object.entries(attrs).filter(([name]) => mentions(name)));
}

/** One text, or those of a list. */
function groupsOf(claim: unknown): string[] {
  const listed: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return listed.filter((each) => typeof each === 'string');
}

const ANNOTATIONS = fields(['annotations']);

/** What the backend says of its item (MCP, ToolAnnotations): its word, no proof. */
function annotationsOf({ definition }: PolicyResource): Record<string, CedarValueJson> {
  if (definition === undefined) return {};
  const { bytes } = definition;
  const [annotations] = peekFields(bytes, { start: 0, end: bytes.length }, ANNOTATIONS);
  return annotations === undefined ? {} : claimRecord(JSON.parse(slice(bytes, annotations).toString('utf8')));
}
