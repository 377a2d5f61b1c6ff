import { expect } from 'chai';
import fc from 'fast-check';
import type { CallerIdentity } from '../../control-plane/identity/caller.ts';
import { ANONYMOUS_CONTEXT } from '../../control-plane/identity/context-digest.ts';
import { makeCaller } from '../../control-plane/identity/make-caller.ts';
import { trusting } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';

const FLEETING = ['exp', 'iat', 'nbf', 'jti', 'auth_time', 'nonce', 'sid'];

/** A small alphabet, so that equal and nearly equal callers come up often. */
const word = fc.constantFrom('a', 'b', 'a b', 'A', '["a"]', ' ');
const claimValue = fc.oneof(
  word,
  fc.boolean(),
  fc.array(word, { maxLength: 2 }),
  fc.dictionary(word, word, { maxKeys: 2 }),
);
const visibleParts = {
  subject: word.filter((text) => text.trim() !== ''),
  tenant: word,
  audience: fc.array(word, { maxLength: 3 }),
  scopes: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
  actors: fc.array(fc.record({ sub: word }), { maxLength: 2 }),
  others: fc.dictionary(fc.constantFrom('groups', 'email', 'azp', 'scp', '__proto__'), claimValue, {
    maxKeys: 3,
  }),
};
const visible = fc.record(visibleParts);
const fleeting = fc.dictionary(fc.constantFrom(...FLEETING.slice(1)), fc.integer({ min: 0, max: 9 }));

/** Two callers that share some parts, often all of them. */
const pair = fc
  .tuple(visible, visible, fc.subarray(Object.keys(visibleParts)), fc.boolean())
  .map(([one, other, shared, twins]) => {
    const kept = Object.entries(one).filter(([part]) => twins || shared.includes(part));
    return [one, { ...other, ...Object.fromEntries(kept) }] as const;
  });
type Visible = typeof visible extends fc.Arbitrary<infer Value> ? Value : never;

describe('the authorization context', () => {
  let caller: (parts: Visible, extra: Record<string, unknown>) => CallerIdentity;

  before(async () => {
    await using issuer = await startIssuer();
    const settings = trusting(issuer, { tenantClaim: 'tenant' });
    caller = (parts, extra) => makeCaller('token', claimsOf(parts, extra), settings);
  });

  it('has equal digests exactly when everything that can be seen is equal', () => {
    fc.assert(
      fc.property(pair, fleeting, fleeting, ([one, other], now, later) => {
        const [first, second] = [caller(one, now), caller(other, later)];
        expect(first.contextDigest === second.contextDigest).to.equal(seen(one) === seen(other));
        expect(first.bindingKey === second.bindingKey).to.equal(
          one.subject === other.subject && one.tenant === other.tenant,
        );
      }),
      { numRuns: 500 },
    );
  });

  it('is blind to the order of scopes, of audiences and of claims', () => {
    fc.assert(
      fc.property(visible, fleeting, fleeting, (parts, now, later) => {
        const turned = {
          ...parts,
          audience: parts.audience.toReversed(),
          scopes: parts.scopes.toReversed(),
          others: Object.fromEntries(Object.entries(parts.others).toReversed()),
        };
        expect(caller(turned, now).contextDigest).to.equal(caller(parts, later).contextDigest);
      }),
      { numRuns: 200 },
    );
  });

  it('of an anonymous caller is nobody’s else', () => {
    fc.assert(
      fc.property(visible, (parts) => {
        expect(caller(parts, {}).contextDigest).to.not.equal(ANONYMOUS_CONTEXT);
      }),
      { numRuns: 50 },
    );
  });
});

function claimsOf(
  { subject, tenant, audience, scopes, actors, others }: Visible,
  extra: Record<string, unknown>,
) {
  const act = actors.reduceRight<object | undefined>((inner, actor) => ({ ...actor, act: inner }), undefined);
  const claims = {
    ...others,
    ...extra,
    sub: subject,
    tenant: `t${tenant}`,
    aud: audience,
    scope: scopes.join(' '),
    act,
    exp: 1,
  };
  return JSON.parse(JSON.stringify(claims)) as Record<string, unknown>;
}

/** What the property takes for visible, written down another way than the product does it. */
function seen(parts: Visible): string {
  const { audience, scopes, others } = parts;
  const sorted = (values: readonly string[]) => [...new Set(values)].sort();
  return JSON.stringify([
    parts.subject,
    parts.tenant,
    sorted(audience),
    sorted(scopes),
    parts.actors.map(({ sub }) => sub),
    sortDeep(others),
  ]);
}

function sortDeep(value: unknown): unknown {
  if (Array.isArray(value)) return ['array', ...value.map(sortDeep)];
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([name, member]) => [name, sortDeep(member)] as const);
  return ['object', members.sort(([a], [b]) => (a < b ? -1 : 1))];
}
