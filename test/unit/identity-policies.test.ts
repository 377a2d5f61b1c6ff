import { expect } from 'chai';
import { loadPolicies, type PolicyError } from '../../control-plane/identity/cedar-engine.ts';
import { PolicyFault } from '../../control-plane/identity/cedar-policy-set.ts';
import type { Action, PolicyResource, Question } from '../../control-plane/identity/policies.ts';
import type { Principal } from '../../control-plane/identity/principal.ts';
import { ScopeHierarchy } from '../../control-plane/identity/scopes.ts';
import { verifies } from '../requirements.ts';

const ALICE: Principal = {
  kind: 'identified',
  contextDigest: 'alice',
  binding: { issuer: 'https://as.example', subject: 'alice', tenant: 'acme' },
  scopes: ['admin'],
  claims: {
    groups: ['staff', 7],
    email: 'a@acme.example',
    level: 3,
    share: 1.5,
    nothing: null,
    __entity: { type: 'A', id: 'b' },
  },
  actorChain: [{ issuer: 'https://as.example', subject: 'agent' }],
};
const NOBODY: Principal = { kind: 'anonymous', contextDigest: 'nobody' };

describe('policies', () => {
  const errors: PolicyError[] = [];
  beforeEach(() => errors.splice(0));

  function policies(text: string, more: { entities?: unknown[]; schema?: string } = {}) {
    return loadPolicies(
      {
        policies: [{ name: 'mesh.cedar', text }],
        entities: more.entities ?? [],
        schema: more.schema === undefined ? undefined : { name: 'mesh.cedarschema', text: more.schema },
        groupsClaim: 'groups',
      },
      { scopes: new ScopeHierarchy({ admin: ['write'] }), onError: (error) => errors.push(error) },
    );
  }

  function ask(
    action: Action,
    changed: Partial<PolicyResource> = {},
    principal: Principal = ALICE,
  ): Question {
    const resource: PolicyResource = {
      kind: 'tool',
      backend: 'files',
      name: 'read',
      visible: 'files__read',
      definition: undefined,
      ...changed,
    };
    return { principal, action, resource };
  }

  function defined(item: object): NonNullable<PolicyResource['definition']> {
    return { bytes: Buffer.from(JSON.stringify(item)), hash: JSON.stringify(item) };
  }

  const KNOWN: readonly [what: string, condition: string][] = [
    ['who somebody is', 'principal == Outrigger::Principal::"https://as.example|alice"'],
    [
      'issuer, subject and tenant',
      'principal.issuer == "https://as.example" && principal.subject == "alice" && principal.tenant == "acme"',
    ],
    ['scopes, with what they imply', 'principal.scopes.containsAll(["admin", "write"])'],
    ['groups, as texts', 'principal.groups == ["staff"]'],
    ['groups, as entities', 'principal in Outrigger::Group::"staff"'],
    ['claims', 'principal.claims.email like "*@acme.example" && principal.claims.level > 2'],
    [
      'no claim that Cedar has no value for',
      '!(principal.claims has share) && !(principal.claims has nothing) && !(principal.claims has __entity)',
    ],
    [
      'who acts',
      'principal.actor.subject == "agent" && principal.actorChain.contains({issuer: "https://as.example", subject: "agent"})',
    ],
    [
      'backend and names of an item',
      'resource.backend == "files" && resource.name == "read" && resource.visible == "files__read"',
    ],
    ['the backend as an entity', 'resource in Outrigger::Backend::"files"'],
    ['what kind of item it is', 'resource is Outrigger::Tool'],
    ['what its backend says of it', 'resource.annotations.readOnlyHint'],
  ];
  for (const [what, condition] of KNOWN) {
    it(`may ask for ${what}`, () => {
      const engine = policies(`permit(principal, action, resource) when { ${condition} };`);
      const item = ask('list', {
        definition: defined({ name: 'read', annotations: { readOnlyHint: true } }),
      });
      expect([engine.decide(item), errors]).to.deep.equal(['allow', []]);
      expect(engine.decide({ ...item, principal: NOBODY })).to.be.oneOf(
        condition.startsWith('resource') ? ['allow'] : ['deny'],
      );
    });
  }

  it('deny what nothing permits, and what something forbids', () => {
    const engine = policies(`
      permit(principal is Outrigger::Principal, action, resource);
      forbid(principal, action == Outrigger::Action::"call", resource) when { resource.name like "delete*" };
    `);
    expect(engine.decide(ask('call'))).to.equal('allow');
    expect(engine.decide(ask('call', { name: 'delete_all' }))).to.equal('deny');
    expect(engine.decide(ask('list', { name: 'delete_all' }))).to.equal('allow');
    expect(engine.decide(ask('call', {}, NOBODY))).to.equal('deny');
  });

  it('depend on arguments only where these could turn the decision', () => {
    const engine = policies(`
      permit(principal, action, resource);
      @id("no-secrets") forbid(principal, action == Outrigger::Action::"call", resource)
        when { resource.name == "read" && context.arguments.path like "/etc/*" };
      permit(principal, action == Outrigger::Action::"call", resource) when { context.arguments has any };
      forbid(principal, action == Outrigger::Action::"call", resource) when { resource.name == "never" };
    `);
    expect(engine.decide(ask('call'))).to.equal('depends');
    expect(engine.decide(ask('call', { name: 'write' }))).to.equal('allow');
    expect(engine.decide(ask('call', { name: 'never' }))).to.equal('deny');
    const call = (args?: string) =>
      engine.decideWith(ask('call'), args === undefined ? undefined : Buffer.from(args));
    expect(call('{"path":"/home/a"}')).to.equal('allow');
    expect(call('{"path":"/etc/passwd"}')).to.equal('deny');
    expect(engine.explain(ask('call'), Buffer.from('{"path":"/etc/passwd"}'))).to.deep.equal({
      decision: 'deny',
      policies: ['no-secrets'],
      errors: [],
    });
  });

  const EVASIONS: readonly [how: string, args: string | undefined][] = [
    ['without the argument', '{}'],
    ['without arguments', undefined],
    ['with another kind of value', '{"path":["/etc/passwd"]}'],
    ['with null', '{"path":null}'],
    ['with the argument twice', '{"path":"/home","path":"/etc/passwd"}'],
    ['with it in two cases', '{"path":"/home","Path":"/etc/passwd"}'],
    ['with it escaped', '{"\\u0070ath":"/etc/passwd"}'],
    ['with an entity in its place', '{"path":{"__entity":{"type":"A","id":"/home"}}}'],
    ['with an unknown in its place', '{"path":{"__extn":{"fn":"unknown","arg":"a"}}}'],
    ['with arguments that are no object', '["/etc/passwd"]'],
    ['with more than is looked into', `{"path":"/home","x":"${'x'.repeat(70_000)}"}`],
  ];
  for (const [how, args] of EVASIONS) {
    it(`that forbid an argument are not evaded ${how}`, () => {
      const engine = policies(`
        permit(principal, action, resource);
        forbid(principal, action == Outrigger::Action::"call", resource) when { context.arguments.path like "/etc*" };
      `);
      expect(engine.decideWith(ask('call'), args === undefined ? undefined : Buffer.from(args))).to.equal(
        'deny',
      );
    });
  }

  for (const amount of ['100.5', '1e3', '101.00001', '99999999999999999999', '-0.5']) {
    it(`compare no number that Cedar does not have: ${amount}`, () => {
      const engine = policies(`
        permit(principal, action, resource);
        forbid(principal, action == Outrigger::Action::"call", resource)
          when { context.arguments has amount && context.arguments.amount > 100 };
      `);
      const call = (args: string) => engine.decideWith(ask('call'), Buffer.from(args));
      expect(call(`{"amount":${amount}}`)).to.equal('deny');
      expect([call('{"amount":100}'), call('{"amount":101}'), call('{}')]).to.deep.equal([
        'allow',
        'deny',
        'allow',
      ]);
    });
  }

  it('that cannot be evaluated do not permit, and deny where they forbid; each is told', () => {
    const permits = policies(`
      @id("odd") permit(principal, action, resource) when { principal.claims.department == "x" };
      permit(principal, action, resource) when { resource.name == "read" };
    `);
    expect([permits.decide(ask('list')), permits.decide(ask('list', { name: 'write' }))]).to.deep.equal([
      'allow',
      'deny',
    ]);
    expect(errors.map(({ policy, first }) => [policy, first])).to.deep.equal([
      ['odd', true],
      ['odd', false],
    ]);
    const forbids = policies(`
      permit(principal, action, resource);
      @id("odd") forbid(principal, action, resource) when { principal.claims.department == "x" };
    `);
    expect(forbids.decide(ask('list'))).to.equal('deny');
    expect(forbids.explain(ask('list'))).to.deep.include({ decision: 'deny', policies: ['odd'] });
  });

  it('may be completed by entities, which change nothing of what the mesh says', () => {
    const engine = policies(
      'permit(principal in Outrigger::Group::"everybody", action, resource) when { principal.desk == 4 && principal.subject == "alice" };',
      {
        entities: [
          {
            uid: { type: 'Outrigger::Group', id: 'staff' },
            attrs: {},
            parents: [{ type: 'Outrigger::Group', id: 'everybody' }],
          },
          {
            uid: { type: 'Outrigger::Principal', id: 'https://as.example|alice' },
            attrs: { desk: 4, subject: 'bob' },
            parents: [],
          },
        ],
      },
    );
    expect(engine.decide(ask('list'))).to.equal('allow');
  });

  const WRONG: readonly [
    what: string,
    text: string,
    message: RegExp,
    more?: { entities?: unknown[]; schema?: string },
  ][] = [
    ['no policies', 'permit(principal, action', /^mesh\.cedar: .*unexpected end/],
    ['templates', 'permit(principal == ?principal, action, resource);', /^mesh\.cedar: templates/],
    [
      'two of one name',
      '@id("a") permit(principal, action, resource); @id("a") forbid(principal, action, resource);',
      /two policies have the id a/,
    ],
    [
      'entities that are none',
      'permit(principal, action, resource);',
      /^entities: /,
      { entities: [{ attrs: {} }] },
    ],
    [
      'not what the schema says',
      'permit(principal, action, resource) when { principal.nothing };',
      /./,
      { schema: 'entity User; entity Thing; action "list" appliesTo { principal: User, resource: Thing };' },
    ],
  ];
  for (const [what, text, message, more] of WRONG) {
    it(verifies('C12')(`are refused that are ${what}`), () => {
      expect(() => policies(text, more)).to.throw(PolicyFault, message);
    });
  }
});
