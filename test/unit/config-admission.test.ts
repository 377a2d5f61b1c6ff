import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import { verifies } from '../requirements.ts';

const ISSUER = { issuer: 'https://as.example', audiences: ['mesh'] };
const ASKED = { clientId: 'mesh', clientSecret: { env: 'SECRET' } };

describe('the configuration of who may do what', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-config-'));
    await writeFile(join(folder, 'mesh.cedar'), 'permit(principal, action, resource);');
    await writeFile(join(folder, 'entities.json'), '{}');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function load(sections: Readonly<Record<string, unknown>>) {
    const mcpServers = {
      files: { command: 'true', requiredScopes: ['files'], tools: { write: { requiredScopes: ['w'] } } },
    };
    const file = join(folder, 'outrigger.json');
    await writeFile(file, JSON.stringify({ mcpServers, identity: { issuers: [ISSUER] }, ...sections }));
    return loadSettings({ file, cwd: folder, env: { SECRET: 'the-secret-of-the-mesh' } });
  }

  async function problem(sections: Readonly<Record<string, unknown>>): Promise<string> {
    const outcome = await load(sections).then(
      () => 'accepted',
      (error: Error) => error.message,
    );
    return outcome.replace(/^.*outrigger\.json:\d+: /, '');
  }

  it('reads scopes, policies and how issuers are asked', async () => {
    const issuer = { ...ISSUER, introspection: { ...ASKED, tokenPrefix: 'tk_' } };
    const { identity, admission } = await load({
      identity: { issuers: [issuer], scopeImplies: { a: ['b'] } },
      admission: {
        onMissingScope: 'hide',
        policies: [{ file: 'mesh.cedar' }, { text: 'permit(principal, action, resource);' }],
      },
    });
    expect(identity.scopeImplies).to.deep.equal({ a: ['b'] });
    expect(identity.issuers[0]?.introspection).to.deep.equal({
      endpoint: undefined,
      clientId: 'mesh',
      clientSecret: 'the-secret-of-the-mesh',
      authentication: 'basic',
      tokens: 'opaque',
      tokenPrefix: 'tk_',
      timeoutMs: 5_000,
    });
    expect(admission.onMissingScope).to.equal('hide');
    expect(admission.policies.map(({ name }) => name)).to.deep.equal(['mesh.cedar', 'admission.policies.1']);
    expect(admission.backends.get('files')).to.deep.equal({
      all: ['files'],
      tools: new Map([['write', ['w']]]),
    });
  });

  const asking = (...introspection: readonly object[]) => ({
    identity: {
      issuers: introspection.map((each, at) => ({
        ...ISSUER,
        issuer: `https://as${at}.example`,
        introspection: { ...ASKED, ...each },
      })),
    },
  });
  const WRONG: readonly [what: string, sections: Readonly<Record<string, unknown>>, message: RegExp][] = [
    [
      'two issuers whose opaque tokens look alike',
      asking({}, {}),
      /^identity\.issuers\[1\]\.introspection\.tokenPrefix: another issuer/,
    ],
    [
      'an endpoint without TLS',
      asking({ endpoint: 'http://as.example/i' }),
      /^identity\.issuers\[0\]\.introspection\.endpoint: expected https/,
    ],
    ['a secret that is not set', asking({ clientSecret: { env: 'NONE' } }), /clientSecret.*NONE is not set/],
    [
      'a policy from nowhere',
      { admission: { policies: [{}] } },
      /^admission\.policies\[0\]: expected either file or text/,
    ],
    [
      'a policy file that is not there',
      { admission: { policies: [{ file: 'none.cedar' }] } },
      /^admission\.policies\[0\]\.file: cannot read/,
    ],
    [
      'entities that are no list',
      { admission: { entities: { file: 'entities.json' } } },
      /^admission\.entities: expected a JSON list/,
    ],
    ['a misspelt choice', { admission: { onMissingScope: 'hidden' } }, /did you mean hide\?/],
  ];
  for (const [what, sections, message] of WRONG) {
    it(verifies('C12')(`refuses ${what}`), async () => {
      expect(await problem(sections)).to.match(message);
    });
  }
});
