import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { verifies } from '../requirements.ts';
import { Canaries } from '../support/canaries.ts';
import {
  askedUrl,
  elicited,
  HUB_RESOURCE,
  type LoginStage,
  startLoginStage,
} from '../support/login-stage.ts';
import { McpClient, reasonOf, textOf } from '../support/mcp-client.ts';
import { metricsAt, redisContents } from '../support/places.ts';
import type { RecordedRequest } from '../support/recording-backend.ts';
import { startRedis } from '../support/redis.ts';
import { metric, until } from '../support/story.ts';

/** Whom a request to the backend speaks for. */
function subjectOf({ authorization = '' }: Pick<RecordedRequest, 'authorization'>): string {
  const { sub, aud } = decodeJwt(authorization.replace(/^Bearer /, ''));
  expect(aud).to.equal(HUB_RESOURCE);
  return sub ?? '';
}

/** The subjects for which tools ran, in order. */
function ran({ hub }: LoginStage): string[] {
  return hub.record.executions.map(({ authorization }) => subjectOf({ authorization }));
}

async function calls(client: McpClient): Promise<string> {
  return textOf(await client.call('hub__echo', { n: 1 }));
}

describe('a backend that needs its caller’s own login at a third party', function () {
  this.timeout(60_000);

  it(
    verifies(
      'AGG-16',
      'RST-2',
      'BACK-6',
    )('each caller is asked, logs in by browser on whatever replica, and is what the backend sees'),
    async () => {
      await using stage = await startLoginStage();
      const [alice, bob] = [await stage.open('alice'), await stage.open('bob')];
      const asked = elicited(await alice.call('hub__echo', { n: 1 }));
      expect(asked.mode).to.equal('url');
      expect(asked.url.startsWith(`${stage.publicUrl}/connect/`)).to.equal(true);
      expect(stage.hub.record.requests, 'nothing was sent without a login').to.be.empty;

      const page = await stage.browser('alice').open(asked.url);
      expect([page.status, page.url.pathname]).to.deep.equal([200, '/connect/done']);
      expect(page.html).to.contain('You are logged in');
      expect(page.way.map(({ host }) => host)).to.include.members([
        new URL(stage.idp.url).host,
        new URL(stage.party.url).host,
      ]);
      expect(await calls(alice)).to.equal('{"n":1}');
      expect(elicited(await bob.call('hub__echo')).url, 'bob is still asked').to.be.a('string');

      expect((await stage.logIn('bob', bob)).status).to.equal(200);
      expect(await calls(bob)).to.equal('{"n":1}');
      expect(await calls(alice)).to.equal('{"n":1}');
      expect(ran(stage)).to.deep.equal(['hub-alice', 'hub-bob', 'hub-alice']);
      for (const { authorization } of stage.plain.record.requests) expect(authorization).to.equal(undefined);
    },
  );

  it(
    verifies(
      'AGG-6',
      'AGG-10',
      'AGG-16',
    )('a missing login is said, and its backend joins with list_changed after it'),
    async () => {
      await using stage = await startLoginStage();
      const alice = await stage.open('alice');
      const listening = await alice.listen();
      const names = async () => {
        const { result } = (await alice.request('tools/list')).answer ?? {};
        return result as { tools: { name: string }[]; _meta?: Record<string, Record<string, unknown>> };
      };
      const before = await names();
      expect(before.tools.some(({ name }) => name.startsWith('hub__'))).to.equal(false);
      expect(before.tools.some(({ name }) => name === 'plain__echo')).to.equal(true);
      const missing = before._meta?.['dev.outrigger/backends']?.['hub'] as {
        reason: string;
        message: string;
      };
      expect(missing.reason).to.equal('login_required');
      expect(missing.message).to.contain(`${stage.publicUrl}/connect/`);

      const asked = elicited(await alice.call('hub__echo'));
      expect((await stage.browser('alice').open(asked.url)).status).to.equal(200);
      await listening.message('notifications/tools/list_changed');
      const { params } = await listening.message('notifications/elicitation/complete');
      expect(params).to.deep.equal({ elicitationId: asked.elicitationId });
      const after = await names();
      expect(after.tools.some(({ name }) => name === 'hub__echo')).to.equal(true);
      expect(after._meta?.['dev.outrigger/backends']).to.equal(undefined);
      listening.drop();
    },
  );

  it(verifies('AGG-16')('a client that opens no URLs gets a plain error that says where to go'), async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice', { opensUrls: false });
    const { answer } = await alice.call('hub__echo');
    expect(answer?.error?.code).to.equal(-32000);
    expect(answer?.error?.data).to.deep.equal({ reason: 'login_required', retryable: false, backend: 'hub' });
    const [url = ''] = /http:\S+/.exec(answer?.error?.message ?? '') ?? [];
    expect((await stage.browser('alice').open(url)).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
  });

  it('who has no identity is refused, and gets no link', async () => {
    await using stage = await startLoginStage({ anonymous: true });
    const nobody = await McpClient.open({ url: stage.mesh.url, capabilities: { elicitation: { url: {} } } });
    const reply = await nobody.call('hub__echo', { n: 1 });
    expect(reasonOf(reply)).to.equal('backend_unauthorized');
    expect(reply.body).not.to.contain('/connect/');
    expect(textOf(await nobody.call('plain__echo', { n: 1 }))).to.equal('{"n":1}');
    expect(stage.hub.record.requests).to.be.empty;
  });

  it(
    verifies('M4', 'AGG-16')('a link that another person opens is refused, audited, and stores nothing'),
    async () => {
      await using stage = await startLoginStage({ config: { audit: { stdout: true } } });
      const alice = await stage.open('alice');
      const url = askedUrl(await alice.call('hub__echo'));
      const mallory = stage.browser('mallory');
      const page = await mallory.open(url);
      expect(page.status).to.equal(403);
      expect(page.html).to.contain('This link is not yours').and.not.to.contain(stage.party.url);
      expect(page.way.map(({ host }) => host)).not.to.include(new URL(stage.party.url).host);
      expect(stage.party.grants).to.be.empty;
      elicited(await alice.call('hub__echo'));
      const audited = stage.mesh
        .log()
        .filter((line) => line.includes('"login.make"'))
        .map((line) => JSON.parse(line.slice(line.indexOf('{'))) as Record<string, unknown>);
      expect(audited).to.have.length(1);
      expect(audited[0]).to.include({
        action: 'login.make',
        outcome: 'denied',
        reason: 'wrong_principal',
        backend: 'hub',
      });
      expect(audited[0]?.['principal']).to.include({ subject: 'mallory', issuer: stage.idp.url });

      // The link is still alice's.
      expect((await stage.browser('alice').open(url)).status).to.equal(200);
      expect(await calls(alice)).to.equal('{"n":1}');
    },
  );

  it(verifies('M4')('a victim who opens the attacker’s link gives nothing away'), async () => {
    await using stage = await startLoginStage();
    const mallory = await stage.open('mallory');
    const page = await stage.logIn('alice', mallory);
    expect(page.status).to.equal(403);
    expect(stage.party.grants).to.be.empty;
    elicited(await mallory.call('hub__echo'));
  });

  it('a link is good once, on any replica, and a made-up or changed one never', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    const url = askedUrl(await alice.call('hub__echo'));
    const browser = stage.browser('alice');
    expect((await browser.open(url)).status).to.equal(200);
    const granted = stage.party.grants.length;
    for (const again of [browser, browser, stage.browser('alice')])
      expect((await again.open(url)).status).to.equal(410);
    expect(stage.party.grants).to.have.length(granted);
    const changed = url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    const { pathname } = new URL(url);
    for (const bad of [
      changed,
      `${stage.publicUrl}/connect/made-up`,
      `${stage.publicUrl}${pathname.slice(0, -9)}`,
    ])
      expect((await browser.open(bad)).status).to.equal(410);
    for (const path of ['/', '/metrics', '/connect', '/connect/a/b', '/mcp'])
      expect((await browser.open(`${stage.publicUrl}${path}`)).status, path).to.equal(404);
  });

  it('a browser that comes back with another state, or another browser with this one, is refused', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    const mesh = new URL(stage.publicUrl).host;
    const browser = stage.browser('alice');
    const url = askedUrl(await alice.call('hub__echo'));
    // Signed in first, so that the next way leads to the third party alone.
    await browser.open(`${stage.publicUrl}/connect/`);
    const away = await browser.until(url, new URL(stage.party.url).host);
    expect(Object.fromEntries(away.searchParams)).to.include({
      response_type: 'code',
      code_challenge_method: 'S256',
      resource: HUB_RESOURCE,
      scope: 'read',
      redirect_uri: `${stage.publicUrl}/connect/authorized/hub`,
    });
    const back = await browser.until(away, mesh);
    expect(back.searchParams.get('iss')).to.equal(stage.party.url);
    const changed = new URL(back);
    changed.searchParams.set('state', 'x'.repeat(43));
    const mixed = new URL(back);
    mixed.searchParams.set('iss', stage.idp.url);
    const stolen = stage.browser('alice');
    await stolen.open(`${stage.publicUrl}/connect/`);
    expect((await browser.open(changed)).status).to.equal(400);
    expect((await stolen.open(back)).status, 'another browser').to.equal(400);
    expect((await browser.open(mixed)).status, 'another issuer').to.equal(502);
    expect((await browser.open(back)).status, 'what was begun is over').to.equal(400);
    expect(stage.party.grants).to.be.empty;
    elicited(await alice.call('hub__echo'));
  });

  it('whoever signs in anew on the way does not finish what the one before began', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    const mesh = new URL(stage.publicUrl).host;
    const browser = stage.browser('alice');
    await browser.open(`${stage.publicUrl}/connect/`);
    const back = await browser.until(askedUrl(await alice.call('hub__echo')), new URL(stage.party.url).host);
    const returning = await browser.until(back, mesh);
    browser.forget(mesh, 'outrigger-connect');
    expect((await browser.open(`${stage.publicUrl}/connect/`)).html).to.contain('hub: not logged in');
    expect((await browser.open(returning)).status).to.equal(400);
    expect(stage.party.grants).to.be.empty;
  });

  it('who says no at the third party has no login, and is told so', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    const asking = stage.browser('alice');
    await asking.open(`${stage.publicUrl}/connect/`);
    const away = await asking.until(askedUrl(await alice.call('hub__echo')), new URL(stage.party.url).host);
    const declining = stage.browser('alice', { declines: true });
    const back = await declining.until(away, new URL(stage.publicUrl).host);
    expect(back.searchParams.get('error')).to.equal('access_denied');
    const page = await asking.open(back);
    expect(page.status).to.equal(403);
    expect(page.html).to.contain('You are not logged in');
    elicited(await alice.call('hub__echo'));
  });

  it('pages carry no script, may be framed by nobody, are kept by nobody, and cookies are the browser’s alone', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    const browser = stage.browser('alice');
    const page = await browser.open(askedUrl(await alice.call('hub__echo')));
    expect(page.html)
      .to.match(/^<!doctype html>\n<html lang="en">/)
      .and.not.match(/<script|onclick|http:/);
    const csp = page.headers.get('content-security-policy') ?? '';
    expect(csp)
      .to.contain("default-src 'none'")
      .and.contain("frame-ancestors 'none'")
      .and.not.contain('unsafe');
    expect(page.headers.get('cache-control')).to.equal('no-store');
    expect(page.headers.get('referrer-policy')).to.equal('no-referrer');
    expect(page.headers.get('x-frame-options')).to.equal('DENY');
    const own = browser.given.filter((cookie) => cookie.startsWith('outrigger'));
    expect(own).to.have.length.of.at.least(3);
    for (const cookie of own) expect(cookie).to.match(/; Path=\/; HttpOnly; SameSite=Lax$/);
  });

  it('a person sees the logins there are, and ends one: it ends everywhere, at the provider too', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    await stage.logIn('alice', alice);
    expect(await calls(alice)).to.equal('{"n":1}');
    const browser = stage.browser('alice');
    const page = await browser.open(`${stage.publicUrl}/connect/`);
    expect(page.html).to.contain('hub: logged in');
    const forged = await browser.submit(page, { form: 'guessed' });
    expect(forged.status).to.equal(400);
    expect(await calls(alice)).to.equal('{"n":1}');
    const after = await browser.submit(page);
    expect(after.html).to.contain('hub: not logged in');
    await until('it is over', async () => (await alice.call('hub__echo')).answer?.error?.code === -32042);
    const link = /href="([^"]+)"/.exec(after.html)?.[1] ?? '';
    expect((await browser.open(link)).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
  });
});

