import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startDiscoverStage } from '../support/discover-stage.ts';
import type { Reply } from '../support/mcp-client.ts';
import { until } from '../support/story.ts';
import { type Check, runClientConformance } from './run-conformance.ts';

/**
 * A whole mesh that the suite judges, one scenario after the other: for each the suite's server becomes a backend
 * of it, and alice, who has a client that opens URLs, calls a tool there and logs in wherever she is asked to.
 */
export interface LoginJudge extends AsyncDisposable {
  judge(scenario: string): Promise<readonly Check[]>;
}

interface Task {
  readonly url: string;
  readonly scenario: string;
  /** What an operator would write into the configuration. */
  readonly context: {
    readonly client_id?: string;
    readonly client_secret?: string;
    readonly issuer?: string;
  };
}

/** Where the suite expects the metadata document of whoever has one. */
const CLIENT_METADATA = 'https://conformance-test.local/client-metadata.json';
/** A person has no patience for more. */
const MOST_LOGINS = 4;
const SECRET_FILE = 'suite-secret';
const TIMEOUT_MS = 60_000;

export async function startLoginJudge(): Promise<LoginJudge> {
  const stage = await startDiscoverStage({ url: 'http://127.0.0.1:9/mcp' });
  let applied = 0;
  const server = createServer((incoming, outgoing) => {
    json(incoming)
      .then((task) => play(task as Task))
      .then((replies) => {
        const done = replies.every(({ answer }) => answer?.result !== undefined);
        outgoing.writeHead(done ? 200 : 500).end(JSON.stringify(replies));
      })
      .catch((error: unknown) => outgoing.writeHead(500).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = fileURLToPath(import.meta.resolve('./login-client.mjs'));
  return {
    judge: (scenario) =>
      runClientConformance({
        command: `${process.execPath} ${client} ${here}`,
        scenario,
        revised: true,
        timeoutMs: TIMEOUT_MS,
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await stage[Symbol.asyncDispose]();
    },
  };

  async function play({ url, scenario, context }: Task): Promise<readonly Reply[]> {
    applied += 1;
    const name = `suite-${applied}`;
    await stage.mesh.write(SECRET_FILE, context.client_secret ?? 'none');
    await stage.configure({ [name]: { url, credential: credentialFor(scenario, context) } });
    await until(`${name} is a backend`, () => {
      return stage.mesh.log().filter((line) => line.includes('"config_applied"')).length >= applied;
    });
    const alice = await stage.open('alice');
    const ask = () => alice.call('test-tool');
    let reply = await ask();
    for (let logins = 0; logins < MOST_LOGINS && reply.answer?.error?.code === -32042; logins += 1) {
      const { status } = await stage.logIn('alice', reply);
      if (status !== 200) break;
      reply = await ask();
    }
    const list = await alice.request('tools/list');
    await alice.end();
    return [reply, list];
  }
}

function credentialFor(scenario: string, { client_id: id, issuer }: Task['context']) {
  const client = { id, auth: 'client_secret_basic', secret: { file: SECRET_FILE } };
  return {
    strategy: 'discover',
    ...(scenario === 'auth/basic-cimd' ? { clientMetadata: CLIENT_METADATA } : {}),
    ...(id === undefined ? {} : { clients: [{ issuer, client }] }),
  };
}
