import { startDiscoverStage } from '../support/discover-stage.ts';
import type { McpClient, Reply } from '../support/mcp-client.ts';

/**
 * What the conformance suite starts as a client of its servers, `login-client.ts URL`: a whole mesh before that
 * URL, a client of the mesh that opens URLs, and a person who logs in wherever the client is asked to. What an
 * operator may have to write into the configuration is read from the suite's context.
 */

interface Context {
  readonly client_id?: string;
  readonly client_secret?: string;
  readonly issuer?: string;
}

/** Where the suite expects the metadata document of whoever has one. */
const CLIENT_METADATA = 'https://conformance-test.local/client-metadata.json';
/** A person has no patience for more. */
const MOST_LOGINS = 4;

const url = process.argv.at(-1) ?? '';
const { MCP_CONFORMANCE_CONTEXT: given = '{}', MCP_CONFORMANCE_SCENARIO: scenario } = process.env;
const context = JSON.parse(given) as Context;
process.env['OUTRIGGER_TEST_SUITE_SECRET'] = context.client_secret;
const { client_id: id, issuer } = context;
const client = { id, auth: 'client_secret_basic', secret: { env: 'OUTRIGGER_TEST_SUITE_SECRET' } };

await using stage = await startDiscoverStage({
  url,
  credential: {
    ...(scenario === 'auth/basic-cimd' ? { clientMetadata: CLIENT_METADATA } : {}),
    ...(id === undefined ? {} : { clients: [{ issuer, client }] }),
  },
});
const alice = await stage.open('alice');
const replies = [await done(alice, () => alice.call('test-tool')), await alice.request('tools/list')];
await alice.end();
for (const { status, body } of replies) console.error(status, body);
if (replies.some(({ answer }) => answer?.result === undefined)) {
  console.error(stage.mesh.log().join('\n'));
  process.exitCode = 1;
}

/** What comes of it after as many logins as it takes. */
async function done(from: McpClient, ask: () => Promise<Reply>): Promise<Reply> {
  let reply = await ask();
  for (let logins = 0; logins < MOST_LOGINS && isAsked(reply); logins += 1) {
    const { status } = await stage.logIn('alice', reply);
    if (status !== 200) return reply;
    reply = await ask();
  }
  return reply;

  function isAsked({ answer }: Reply): boolean {
    return answer?.error?.code === -32042 && from.sessionId !== undefined;
  }
}
