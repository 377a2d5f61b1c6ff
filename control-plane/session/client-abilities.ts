import type { RpcError } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { peekFields } from '../../shared/json-rpc/object.ts';
import { fields } from '../../shared/json-rpc/walker.ts';
import type { LiveSession } from './live-session.ts';

/** The client capability without which a request of a backend goes to nobody. */
const NEEDS: Readonly<Record<string, string>> = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
  // Its list is not carried: it would name what other backends asked for.
  'tasks/get': 'tasks',
  'tasks/result': 'tasks',
  'tasks/cancel': 'tasks',
};
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;
/** What only some clients can do of such a request (MCP 2025-11-25, Elicitation and Sampling). */
const VARIANTS = fields(['mode', 'tools']);
const URL_MODE = Buffer.from('"url"');

type Capabilities = Readonly<Record<string, Readonly<Record<string, unknown>> | null | undefined>>;

const CAPABILITIES = new WeakMap<LiveSession, Capabilities>();

function capabilitiesOf(session: LiveSession): Capabilities {
  let capabilities = CAPABILITIES.get(session);
  if (capabilities === undefined) {
    const params = JSON.parse(session.body.initializeParams) as { capabilities?: Capabilities };
    capabilities = params.capabilities ?? {};
    CAPABILITIES.set(session, capabilities);
  }
  return capabilities;
}

/** Whether the client opens URLs for its person (MCP 2025-11-25, Elicitation). */
export function elicitsUrls(session: LiveSession): boolean {
  return capabilitiesOf(session)['elicitation']?.['url'] !== undefined;
}

/** Why the client cannot answer a backend's request; undefined when it can, by its own word. */
export function refusalOf(session: LiveSession, { bytes, scanned }: Message): RpcError | undefined {
  const { method = '', params } = scanned;
  const need = NEEDS[method];
  const capability = need === undefined ? undefined : capabilitiesOf(session)[need];
  if (capability === undefined || capability === null) {
    return { code: METHOD_NOT_FOUND, message: 'The client does not support this request.' };
  }
  if (params === undefined) return undefined;
  const [mode, tools] = peekFields(bytes, params, VARIANTS);
  const asksUrl =
    method === 'elicitation/create' && mode !== undefined && slice(bytes, mode).equals(URL_MODE);
  const asksTools = method === 'sampling/createMessage' && tools !== undefined;
  if ((!asksUrl || capability['url'] !== undefined) && (!asksTools || capability['tools'] !== undefined))
    return undefined;
  return { code: INVALID_PARAMS, message: 'The client does not support this kind of the request.' };
}