describe('a stored login lives on', function () {
  this.timeout(60_000);

  it(
    verifies(
      'BACK-6',
      'RST-1',
      'RST-2',
    )('on the replica that takes over the backend sees its owner’s fresh token'),
    async () => {
      await using stage = await startLoginStage({ accessSeconds: 3 });
      const [alice, bob] = [await stage.open('alice'), await stage.open('bob')];
      await stage.logIn('alice', alice);
      await stage.logIn('bob', bob);
      await calls(alice);
      await calls(bob);
      const before = new Set(stage.hub.record.requests.map(({ authorization }) => authorization));
      await stage.loseOwner();
      await sleep(3_200);
      const from = stage.hub.record.requests.length;
      await calls(alice);
      await calls(bob);
      const after = stage.hub.record.requests.slice(from);
      for (const { authorization } of after) expect(before.has(authorization), 'a fresh one').to.equal(false);
      expect(ran(stage)).to.deep.equal(['hub-alice', 'hub-bob', 'hub-alice', 'hub-bob']);
    },
  );

  it('a token that ends in mid-session is refreshed once for all who call', async () => {
    await using stage = await startLoginStage({ accessSeconds: 2 });
    const alice = await stage.open('alice');
    await stage.logIn('alice', alice);
    await calls(alice);
    await sleep(2_200);
    const refreshes = () => stage.party.grants.filter(({ grant }) => grant === 'refresh_token');
    const before = refreshes().length;
    await Promise.all(Array.from({ length: 10 }, () => calls(alice)));
    expect(
      refreshes()
        .slice(before)
        .map(({ status }) => status),
    ).to.deep.equal([200]);
  });

  it(
    verifies('BACK-6')(
      'two replicas that refresh at once show a rotating token once, and nobody is logged out',
    ),
    async () => {
      await using stage = await startLoginStage({ accessSeconds: 2, sidecars: 2, spread: true });
      const one = await stage.open('alice');
      const two = await stage.open('alice', { sidecar: 1 });
      expect(
        await Promise.all(stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions'))),
      ).to.deep.equal([1, 1]);
      await stage.logIn('alice', one);
      await Promise.all([calls(one), calls(two)]);
      stage.party.slowRefresh(300);
      for (let round = 0; round < 3; round += 1) {
        await sleep(2_200);
        await Promise.all([calls(one), calls(two), calls(one), calls(two)]);
      }
      const refreshes = stage.party.grants.filter(({ grant }) => grant === 'refresh_token');
      expect(refreshes.every(({ status }) => status === 200)).to.equal(true);
      const shown = refreshes.map(({ form }) => form['refresh_token']);
      expect(new Set(ran(stage))).to.deep.equal(new Set(['hub-alice']));
      expect(shown.length).to.be.at.least(3);
      expect(new Set(shown).size, 'each was shown once').to.equal(shown.length);
    },
  );

  it('a login that its provider has ended is asked for again', async () => {
    await using stage = await startLoginStage({ accessSeconds: 2 });
    const alice = await stage.open('alice');
    await stage.logIn('alice', alice);
    await calls(alice);
    await stage.party.revokeLogins();
    await sleep(2_200);
    expect((await stage.logIn('alice', alice)).status).to.equal(200);
    expect(await calls(alice)).to.equal('{"n":1}');
  });

  it('a backend that refuses a good token gets another, once', async () => {
    await using stage = await startLoginStage();
    const alice = await stage.open('alice');
    await stage.logIn('alice', alice);
    await calls(alice);
    const [{ authorization = '' } = { authorization: '' }] = stage.hub.record.executions;
    stage.hub.script({ refuse: { [authorization]: 401 } });
    expect(await calls(alice)).to.equal('{"n":1}');
    expect(stage.hub.record.executions.at(-1)?.authorization).not.to.equal(authorization);
  });

  it('a provider that is down costs its own backend alone, and no login', async () => {
    await using stage = await startLoginStage({ accessSeconds: 2 });
    const alice = await stage.open('alice');
    await stage.logIn('alice', alice);
    await calls(alice);
    stage.party.outage('down');
    await sleep(2_200);
    expect(reasonOf(await alice.call('hub__echo'))).to.equal('credential_unavailable');
    expect(textOf(await alice.call('plain__echo', { n: 2 }))).to.equal('{"n":2}');
    stage.party.outage('none');
    await until('it is back', async () => (await alice.call('hub__echo')).answer?.error === undefined);
  });
});

describe('what logins leave behind', function () {
  this.timeout(60_000);

  it(
    verifies(
      'OBS-1',
      'AGG-16',
    )('no token, code, state, cookie or link is in the store, a log, a metric or an answer'),
    async () => {
      await using redis = await startRedis({ aof: true, config: { rdbcompression: 'no' } });
      await using stage = await startLoginStage({
        accessSeconds: 2,
        logLevel: 'debug',
        store: { type: 'redis', url: `redis://127.0.0.1:${redis.port}` },
        config: {
          keys: {
            server: [{ id: 'test', env: 'OUTRIGGER_TEST_SERVER_KEY' }],
            index: { current: { env: 'OUTRIGGER_TEST_INDEX_KEY' } },
          },
        },
      });
      const alice = await stage.open('alice');
      const heard: string[] = [];
      const asked = await alice.call('hub__echo', { n: 1 });
      const browser = stage.browser('alice');
      const page = await browser.open(askedUrl(asked));
      expect(page.status).to.equal(200);
      expect((await stage.browser('mallory').open(askedUrl(asked))).status).to.equal(403);
      expect((await browser.open(askedUrl(asked))).status).to.equal(410);
      const answer = await alice.call('hub__echo', { n: 1 });
      await sleep(2_200);
      heard.push(page.html, answer.body, (await alice.call('hub__echo', { n: 1 })).body);

      const canaries = new Canaries();
      const own = browser.given.filter(
        (cookie) => cookie.startsWith('outrigger') && !/^[^=]+=;/.test(cookie),
      );
      // All that is sealed begins alike.
      for (const cookie of own) canaries.add('a cookie', /\.\.([^;]+)/.exec(cookie)?.[1] ?? '');
      canaries.add('a link', askedUrl(asked).split('..')[1] ?? '');
      for (const name of ['code', 'state', 'code_challenge'])
        for (const each of page.way.flatMap((at) => at.searchParams.get(name) ?? []))
          canaries.add(name, each);
      const granted = [...stage.party.grants, ...stage.idp.grants];
      for (const name of ['access_token', 'refresh_token', 'id_token', 'code_verifier'])
        for (const each of granted.flatMap(({ form }) => form[name] ?? [])) canaries.add(name, each);
      expect(granted.some(({ grant }) => grant === 'refresh_token')).to.equal(true);

      const log = stage.mesh.log().join('\n');
      expect(log).to.contain('login_wrong_principal').and.to.contain('login_replayed');
      const found = canaries.in([
        ...(await redisContents(redis)),
        ...(await metricsAt(stage.mesh.replicas.map(({ ops }) => ops))),
        { name: 'the logs', content: log },
        ...heard.map((content) => ({ name: 'an answer', content })),
      ]);
      expect(found, `\n${found.join('\n')}\n`).to.deep.equal([]);
    },
  );
});
