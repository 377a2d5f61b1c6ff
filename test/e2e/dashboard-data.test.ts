import { type IncomingHttpHeaders, request } from 'node:http';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Canaries } from '../support/canaries.ts';
import { BACKEND_CREDENTIAL, type Setting, type Story, startSetting, until } from '../support/story.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Json = Record<string, unknown>;

const DATA = '/dashboard/data';

/** As no browser lets a page ask: with headers of the test's own, and nothing hidden. */
function ask(
  base: string,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const asking = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    asking.on('error', reject);
    asking.end();
  });
}

function json({ body }: Answer): Json {
  return JSON.parse(body) as Json;
}

describe('what the dashboard asks a replica', function () {
  this.timeout(60_000);
  let setting: Setting;
  let alice: Story;
  let base: string;
  let admin: Record<string, string>;

  before(async () => {
    const admins = { scope: 'mesh:admin', dashboardHosts: ['mesh.example'] };
    const config = { admin: admins, audit: { stdout: true } };
    setting = await startSetting({ store: 'embedded', replicas: 2, config });
    alice = await setting.open();
    await alice.client.request('tools/list');
    base = alice.other.ops;
    admin = { authorization: `Bearer ${setting.token({ sub: 'root', scope: 'mesh:admin' })}` };
  });

  after(() => setting[Symbol.asyncDispose]());

  it(
    verifies('ADM-1')('the page is files of its own, under a policy that lets in nothing else'),
    async () => {
      const start = await ask(base, '/');
      expect(start.status).to.equal(307);
      expect(start.headers.location).to.equal('dashboard/');
      expect((await ask(base, '/dashboard')).headers.location).to.equal('dashboard/');
      const types = {
        '/dashboard/': 'text/html',
        '/dashboard/dashboard.css': 'text/css',
        '/dashboard/dashboard.js': 'text/javascript',
        '/dashboard/dashboard.svg': 'image/svg+xml',
      };
      for (const [path, type] of Object.entries(types)) {
        const { status, headers, body } = await ask(base, path);
        expect(status, path).to.equal(200);
        expect(headers['content-type'], path).to.include(type);
        expect(headers['x-content-type-options']).to.equal('nosniff');
        expect(headers['referrer-policy']).to.equal('no-referrer');
        const policy = headers['content-security-policy'];
        for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"])
          expect(policy).to.include(part);
        expect(policy).to.not.include('unsafe');
        expect(body.replaceAll('http://www.w3.org/2000/svg', ''), path).to.not.match(/https?:\/\/|@import/);
      }
      const { body } = await ask(base, '/dashboard/');
      expect(body).to.not.match(/<script(?![^>]* src=)|<style|\sstyle=|\son\w+=/);
      for (const path of ['/dashboard/..%2fpackage.json', '/dashboard/../package.json', '/dashboard/none'])
        expect((await ask(base, path)).status, path).to.equal(404);
    },
  );

  it(verifies('ADM-2', 'G12')('nothing is told without a token, or to a caller'), async () => {
    const caller = { authorization: `Bearer ${setting.token()}` };
    const stranger = { authorization: 'Bearer x.y.z' };
    for (const question of ['overview', 'sidecars', 'sessions', 'explain?name=sessions/x']) {
      const path = `${DATA}/${question}`;
      const nobody = await ask(base, path);
      expect(nobody.status, path).to.equal(401);
      expect(json(nobody)).to.include({ reason: 'TOKEN_MISSING' });
      expect(nobody.headers['www-authenticate']).to.equal('Bearer');
      expect((await ask(base, path, stranger)).status, path).to.equal(401);
      const refused = await ask(base, path, caller);
      expect(refused.status, path).to.equal(403);
      expect(json(refused)).to.include({ reason: 'ADMIN_ROLE_MISSING' });
    }
    const audited = /"method":"dashboard overview","outcome":"denied".*"subject":"alice"/;
    await until('it is in the audit', () => setting.mesh.log().some((line) => audited.test(line)));
  });

  it(verifies('ADM-1')('it tells of all replicas, and is kept by nobody'), async () => {
    const answer = await ask(base, `${DATA}/overview?since=garbage`, admin);
    expect(answer.status).to.equal(200);
    expect(answer.headers['cache-control']).to.equal('no-store');
    expect(answer.headers['x-content-type-options']).to.equal('nosniff');
    expect(answer.headers['content-type']).to.equal('application/json');
    expect(answer.headers).to.not.have.property('access-control-allow-origin');
    const told = json(answer);
    expect(told).to.deep.include({ replica: alice.other.name, alone: '', unreachable: [] });
    for (const part of ['replicas', 'stats', 'history']) expect(told[part], part).to.have.length(2);
    expect(told['backends']).to.have.length(1);
    const { sidecars } = json(await ask(base, `${DATA}/sidecars`, admin)) as { sidecars: Json[] };
    expect(sidecars[0]).to.deep.include({ name: 'sidecars/node-1', lists: { SYNCED: 1 } });
  });

  it(verifies('ADM-1')('what each replica did lately'), async () => {
    const counted = async () => {
      const { history } = json(await ask(base, `${DATA}/overview?since=0`, admin)) as {
        history: { replica: string; samples: { calls: number; time: { seconds: number } }[] }[];
      };
      return history.find(({ replica }) => replica === alice.owner.name)?.samples ?? [];
    };
    await alice.client.call('echo', { text: 'counted' });
    await until('a sample has the call', async () => (await counted()).some(({ calls }) => calls > 0));
    const newest = (await counted()).at(-1)?.time.seconds ?? 0;
    const { history } = json(await ask(base, `${DATA}/overview?since=${newest + 60}000`, admin)) as {
      history: { samples: unknown[] }[];
    };
    expect(history.flatMap(({ samples }) => samples)).to.deep.equal([]);
  });

  it(verifies('ADM-1')('what is asked wrongly is refused'), async () => {
    const wrong = [
      { path: `${DATA}/sessions?filter=owner+%3D+a`, status: 400 },
      { path: `${DATA}/sessions?pageToken=x`, status: 400 },
      { path: `${DATA}/explain?name=x`, status: 400 },
      { path: `${DATA}/explain?name=sessions/${'a'.repeat(26)}`, status: 404 },
      { path: `${DATA}/terminate?name=x`, status: 404 },
      { path: `${DATA}/`, status: 404 },
      { path: `${DATA}/__proto__`, status: 404 },
    ];
    for (const { path, status } of wrong)
      expect((await ask(base, path, admin)).status, path).to.equal(status);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect((await ask(base, `${DATA}/overview`, admin, method)).status, method).to.equal(405);
  });

  it(
    verifies('ADM-2')('pages of other sites are told nothing, also under a name that leads here'),
    async () => {
      const { host, port } = new URL(base);
      const status = async (headers: Record<string, string>) =>
        (await ask(base, `${DATA}/overview`, { ...admin, ...headers })).status;
      for (const own of [
        {},
        { host: `localhost:${port}` },
        { host: `[::1]:${port}` },
        { host: 'mesh.example' },
        { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' },
        { host: 'mesh.example', origin: 'https://mesh.example' },
      ])
        expect(await status(own), JSON.stringify(own)).to.equal(200);
      for (const foreign of [
        { host: `evil.example:${port}` },
        { host: `localhost.evil.example:${port}` },
        { host: `127.0.0.1.evil.example:${port}` },
        { origin: 'http://evil.example' },
        { origin: 'null' },
        { origin: `http://localhost:${port}` },
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
      ])
        expect(await status(foreign), JSON.stringify(foreign)).to.equal(403);
    },
  );

  it(
    verifies('ADM-2', 'G12')('no answer holds a token, a session id or the id of a backend session'),
    async () => {
      const canaries = new Canaries();
      canaries.addToken("the admin's token", admin['authorization']?.slice('Bearer '.length) ?? '');
      canaries.addToken("alice's token", setting.token());
      canaries.add('the session id', alice.client.sessionId ?? '');
      canaries.add('the id of the backend session', alice.backendSession);
      canaries.add('the credential of the backend', BACKEND_CREDENTIAL);
      const { sessions } = json(await ask(base, `${DATA}/sessions`, admin)) as {
        sessions: { name: string }[];
      };
      const paths = ['overview', 'sidecars', 'sessions', `explain?name=${sessions[0]?.name}`, 'none'];
      const places = await Promise.all(
        paths.map(async (path) => ({
          name: path,
          content: (await ask(base, `${DATA}/${path}`, admin)).body,
        })),
      );
      expect(places[3]?.content).to.include('"state":"LIVE"');
      expect(canaries.in(places)).to.deep.equal([]);
      expect(canaries.in([{ name: 'the log', content: setting.mesh.log().join('\n') }])).to.deep.equal([]);
    },
  );
});

describe('a dashboard in trouble', function () {
  this.timeout(60_000);

  it(
    verifies('ADM-1')('without the store a replica tells of itself, and says why of nobody else'),
    async () => {
      await using setting = await startSetting({ replicas: 1, config: { admin: { loopback: true } } });
      await setting.open();
      const base = setting.mesh.replicas[0]?.ops ?? '';
      await setting.redis.kill('SIGKILL');
      let told: Json = {};
      await until('it tells of itself', async () => {
        const answer = await ask(base, `${DATA}/overview`);
        told = json(answer);
        return answer.status === 200 && told['alone'] !== '';
      });
      expect(told['stats']).to.have.length(1);
      expect(told['backends']).to.have.length(1);
      expect(told['replicas']).to.deep.equal([]);
      expect((await ask(base, `${DATA}/sidecars`)).status).to.equal(200);
      expect((await ask(base, `${DATA}/sessions`)).status).to.equal(503);
    },
  );

  it(
    verifies('ADM-1')('a replica answers a few at a time, also when another does not answer it'),
    async () => {
      await using setting = await startSetting({
        store: 'embedded',
        replicas: 2,
        config: { admin: { loopback: true } },
      });
      const [a, b] = setting.mesh.replicas;
      await b?.kill('SIGSTOP');
      try {
        const asked = Array.from({ length: 24 }, () => ask(a?.ops ?? '', `${DATA}/overview`));
        const answers = await Promise.all(asked);
        const told = answers.filter(({ status }) => status === 200);
        const refused = answers.filter(({ status }) => status === 503);
        expect(told).to.have.length(16);
        expect(refused).to.have.length(8);
        expect(refused[0]?.headers['retry-after']).to.equal('1');
        for (const answer of told) expect(json(answer)['unreachable']).to.deep.equal(['replicas/b']);
      } finally {
        await b?.kill('SIGCONT');
      }
    },
  );

  it(verifies('ADM-2')('without the section nobody is told anything; the page is there'), async () => {
    await using setting = await startSetting({ store: 'embedded', replicas: 1 });
    const base = setting.mesh.replicas[0]?.ops ?? '';
    const answer = await ask(base, `${DATA}/overview`, { authorization: `Bearer ${setting.token()}` });
    expect(answer.status).to.equal(501);
    expect(json(answer)).to.include({ reason: 'ADMIN_API_OFF' });
    expect((await ask(base, '/dashboard/')).status).to.equal(200);
  });
});
