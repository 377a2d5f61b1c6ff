import type { MeshFacts } from '../mesh/exchange.ts';
import { type Answer, jsonAnswer, METADATA_PATH } from './answers.ts';

/** Whether the target names the metadata document of this resource, at its root form or with the path of ours. */
export function isMetadataPath(path: string): boolean {
  return path === METADATA_PATH || path === `${METADATA_PATH}/mcp`;
}

/**
 * The protected resource metadata (RFC 9728 §2). Where the mesh names no logical
 * resource, the resource is the URL that the client uses. Undefined where nobody
 * can sign in: then there is no authorization server to name.
 */
export function metadataAnswer(facts: MeshFacts, host: string): Answer | undefined {
  if (facts.issuers.length === 0) return undefined;
  const document = {
    resource: facts.resource === '' ? `http://${host}/mcp` : facts.resource,
    authorization_servers: facts.issuers,
    ...(facts.scopes.length > 0 && { scopes_supported: facts.scopes }),
    bearer_methods_supported: facts.proofs?.required === true ? [] : ['header'],
    ...(facts.proofs !== undefined && {
      dpop_signing_alg_values_supported: facts.proofs.algorithms,
      dpop_bound_access_tokens_required: facts.proofs.required,
    }),
  };
  return jsonAnswer(200, ['Cache-Control', 'no-store'], Buffer.from(JSON.stringify(document)));
}
