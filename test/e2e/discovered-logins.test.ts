import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { verifies } from '../requirements.ts';
import {
  type DiscoverStage,
  type DiscoverStageOptions,
  startDiscoverStage,
} from '../support/discover-stage.ts';
import { type GuardedBackend, startGuardedBackend } from '../support/guarded-backend.ts';
import { askedUrl, elicited } from '../support/login-stage.ts';
import { type McpClient, reasonOf, textOf } from '../support/mcp-client.ts';
import { type OidcProvider, type ProviderOptions, startOidcProvider } from '../support/oidc-provider.ts';
import { freePort } from '../support/ports.ts';
import { metric, until } from '../support/story.ts';

/** Somebody else's server, its authorization server, and a mesh before them that knows nothing but the URL. */
interface Stage extends DiscoverStage {
  readonly hub: GuardedBackend;
  readonly party: OidcProvider;
}

type StageOptions = Omit<DiscoverStageOptions, 'url'> & { readonly party?: ProviderOptions };

async function startStage({ party: given, ...options }: StageOptions = {}): Promise<Stage> {
  const party = await startOidcProvider({
    accessSeconds: 300,
    account: (person) => `hub-${person}`,
    ...given,
  });
  const hub = await startGuardedBackend(party);
  const plain = { plain: { url: hub.inner.url } };
  const stage = await startDiscoverStage({ url: hub.url, backends: plain, ...options }).catch(
    async (error: unknown) => {
      await hub[Symbol.asyncDispose]();
      await party[Symbol.asyncDispose]();
      throw error;
    },
  );
  return {
    ...{ ...stage, hub, party },
    async [Symbol.asyncDispose]() {
      for (const each of [stage, hub, party]) await each[Symbol.asyncDispose]();
    },
  };
}

/** For whom tools ran at the hub, in order. */
function ran({ hub }: Stage): string[] {
  return hub.inner.record.executions.flatMap(({ authorization }) => {
    if (authorization === undefined) return [];
    const { sub = '', aud } = decodeJwt(authorization.replace(/^Bearer /, ''));
    expect(aud).to.equal(hub.url);
    return [sub];
  });
}

async function calls(client: McpClient, tool = 'echo'): Promise<string> {
  return textOf(await client.call(`hub__${tool}`, { n: 1 }));
}

