import { randomBytes } from 'node:crypto';
import { connect as dial } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { Connect, type ConnectEvent } from '../../control-plane/connect/connect.ts';
import { Cookies } from '../../control-plane/connect/cookies.ts';
import { type ConnectListener, startConnectListener } from '../../control-plane/connect/listener.ts';
import { messagePage } from '../../control-plane/connect/pages.ts';
import { LoginVault, type Sealer } from '../../control-plane/credentials/login-vault.ts';
import { type ApartPurpose, RecordCrypto } from '../../control-plane/session/record-crypto.ts';
import { MemorySessionStore } from '../../control-plane/store/memory.ts';
import { systemClock } from '../../shared/clock.ts';

const crypto = new RecordCrypto([{ id: 'one', key: randomBytes(32) }]);

function sealer(purpose: ApartPurpose): Sealer {
  return {
    seal: (name, plain) => crypto.sealApart(purpose, name, plain),
    open: (name, sealed) => crypto.openApart(purpose, name, sealed),
  };
}

describe('the listener for logins', () => {
  let listener: ConnectListener;
  let origin: string;
  const events: ConnectEvent[] = [];
  let asked = 0;

  before(async () => {
    const vault = new LoginVault({
      store: new MemorySessionStore({ clock: Date.now }),
      keys: { current: randomBytes(32) },
      sealer: sealer('login'),
    });
    const publicUrl = 'https://mesh.example.com';
    const connect = new Connect({
      ...{ clock: systemClock, publicUrl, vault, issuers: [] },
      tickets: sealer('ticket'),
      browsers: sealer('browser'),
      providers: async () => {
        asked += 1;
        return [];
      },
      known: () => [],
      documented: () => [],
      onEvent: (event) => events.push(event),
    });
    listener = await startConnectListener({ host: '127.0.0.1', port: 0, publicUrl, connect });
    origin = `http://127.0.0.1:${listener.port}`;
  });
  after(() => listener.close());

  /** The status of an answer to these very bytes. */
  async function raw(request: string): Promise<string> {
    const socket = dial(listener.port, '127.0.0.1');
    socket.end(request);
    return (await text(socket)).split('\r\n')[0] ?? '';
  }

  it('serves nothing but its pages, and these as they are meant', async () => {
    const status = async (path: string, init: RequestInit = {}) =>
      (await fetch(`${origin}${path}`, { redirect: 'manual', ...init })).status;
    for (const path of [
      '/',
      '/mcp',
      '/metrics',
      '/connect',
      '/Connect/',
      '//connect/',
      '/connect/a/b',
      '/connect/authorized',
    ])
      expect(await status(path), path).to.be.oneOf([404, 410]);
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD'])
      expect(await status('/connect/', { method }), method).to.equal(405);
    expect(await status('/connect/disconnect')).to.equal(405);
    const form = { method: 'POST', body: new URLSearchParams({ login: 'hub', form: 'x' }) };
    expect(await status('/connect/', form)).to.equal(405);
    expect(await status('/connect/disconnect', form), 'nobody is signed in').to.equal(400);
    expect(await status('/connect/disconnect', { method: 'POST', body: '{}' }), 'no form').to.equal(413);
    const long = { method: 'POST', body: new URLSearchParams({ login: 'x'.repeat(5_000) }) };
    expect(await status('/connect/disconnect', long)).to.equal(413);
  });

  it('takes no target that is no path', async () => {
    const head = 'Host: mesh.example.com\r\nConnection: close\r\n\r\n';
    for (const target of ['http://evil.example/connect/', '*', '@evil.example/connect/'])
      expect(await raw(`GET ${target} HTTP/1.1\r\n${head}`), target).to.equal('HTTP/1.1 400 Bad Request');
    expect(await raw(`GET //evil.example/connect/ HTTP/1.1\r\n${head}`)).to.equal('HTTP/1.1 404 Not Found');
  });

  it('knows no state that nobody was given', async () => {
    for (const path of [
      'signed-in',
      'authorized/hub',
      'signed-in?code=a&state=b',
      'authorized/hub?code=a&state=b',
    ])
      expect((await fetch(`${origin}/connect/${path}`)).status, path).to.equal(400);
    expect(new Set(events.map(({ kind }) => kind))).to.deep.equal(new Set(['wrong_state']));
    const form = { method: 'POST', body: new URLSearchParams({ login: 'hub', form: 'x' }) };
    expect((await fetch(`${origin}/connect/disconnect`, form)).status).to.equal(400);
    expect(asked, 'what the store was asked for strangers').to.equal(0);
  });
});

describe('what a browser carries', () => {
  const cookies = (secure: boolean) => new Cookies({ sealer: sealer('browser'), clock: systemClock, secure });
  const carried = (set: string) => ({ cookie: set.split(';')[0] ?? '' });
  const journey = { kind: 'sign-in', state: 's', nonce: 'n', verifier: 'v', issuer: 'i', next: '/' } as const;

  it('is for this host alone over https, and for no script and no other site anywhere', () => {
    const secure = cookies(true).signIn('["i","alice",""]');
    expect(secure).to.match(
      /^__Host-outrigger-connect=[\w.-]+; Max-Age=900; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
    );
    expect(secure).not.to.contain('alice');
    expect(cookies(false).signIn('a')).to.match(/^outrigger-connect=.*; HttpOnly; SameSite=Lax$/);
  });

  it('is read under its own name only, and a journey under its own state and kind', () => {
    const jar = cookies(true);
    const set = jar.begin<'sign-in'>(journey);
    expect(jar.journey(carried(set), 'sign-in', 's')?.verifier).to.equal('v');
    expect(jar.journey(carried(set), 'login', 's')).to.equal(undefined);
    expect(jar.journey(carried(set), 'sign-in', 't')).to.equal(undefined);
    const renamed = carried(set).cookie.replace(/^[^=]+/, '__Host-outrigger-connect');
    expect(jar.signedIn({ cookie: renamed })).to.equal(undefined);
    expect(jar.signedIn({ cookie: '__Host-outrigger-connect=made-up; other=1' })).to.equal(undefined);
  });

  it('ends in time', () => {
    let now = Date.now();
    const clock = { ...systemClock, now: () => now };
    const jar = new Cookies({ sealer: sealer('browser'), clock, secure: true });
    const set = jar.begin<'sign-in'>(journey);
    now += 10 * 60_000;
    expect(jar.journey(carried(set), 'sign-in', 's')).to.equal(undefined);
  });

  it('and a page shows texts as texts', () => {
    expect(messagePage('<b>', [`"it's" & <script>`]))
      .to.contain('<h1>&#60;b&#62;</h1>')
      .and.not.contain('<script>');
  });
});
