import { expect } from 'chai';
import { EDGE_REASONS, isEdgeReason, MeshError, RPC_REASONS } from '../../shared/errors.ts';
import { type AnswerContext, answerError } from '../../sidecar/http/answers.ts';
import { verifies } from '../requirements.ts';

const CONTEXT: AnswerContext = {
  ids: ['7'],
  batch: false,
  host: 'localhost:4280',
  authorized: true,
  facts: {
    replica: 'a',
    resource: '',
    issuers: ['https://issuer.example'],
    scopes: ['mcp'],
    anonymous: false,
    maxMessageBytes: 4096,
  },
};

const answerTo = (error: MeshError, context: Partial<AnswerContext> = {}) => {
  const { status, headers, body } = answerError(error, { ...CONTEXT, ...context });
  const named = new Map<string, string>();
  for (let at = 0; at < headers.length; at += 2) named.set(headers[at]!, headers[at + 1]!);
  return { status, headers: named, body: JSON.parse(Buffer.from(body).toString()) };
};

describe('the table from reasons to HTTP answers', () => {
  for (const reason of [...EDGE_REASONS, ...RPC_REASONS]) {
    it(verifies('RPC-14')(`${reason} says why, whether to try again, and under which id`), () => {
      const error = new MeshError(reason, 'A sentence.', { backend: 'files', cause: new Error('secret') });
      const { status, headers, body } = answerTo(error);
      expect(status === 200).to.equal(!isEdgeReason(reason));
      expect(body).to.deep.include({ jsonrpc: '2.0', id: 7 });
      expect(body.error.data).to.deep.equal({ reason, retryable: error.retryable, backend: 'files' });
      expect(body.error.code === -32001).to.equal(status === 404);
      expect(headers.has('Retry-After')).to.equal(status === 503 || status === 429);
      expect(headers.has('WWW-Authenticate')).to.equal(status === 401 || status === 403);
      expect(JSON.stringify(body)).not.to.contain('secret');
    });
  }

  it('what is retryable says when', () => {
    const retryIn = (retryAfterMs: number) =>
      answerTo(new MeshError('unavailable', '', { retryAfterMs })).headers.get('Retry-After');
    expect([retryIn(0), retryIn(1), retryIn(1_000), retryIn(1_001), retryIn(30_000)]).to.deep.equal([
      '1',
      '1',
      '1',
      '2',
      '30',
    ]);
  });

  it('a scope cannot break out of its quotes', () => {
    const error = new MeshError('insufficient_scope', '', { scope: 'a"b\\c\r\nd' });
    expect(answerTo(error).headers.get('WWW-Authenticate')).to.contain('scope="abcd"');
  });

  describe('to a caller of a mesh that takes bound tokens', () => {
    const facts = { ...CONTEXT.facts!, proofs: { algorithms: ['ES256', 'EdDSA'], required: false } };
    const challenges = (error: MeshError, context: Partial<AnswerContext>) => {
      const { headers } = answerError(error, { ...CONTEXT, facts, ...context });
      return headers.filter((_, at) => headers[at - 1] === 'WWW-Authenticate');
    };
    const bearer =
      'scope="mcp", resource_metadata="http://localhost:4280/.well-known/oauth-protected-resource/mcp"';

    it(
      verifies('I16', 'HTTP-23')('each challenge says what was wrong with what was shown in its scheme'),
      () => {
        const refused = new MeshError('unauthenticated', '');
        expect(challenges(refused, { authorized: false })).to.deep.equal([
          `Bearer ${bearer}`,
          'DPoP algs="ES256 EdDSA"',
        ]);
        expect(challenges(refused, {})).to.deep.equal([
          `Bearer error="invalid_token", ${bearer}`,
          'DPoP algs="ES256 EdDSA"',
        ]);
        expect(challenges(refused, { dpop: true })).to.deep.equal([
          `Bearer ${bearer}`,
          'DPoP error="invalid_token", algs="ES256 EdDSA"',
        ]);
        expect(challenges(new MeshError('invalid_dpop_proof', ''), { dpop: true })).to.deep.equal([
          `Bearer ${bearer}`,
          'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"',
        ]);
        expect(challenges(new MeshError('invalid_dpop_proof', ''), {})).to.deep.equal([
          `Bearer error="invalid_token", ${bearer}`,
          'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"',
        ]);
      },
    );

    it(
      verifies('HTTP-23')(
        'a missing scope is said in the scheme that was used, and to readers of bearers alone',
      ),
      () => {
        const stepUp = new MeshError('insufficient_scope', '', { scope: 'mcp write' });
        const said = `Bearer error="insufficient_scope", ${bearer.replace('"mcp"', '"mcp write"')}`;
        expect(challenges(stepUp, {})).to.deep.equal([said]);
        expect(challenges(stepUp, { dpop: true })).to.deep.equal([
          said,
          'DPoP error="insufficient_scope", scope="mcp write", algs="ES256 EdDSA"',
        ]);
      },
    );
  });
});
