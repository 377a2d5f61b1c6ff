import { expect } from 'chai';
import { makeAnonymous, makeCaller } from '../../control-plane/identity/make-caller.ts';
import type { Policies, PolicyResource, Question } from '../../control-plane/identity/policies.ts';
import { principalOf } from '../../control-plane/identity/principal.ts';
import { ScopeHierarchy } from '../../control-plane/identity/scopes.ts';
import { Admission, type AdmissionRules, useOf } from '../../control-plane/session/admission.ts';
import { MeshError } from '../../shared/errors.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { verifies } from '../requirements.ts';
import { trusting } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';

const TOOL: PolicyResource = {
  kind: 'tool',
  backend: 'files',
  name: 'write',
  visible: 'files__write',
  definition: undefined,
};

describe('admission', () => {
  let issuer: TestIssuer;
  before(async () => {
    issuer = await startIssuer();
  });
  after(() => issuer.stop());

  function admission(changed: Partial<AdmissionRules> = {}): Admission {
    return new Admission({ rules: rules(changed), onRefused: () => {} });
  }

  function rules(changed: Partial<AdmissionRules> = {}): AdmissionRules {
    return {
      scopes: new ScopeHierarchy({ all: ['files', 'files:write', 'mcp'] }),
      issuerScopes: new Map([[issuer.url, ['mcp']]]),
      backendScopes: new Map([['files', { all: ['files'], tools: new Map([['write', ['files:write']]]) }]]),
      onMissingScope: 'challenge',
      policies: undefined,
      pins: undefined,
      ...changed,
    };
  }

  function caller(scope: string) {
    const claims = { iss: issuer.url, sub: 'alice', aud: 'mesh', exp: 4_000_000_000, scope };
    return makeCaller('a token', claims, trusting(issuer));
  }

  function use(method = 'tools/call', params: object = {}) {
    const bytes = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
    return useOf({ bytes, scanned: scanMessage(bytes) });
  }

  function refusalOf(work: () => unknown): MeshError {
    try {
      work();
    } catch (error) {
      if (error instanceof MeshError) return error;
    }
    throw new Error('it was not refused');
  }

  it(verifies('HTTP-23')('asks for all scopes that an operation needs: of issuer, backend and tool'), () => {
    const { reason, scope } = refusalOf(() => admission().admits(caller('files mcp'), use(), TOOL));
    expect([reason, scope]).to.deep.equal(['insufficient_scope', 'mcp files files:write']);
    expect(admission().admits(caller('mcp files files:write'), use(), TOOL)).to.equal(true);
    expect(admission().admits(caller('all'), use(), TOOL)).to.equal(true);
    const prompt = { ...TOOL, kind: 'prompt' } as const;
    expect(refusalOf(() => admission().admits(caller(''), use('prompts/get'), prompt)).scope).to.equal(
      'mcp files',
    );
  });

  it('asks a caller without a token for one', () => {
    const { reason, scope } = refusalOf(() => admission().admits(makeAnonymous('node'), use(), TOOL));
    expect([reason, scope]).to.deep.equal(['unauthenticated', 'files files:write']);
  });

  it(verifies('AGG-7')('hides, where configured, what lacks a scope, and does not ask for it'), () => {
    const hiding = admission({ onMissingScope: 'hide' });
    expect([hiding.hides, admission().hides]).to.deep.equal([true, false]);
    expect(hiding.shows(principalOf(caller('files mcp')), TOOL)).to.equal(false);
    expect(hiding.admits(caller('files mcp'), use(), TOOL)).to.equal(false);
    expect(hiding.admits(makeAnonymous('node'), use(), TOOL)).to.equal(false);
    expect(hiding.shows(principalOf(caller('all')), TOOL)).to.equal(true);
  });

  it('costs nothing where nothing is configured', () => {
    const open = admission({ backendScopes: new Map([['files', { all: [], tools: new Map() }]]) });
    expect([open.hides, open.guards]).to.deep.equal([false, false]);
  });

  it(
    verifies('I11')(
      'keeps what policies say for a context, an item and the rules in force, and nothing longer',
    ),
    () => {
      const asked: Question[] = [];
      const policies: Policies = {
        readsDefinitions: false,
        decide(question) {
          asked.push(question);
          return question.resource.name === 'write' ? 'allow' : 'deny';
        },
        decideWith: () => 'deny',
      };
      const deciding = admission({ policies, backendScopes: new Map() });
      const alice = caller('all');
      for (let i = 0; i < 5; i += 1) expect(deciding.admits(alice, use(), TOOL)).to.equal(true);
      const once = asked.length;
      expect(once).to.be.at.most(3);
      expect(deciding.admits(caller('other'), use(), TOOL)).to.equal(true);
      expect(asked).to.have.length(2 * once);
      const changed = { ...TOOL, definition: { bytes: Buffer.from('{}'), hash: 'another' } };
      expect(deciding.admits(alice, use(), changed)).to.equal(true);
      expect(asked).to.have.length(3 * once);

      const revisions: number[] = [];
      const stop = deciding.onChange(() => revisions.push(deciding.revision));
      deciding.replace(rules({ policies: { ...policies, decide: () => 'deny' }, backendScopes: new Map() }));
      expect([revisions, deciding.admits(alice, use(), TOOL)]).to.deep.equal([[1], false]);
      stop();
      deciding.replace(rules());
      expect(revisions).to.deep.equal([1]);
    },
  );

  it(verifies('AGG-7')('decides about a URI as it is written, and as its server may take it'), () => {
    const policies: Policies = {
      readsDefinitions: false,
      decide: ({ resource }) => (resource.name.startsWith('file:///secret') ? 'deny' : 'allow'),
      decideWith: () => 'deny',
    };
    const deciding = admission({ policies, backendScopes: new Map() });
    const read = (name: string) =>
      deciding.admits(caller('all'), use('resources/read'), {
        ...TOOL,
        kind: 'resource',
        name,
        visible: name,
      });
    expect(read('file:///open/a')).to.equal(true);
    for (const uri of ['file:///secret/a', 'file:///open/../secret/a', 'FILE:///%73ecret/a'])
      expect(read(uri), uri).to.equal(false);
  });

  it('lets a method that it has no word for through only where no policy is', () => {
    const open = admission({ backendScopes: new Map() });
    const asked = use('vendor/method');
    const wanted = { backend: 'files', kind: 'method', name: 'vendor/method' } as const;
    expect(open.admitsUnknown(caller('all'), asked, wanted)).to.equal(true);
    expect(refusalOf(() => admission().admitsUnknown(caller(''), asked, wanted)).scope).to.equal('mcp files');
    const policies: Policies = { readsDefinitions: false, decide: () => 'allow', decideWith: () => 'allow' };
    expect(admission({ policies }).admitsUnknown(caller('all'), asked, wanted)).to.equal(false);
  });

  it('decides once about each of two hundred tools, however often they are used', () => {
    let asked = 0;
    const policies: Policies = {
      readsDefinitions: false,
      decide() {
        asked += 1;
        return 'allow';
      },
      decideWith: () => 'deny',
    };
    const deciding = admission({ policies, backendScopes: new Map() });
    const tools = Array.from({ length: 200 }, (_, n) => ({ ...TOOL, name: `tool-${n}` }));
    const useAll = () => tools.map((tool) => deciding.admits(caller('all'), use(), tool));
    expect(useAll()).to.not.include(false);
    const once = asked;
    useAll();
    expect(asked).to.equal(once);
  });

  it('does not decide by arguments that stand twice', () => {
    const policies: Policies = {
      readsDefinitions: false,
      decide: ({ action }) => (action === 'call' ? 'depends' : 'allow'),
      decideWith: (_, args) => (args?.toString() === '{"a":1}' ? 'allow' : 'deny'),
    };
    const deciding = admission({ policies, backendScopes: new Map() });
    const call = (params: string) => {
      const bytes = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`);
      return deciding.admits(caller('all'), useOf({ bytes, scanned: scanMessage(bytes) }), TOOL);
    };
    expect(call('{"name":"write","arguments":{"a":1}}')).to.equal(true);
    expect(call('{"name":"write","arguments":{"a":1},"arguments":{"a":2}}')).to.equal(false);
    expect(call('{"name":"write","Arguments":{"a":2},"arguments":{"a":1}}')).to.equal(false);
  });
});
