import { expect } from 'chai';
import { ScopeHierarchy } from '../../control-plane/identity/scopes.ts';
import { refusalOf, trusting, verifierFor } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';

describe('scopes that imply others', () => {
  it('do so over any number of steps, and in no other direction', () => {
    const scopes = new ScopeHierarchy({ admin: ['write'], write: ['read'], audit: ['read'] });
    expect([...scopes.effective(['admin'])].sort()).to.deep.equal(['admin', 'read', 'write']);
    expect([...scopes.effective(['audit', 'other'])].sort()).to.deep.equal(['audit', 'other', 'read']);
    expect(scopes.cover(['read'], ['write'])).to.equal(false);
    expect(scopes.cover(['admin'], ['read', 'write'])).to.equal(true);
    expect(scopes.cover([], [])).to.equal(true);
  });

  it('may imply each other', () => {
    const scopes = new ScopeHierarchy({ a: ['b'], b: ['c'], c: ['a', 'c'] });
    expect([...scopes.effective(['c'])].sort()).to.deep.equal(['a', 'b', 'c']);
  });

  it('are names and nothing else', () => {
    const scopes = new ScopeHierarchy({ a: ['constructor', '__proto__'] });
    expect([...scopes.effective(['a'])]).to.have.members(['a', 'constructor', '__proto__']);
    expect([...scopes.effective(['toString'])]).to.deep.equal(['toString']);
  });

  it('count for what an issuer requires, and are no part of the identity', async () => {
    await using issuer = await startIssuer();
    const { verify } = verifierFor([trusting(issuer, { requiredScopes: ['mcp:read', 'mcp:list'] })], {
      scopeImplies: { 'mcp:admin': ['mcp:read', 'mcp:list'] },
    });
    expect((await verify(issuer.token({ scope: 'mcp:admin' }))).scopes).to.deep.equal(['mcp:admin']);
    const refusal = await refusalOf(verify(issuer.token({ scope: 'mcp:read' })));
    expect([refusal.reason, refusal.scope]).to.deep.equal(['insufficient_scope', 'mcp:read mcp:list']);
  });
});