describe('a backend that says itself where its callers log in', function () {
  this.timeout(90_000);

  it(
    verifies(
      'AGG-16',
      'BACK-6',
      'RST-2',
    )('is found with its authorization server, where the mesh registers once for everybody'),
    async () => {
      await using stage = await startStage({ replicas: 2 });
      const { hub, party } = stage;
      const [alice, bob] = [await stage.open('alice'), await stage.open('bob')];
      const asked = askedUrl(await alice.call('hub__echo'));
      expect(hub.asked).to.deep.equal(['/.well-known/oauth-protected-resource/mcp']);
      const page = await stage.browser('alice').open(asked);
      expect([page.status, page.url.pathname]).to.deep.equal([200, '/connect/done']);
      const away = page.way.find(({ origin, pathname }) => origin === party.url && pathname === '/auth');
      expect(Object.fromEntries(away?.searchParams ?? [])).to.include({
        client_id: party.registered[0],
        redirect_uri: `${stage.publicUrl}/connect/authorized/hub`,
        resource: hub.url,
        scope: 'read offline_access',
        code_challenge_method: 'S256',
      });
      expect(await calls(alice)).to.equal('{"n":1}');
      expect((await stage.logIn('bob', await bob.call('hub__echo'))).status).to.equal(200);
      expect(await calls(bob)).to.equal('{"n":1}');
      expect(await calls(alice)).to.equal('{"n":1}');
      expect(ran(stage)).to.deep.equal(['hub-alice', 'hub-bob', 'hub-alice']);
      expect(party.registered).to.have.length(1);
      expect(new Set(party.grants.map(({ form }) => form['resource']))).to.deep.equal(new Set([hub.url]));
    },
  );

  it(
    verifies(
      'RST-2',
      'BACK-6',
    )('what was found outlives a replica: a login is used, and its token rotates, on the other'),
    async () => {
      await using stage = await startStage({ replicas: 2, party: { accessSeconds: 3 } });
      const { mesh, party, hub } = stage;
      const alice = await stage.open('alice');
      expect((await stage.logIn('alice', await alice.call('hub__echo'))).status).to.equal(200);
      expect(await calls(alice)).to.equal('{"n":1}');
      for (const replica of mesh.replicas)
        if ((await metric(replica, 'outrigger_sessions')) > 0) await replica.kill('SIGKILL');
      await until('the sidecar has only the other', async () => {
        return (await metric(mesh.sidecar, 'outrigger_sidecar_mesh_streams')) === 1;
      });
      const before = hub.asked.length;
      await until('the token was replaced', async () => {
        await calls(alice);
        return party.grants.filter(({ grant }) => grant === 'refresh_token').length >= 2;
      });
      expect(party.grants.every(({ status }) => status === 200)).to.equal(true);
      expect(new Set(ran(stage))).to.deep.equal(new Set(['hub-alice']));
      expect(party.registered).to.have.length(1);
      expect(hub.asked).to.have.length(before);
    },
  );

  it('two replicas that come to it at once register once', async () => {
    await using stage = await startStage({ replicas: 2, sidecars: 2, spread: true });
    const people = ['alice', 'bob', 'carol', 'dan'];
    const clients = await Promise.all(people.map((person, index) => stage.open(person, index % 2)));
    const replies = await Promise.all(clients.map((client) => client.call('hub__echo')));
    for (const reply of replies) elicited(reply);
    expect(stage.party.registered).to.have.length(1);
    const pages = await Promise.all(people.map((person, index) => stage.logIn(person, replies[index]!)));
    expect(pages.map(({ status }) => status)).to.deep.equal([200, 200, 200, 200]);
    for (const client of clients) expect(await calls(client)).to.equal('{"n":1}');
    expect(ran(stage)).to.deep.equal(people.map((person) => `hub-${person}`));
  });

  it('an authorization server that reads metadata documents of clients reads the one of the mesh', async () => {
    let places = (): string => '';
    const publicUrl = `https://mesh.example:${await freePort()}`;
    const documents = { [new URL(publicUrl).host]: () => places() };
    await using stage = await startStage({ publicUrl, party: { documents } });
    places = () => stage.mesh.replicas[0]?.connect ?? '';
    const alice = await stage.open('alice');
    expect((await stage.logIn('alice', await alice.call('hub__echo'))).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    expect(stage.party.registered).to.be.empty;
    const [{ client = '' } = {}] = stage.party.grants;
    expect(client).to.equal(`${publicUrl}/connect/client/hub`);
    const { pathname } = new URL(client);
    const document = await fetch(`http://${places()}${pathname}`);
    expect(document.headers.get('content-type')).to.equal('application/json');
    expect(await document.json()).to.include({ client_id: client, token_endpoint_auth_method: 'none' });
    expect((await fetch(`http://${places()}/connect/client/plain`)).status).to.equal(404);
  });

  it(verifies('BACK-6')('more is asked for where the backend needs more, and once'), async () => {
    await using stage = await startStage();
    const { hub } = stage;
    const alice = await stage.open('alice');
    hub.guard.needs['whoami'] = 'write';
    expect((await stage.logIn('alice', await alice.call('hub__echo'))).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    const asked = elicited(await alice.call('hub__whoami'));
    expect(asked.message).to.contain('grant more');
    expect(await calls(alice), 'what is granted stays good').to.equal('{"n":1}');
    const page = await stage.browser('alice').open(asked.url);
    const away = page.way.find(({ pathname }) => pathname === '/auth' && page.status === 200);
    expect(away).not.to.equal(undefined);
    expect(page.way.map((url) => url.searchParams.get('scope'))).to.include('read offline_access write');
    expect(textOf(await alice.call('hub__whoami'))).to.contain('Bearer');

    // One that is not satisfied by what it asked for gets no second try.
    hub.guard.needs['count'] = 'nobody-has-this';
    expect((await stage.logIn('alice', await alice.call('hub__count'))).status).to.equal(200);
    expect(reasonOf(await alice.call('hub__count'))).to.equal('backend_unauthorized');
  });

  it('as much may be asked for as there is: a browser carries no list of it', async () => {
    const scopes = Array.from({ length: 90 }, (_, index) => `https://hub.example/scopes/records.${index}`);
    await using stage = await startStage({ credential: { scopes: ['read', ...scopes] } });
    const alice = await stage.open('alice');
    const browser = stage.browser('alice');
    expect((await browser.open(askedUrl(await alice.call('hub__echo')))).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    // RFC 6265 §6.1: what every browser keeps.
    for (const cookie of browser.given) expect(cookie.length).to.be.below(4_096);
  });

  it('one that names another authorization server is another login, and the old one stays at home', async () => {
    await using stage = await startStage();
    const { hub, party } = stage;
    await using other = await startOidcProvider({
      accessSeconds: 300,
      account: (person) => `other-${person}`,
    });
    const alice = await stage.open('alice');
    expect((await stage.logIn('alice', await alice.call('hub__echo'))).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    const known = party.grants.length;
    hub.guard.issuer = other;
    const page = await stage.logIn('alice', await alice.call('hub__echo'));
    expect(page.status).to.equal(200);
    expect(page.way.map(({ origin }) => origin))
      .to.include(other.url)
      .and.not.to.include(party.url);
    expect(await calls(alice)).to.equal('{"n":1}');
    expect(ran(stage)).to.deep.equal(['hub-alice', 'other-alice']);
    expect(party.grants).to.have.length(known);
    expect(other.registered).to.have.length(1);
    expect(other.grants.map(({ client }) => client)).to.deep.equal(other.registered);
  });

  it('a server that has forgotten the mesh gets to know it anew, and its callers are asked', async () => {
    await using stage = await startStage({ party: { accessSeconds: 2 } });
    const { party } = stage;
    const alice = await stage.open('alice');
    expect((await stage.logIn('alice', await alice.call('hub__echo'))).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    await party.forgetRegistered();
    let asked = '';
    await until('alice is asked', async () => {
      const reply = await alice.call('hub__echo');
      if (reply.answer?.error?.code !== -32042) return false;
      asked = askedUrl(reply);
      return true;
    });
    expect((await stage.browser('alice').open(asked)).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
    expect(party.registered).to.have.length(2);
    const said = stage.mesh
      .log()
      .filter((line) => /client_secret|refresh_token|eyJhbGciOiJFUzI1NiI/.test(line));
    expect(said).to.be.empty;
  });

  it(
    verifies(
      'BACK-5',
      'B9',
      'B11',
    )('metadata about another resource, or at a forbidden place, leads nowhere'),
    async () => {
      await using stage = await startStage();
      const { hub, party, mesh } = stage;
      hub.guard.resource = 'https://mail.example/mcp';
      const alice = await stage.open('alice');
      const looks = () => mesh.log().filter((line) => line.includes('"login_undiscovered"')).length;
      const refused = async () => {
        const before = looks();
        await until('it is looked at anew', async () => {
          const reply = await alice.call('hub__echo');
          expect(reply.body).not.to.contain('/connect/');
          expect(reasonOf(reply)).to.equal('credential_unavailable');
          return looks() > before;
        });
      };
      await refused();
      await until('it is said', () => mesh.log().some((line) => line.includes('about another resource')));
      for (const place of [
        'http://169.254.169.254/latest/meta-data',
        'https://169.254.169.254/latest/meta-data',
        'https://metadata.google.internal/',
        'http://10.0.0.1/metadata',
        'file:///etc/passwd',
      ]) {
        hub.guard.metadataUrl = place;
        await refused();
      }
      expect(hub.asked.length).to.be.lessThan(10);
      await until('it is said', () => mesh.log().some((line) => line.includes('at no place to be asked')));
      expect(party.registered).to.be.empty;
      expect(textOf(await alice.call('plain__echo', { n: 2 }))).to.equal('{"n":2}');
    },
  );
});
