import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { RecordedRequest } from '../support/recording-backend/record.ts';
import { answered, McpClient, type Reply, reasonOf, type Setting, startSetting } from '../support/story.ts';

describe('What a scope permits', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({
      entry: { requiredScopes: ['rec:use'], tools: { count: { requiredScopes: ['rec:count', 'rec:more'] } } },
      identity: { scopeImplies: { 'rec:admin': ['rec:count', 'rec:more', 'rec:use'] } },
      config: { advertise: { resource: 'https://mesh.example/mcp', scopes: ['rec:list'] } },
    });
    await setting.whole();
  });
  after(() => setting[Symbol.asyncDispose]());

  function client(scope: string, sub = 'alice'): Promise<McpClient> {
    return McpClient.open({ url: setting.mesh.url, token: setting.token({ sub, scope }) });
  }

  it(
    verifies(
      'HTTP-23',
      'I11',
      'BACK-6',
    )('a caller that lacks one is told all that the operation needs, and no backend hears of it'),
    async () => {
      const caller = await client('rec:list');
      const { requests } = setting.backend.view.record;
      expectStepUp(await caller.call('whoami'), 'rec:use');
      expectStepUp(await caller.call('count'), 'rec:use rec:count rec:more');
      expect(setting.backend.view.record.requests.filter(isCall)).to.have.length(
        requests.filter(isCall).length,
      );
    },
  );

  it(verifies('HTTP-23', 'RST-10')('with a token that has them the same session goes on'), async () => {
    const caller = await client('rec:list');
    const challenge = expectStepUp(await caller.call('count'), 'rec:use rec:count rec:more');
    const stepped = caller.alias({ token: setting.token({ scope: challenge }) });
    expect((await stepped.call('count')).status).to.equal(200);
    expectStepUp(await caller.call('count'), 'rec:use rec:count rec:more');
  });

  it('a scope that implies them will do, and they are no secret to whoever lists', async () => {
    const caller = await client('rec:admin');
    expect((await caller.call('count')).status).to.equal(200);
    expect(await toolsOf(await client('rec:list'))).to.include.members(['count', 'whoami']);
  });

  it(
    verifies('I11', 'RST-10')('what one caller may, another may not, on the replica that takes over as well'),
    async () => {
      const [ada, bob] = [await client('rec:admin', 'ada'), await client('rec:use', 'bob')];
      const each = async () => {
        expect((await answered(() => ada.call('count'))).status).to.equal(200);
        expectStepUp(await answered(() => bob.call('count')), 'rec:use rec:count rec:more');
        expect((await answered(() => bob.call('whoami'))).status).to.equal(200);
      };
      await each();
      const { owner } = await setting.open({ token: setting.token({ scope: 'rec:admin' }) });
      await setting.lose(owner);
      await each();
      await setting.whole();
    },
  );
});

function expectStepUp(reply: Reply, scope: string): string {
  expect(reply.status, reply.body).to.equal(403);
  const challenge = reply.headers['www-authenticate'] ?? '';
  expect(challenge).to.contain('error="insufficient_scope"').and.contain('resource_metadata="');
  expect(/scope="([^"]*)"/.exec(challenge)?.[1]).to.equal(scope);
  expect(reasonOf(reply)).to.equal('insufficient_scope');
  return scope;
}

function isCall({ rpc }: RecordedRequest): boolean {
  return rpc === 'tools/call';
}

async function toolsOf(client: McpClient): Promise<string[]> {
  const reply = await client.request('tools/list');
  return (reply.answer as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name);
}
