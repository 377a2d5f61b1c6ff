import { expect } from 'chai';
import { isForbiddenAddress } from '../../control-plane/backend/address-policy.ts';
import { type BoundedFetch, createBoundedFetch } from '../../control-plane/backend/bounded-fetch.ts';
import { isAskable, readProtectedResource } from '../../control-plane/credentials/discover-metadata.ts';
import { verifies } from '../requirements.ts';

const URL_OF_ALL = 'https://tracker.example/tenants/7/mcp';

/** What a backend publishes, by place, and what was asked. */
function published(documents: Readonly<Record<string, unknown>>) {
  const asked: string[] = [];
  const read = (url: string, metadataUrl?: string) =>
    readProtectedResource({
      url,
      metadataUrl,
      timeoutMs: 1_000,
      async fetch(place) {
        asked.push(place);
        const document = documents[place];
        if (document === undefined) return new Response('', { status: 404 });
        return typeof document === 'number'
          ? new Response('', { status: document, headers: { location: 'http://169.254.169.254/' } })
          : new Response(JSON.stringify(document));
      },
    });
  return { asked, read };
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: Error) => error.message,
  );
}

describe('what a backend says of its authorization', () => {
  const servers = { authorization_servers: ['https://login.example'] };

  it('is read at the place of its path, then at that of its origin, and where a challenge says nowhere else', async () => {
    const own = published({
      'https://tracker.example/.well-known/oauth-protected-resource/tenants/7/mcp': {
        ...servers,
        resource: URL_OF_ALL,
        scopes_supported: ['read', 'not a scope', 'write', 7],
      },
    });
    const { scopesSupported } = await own.read(URL_OF_ALL);
    expect(scopesSupported).to.deep.equal(['read', 'write']);
    expect(own.asked).to.have.length(1);

    const origins = published({
      'https://tracker.example/.well-known/oauth-protected-resource': {
        ...servers,
        resource: 'https://tracker.example',
      },
    });
    expect((await origins.read(URL_OF_ALL)).resource, 'as it is published').to.equal(
      'https://tracker.example',
    );
    expect(origins.asked).to.have.length(2);

    const elsewhere = published({});
    const place = 'https://meta.example/of-all.json';
    expect(await failure(elsewhere.read(URL_OF_ALL, place))).to.contain('no metadata');
    expect(elsewhere.asked).to.deep.equal([place]);
  });

  it('is about that backend, or nothing', async () => {
    const place = 'https://meta.example/of-all.json';
    for (const resource of [
      'https://mail.example/tenants/7/mcp',
      'http://tracker.example/tenants/7/mcp',
      'https://tracker.example:8443/tenants/7/mcp',
      'https://tracker.example/tenants/77',
      'https://tracker.example/tenants/7/mcp/more',
      'https://tracker.example/tenants/7/mcp#part',
      'https://tracker.example/tenants/7/mcp?of=another',
      'tenants/7/mcp',
      undefined,
    ])
      expect(
        await failure(published({ [place]: { ...servers, resource } }).read(URL_OF_ALL, place)),
        resource,
      ).to.contain('another resource');
    for (const resource of [URL_OF_ALL, 'https://tracker.example/tenants/7', 'https://tracker.example/'])
      await published({ [place]: { ...servers, resource } }).read(URL_OF_ALL, place);
  });

  it('names a server, and is no redirect', async () => {
    const place = 'https://meta.example/of-all.json';
    const nobody = { resource: URL_OF_ALL, authorization_servers: [] };
    expect(await failure(published({ [place]: nobody }).read(URL_OF_ALL, place))).to.contain(
      'no authorization',
    );
    expect(await failure(published({ [place]: 302 }).read(URL_OF_ALL, place))).to.contain('302');
  });
});

describe('where a backend may lead', () => {
  it(
    verifies(
      'B9',
      'B11',
      'BACK-5',
    )('is https, or this machine for one that is here, and never a metadata service'),
    async () => {
      const far = 'https://tracker.example/mcp';
      const near = 'http://localhost:7000/mcp';
      for (const url of ['https://login.example/x', 'https://10.0.0.1/x'])
        for (const from of [far, near]) expect(isAskable(url, from), url).to.equal(true);
      for (const url of ['http://127.0.0.1:7001/', 'http://localhost/', 'https://[::1]/x']) {
        expect(isAskable(url, near), url).to.equal(true);
        expect(isAskable(url, far), url).to.equal(false);
      }
      for (const url of [
        'http://login.example/',
        'http://169.254.169.254/latest',
        'https://169.254.169.254/latest',
        'https://[fe80::1]/',
        'https://metadata.google.internal/',
        'https://user:pass@login.example/',
        'ftp://login.example/',
        'javascript:alert(1)',
        'login',
      ])
        for (const from of [far, near]) expect(isAskable(url, from), url).to.equal(false);
    },
  );

  it(
    verifies('B9')('is looked at as an address: public ones, and others where configuration says so'),
    () => {
      for (const internal of [
        '10.1.2.3',
        '172.16.0.1',
        '192.168.1.1',
        '100.64.0.1',
        '0.0.0.0',
        '224.0.0.1',
        '255.255.255.255',
        '::',
        'fd00::1',
        'fec0::1',
        '::ffff:10.0.0.1',
        '::10.0.0.1',
        '64:ff9b::a00:1',
        '2002:a00:1::1',
      ]) {
        expect(isForbiddenAddress(internal, 'public'), internal).to.equal(true);
        expect(isForbiddenAddress(internal, 'loopback'), internal).to.equal(true);
        expect(isForbiddenAddress(internal), internal).to.equal(false);
      }
      for (const here of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
        expect(isForbiddenAddress(here, 'public'), here).to.equal(true);
        expect(isForbiddenAddress(here), here).to.equal(false);
      }
      for (const here of ['127.0.0.1', '::1'])
        expect(isForbiddenAddress(here, 'loopback'), here).to.equal(false);
      for (const open of ['93.184.216.34', '2606:4700::1111', '64:ff9b::808:808', '::ffff:8.8.8.8'])
        expect(isForbiddenAddress(open, 'public'), open).to.equal(false);
      for (const never of [
        '169.254.169.254',
        'fe80::1',
        '::ffff:169.254.169.254',
        '100.100.100.200',
        '168.63.129.16',
        '::ffff:168.63.129.16',
        '64:ff9b::168.63.129.16',
      ])
        for (const reach of ['configured', 'public', 'loopback'] as const)
          expect(isForbiddenAddress(never, reach), never).to.equal(true);
    },
  );

  describe('when it is connected to', () => {
    let learned: BoundedFetch;

    beforeEach(() => {
      learned = createBoundedFetch('public');
    });
    afterEach(() => learned.stop());

    it(verifies('B9', 'BACK-5')('is no other address than the one that was looked at'), async () => {
      // 0x7f.1 is this machine, and so is a name that only its resolver knows.
      for (const url of [
        'https://127.0.0.1:9/',
        'https://0x7f.1:9/',
        'https://localhost:9/',
        'https://[::1]:9/',
      ]) {
        const asking = learned.fetch(url, {
          method: 'GET',
          headers: {},
          signal: AbortSignal.timeout(2_000),
        });
        expect(await asking.then(String, (error: NodeJS.ErrnoException) => error.code), url).to.equal(
          'EADDRNOTALLOWED',
        );
      }
    });
  });
});
