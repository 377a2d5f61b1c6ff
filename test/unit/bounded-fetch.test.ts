import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { type BoundedFetch, createBoundedFetch } from '../../control-plane/backend/bounded-fetch.ts';
import { verifies } from '../requirements.ts';

describe('questions to providers of credentials', () => {
  let provider: BoundedFetch;
  let server: Server;
  let answer: RequestListener;
  let asked: string[];

  beforeEach(async () => {
    provider = createBoundedFetch();
    asked = [];
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    await provider.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const ask = (path: string, timeoutMs = 2_000) =>
    provider.fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials',
      signal: AbortSignal.timeout(timeoutMs),
    });
  const failure = (work: Promise<unknown>) =>
    work.then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );

  it('are answered as they are', async () => {
    answer = (_, response) => response.writeHead(400, { 'x-a': 'b' }).end('{"error":"invalid_grant"}');
    const response = await ask('/token?a=1');
    expect([response.status, response.headers.get('x-a')]).to.deep.equal([400, 'b']);
    expect(await response.json()).to.deep.equal({ error: 'invalid_grant' });
    expect(asked).to.deep.equal(['/token?a=1']);
  });

  it(verifies('BACK-5')('follow no redirect'), async () => {
    answer = (_, response) => response.writeHead(307, { location: '/elsewhere' }).end();
    expect((await ask('/token')).status).to.equal(307);
    expect(asked).to.deep.equal(['/token']);
  });

  it(verifies('BACK-8')('take no answer without end'), async () => {
    answer = (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', more);
      more();
    };
    expect(await failure(ask('/token'))).to.equal('the answer is too long');
  });

  it('wait for no answer without a beginning', async () => {
    answer = () => {};
    expect(await failure(ask('/token', 100))).to.match(/timeout|aborted/i);
  });

  it(verifies('BACK-5')('never reach a metadata address, whatever a document names'), async () => {
    const request = { method: 'GET', headers: {}, signal: AbortSignal.timeout(2_000) };
    const url = 'http://169.254.169.254/token';
    expect(await failure(provider.fetch(url, request))).to.contain('link-local or a metadata service');
  });
});
