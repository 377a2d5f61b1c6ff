import { setTimeout as delay } from 'node:timers/promises';
import axe from 'axe-core';
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { verifies } from '../requirements.ts';
import { Canaries } from '../support/canaries.ts';
import { type ChromiumBrowser, startChromium } from '../support/chromium.ts';
import { BACKEND_CREDENTIAL, McpClient, type Setting, type Story, startSetting } from '../support/story.ts';

const CONFIG = { admin: { scope: 'mesh:admin' }, limits: { initializeAnswer: '200ms' } };
/** The machine may be busy with other tests. */
const PATIENCE_MS = 30_000;

interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** What the browser complained of. */
  readonly complaints: readonly string[];
  /** Address and body of every answer. */
  readonly heard: readonly { readonly name: string; readonly content: string }[];
}

/** A person who opens the dashboard of a replica for the first time. */
async function open(browser: Browser, url: string, dark = false): Promise<Opened> {
  const context = await browser.newContext({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  const heard: { name: string; content: string }[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // That a token is asked for is said in the console as well.
    if (!message.text().includes('status of 401') && !message.text().includes('status of 403'))
      complaints.push(message.text());
  });
  page.on('response', (response) => {
    void response.text().then(
      (content) => heard.push({ name: response.url(), content: `${response.url()} ${content}` }),
      () => {},
    );
  });
  await page.goto(url);
  return { page, complaints, heard, [Symbol.asyncDispose]: () => context.close() };
}

/** With nothing but the keyboard. */
async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('A token with the admin role').waitFor();
  await tabTo(page, 'INPUT');
  await page.keyboard.insertText(token);
  await page.keyboard.press('Enter');
}

/** Presses Tab until the focus is on what is wanted. */
async function tabTo(page: Page, wanted: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(
      "[document.activeElement.tagName, document.activeElement.textContent].join(' ')",
    );
    if (String(focused).includes(wanted)) return;
  }
  throw new Error(`the keyboard does not lead to ${wanted}`);
}

/** The row of a table, by its first cell. */
function row(page: Page, table: string, name: string) {
  return page.getByRole('table', { name: table }).getByRole('row').filter({ hasText: name });
}

function replica(page: Page, name: string) {
  const head = page.getByRole('rowheader', { name: new RegExp(`^${name}(,|$)`) });
  return page
    .getByRole('table', { name: 'Replicas of the control plane' })
    .getByRole('row')
    .filter({ has: head });
}

/** What tools that judge accessibility object to, seriously. */
async function objections(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = (await page.evaluate('axe.run()')) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  };
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

describe('the dashboard, in a real browser', function () {
  this.timeout(120_000);
  let chromium: ChromiumBrowser;
  let setting: Setting;
  let alice: Story;
  let url: string;
  let admin: string;

  before(async () => {
    [chromium, setting] = await Promise.all([
      startChromium(),
      startSetting({ store: 'embedded', replicas: 2, stdio: true, config: CONFIG }),
    ]);
    alice = await setting.open();
    await alice.client.request('tools/list');
    url = `${alice.other.ops}/`;
    admin = setting.token({ sub: 'root', scope: 'mesh:admin' });
  });

  after(async () => {
    await chromium?.[Symbol.asyncDispose]();
    await setting?.[Symbol.asyncDispose]();
  });

  it(
    verifies('ADM-1')('an admin sees replicas, backends, sidecars and sessions of the whole mesh'),
    async () => {
      await using opened = await open(chromium.browser, url);
      const { page, complaints } = opened;
      await signIn(page, admin);
      for (const { name } of setting.mesh.replicas) {
        await replica(page, name).getByText('serving').waitFor();
        await row(page, 'Backends, as each replica finds them', `rec${name}`).waitFor();
      }
      await row(page, 'Sidecars', 'node-1').getByText('synced', { exact: true }).waitFor();
      await row(page, 'Sessions of all replicas', 'alice')
        .filter({ hasText: `a raw client 1rec, kid${alice.owner.name}0` })
        .waitFor();
      await page.getByText('Replicas serving').locator('..').getByText('2 of 2').waitFor();

      await alice.client.call('echo', { text: 'seen' });
      const calls = page.getByRole('figure').filter({ hasText: 'Calls of backends a second' });
      await calls.getByText(/at most [\d.]+; none failed\./).waitFor();
      await calls.getByText('Numbers').click();
      expect(await calls.getByRole('table', { name: 'minute by minute' }).getByRole('row').count()).to.equal(
        16,
      );

      await page.getByLabel('Filter').fill('subject = "nobody"');
      await page.keyboard.press('Enter');
      await page.getByText('There are no such sessions.').waitFor();
      await page.getByLabel('Filter').fill('owner = "a"');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').getByText('there is no field "owner"').waitFor();
      expect(complaints).to.deep.equal([
        'Failed to load resource: the server responded with a status of 400 (Bad Request)',
      ]);
    },
  );

  it(verifies('ADM-2')('a caller is refused with a sentence that says what to do'), async () => {
    await using opened = await open(chromium.browser, url);
    const { page, complaints } = opened;
    await signIn(page, setting.token());
    await page
      .getByRole('status')
      .getByText('This token has no admin role. Get one that has the scope or the claim')
      .waitFor();
    expect(await page.getByLabel('A token with the admin role').inputValue()).to.equal('');
    expect(await page.getByRole('table').count()).to.equal(0);
    await page.keyboard.insertText(admin);
    await page.keyboard.press('Enter');
    await row(page, 'Sessions of all replicas', 'alice').waitFor();
    await page.getByRole('button', { name: 'Forget the token' }).click();
    await page.getByLabel('A token with the admin role').waitFor();
    expect(await page.getByText('a raw client').count()).to.equal(0);
    expect(complaints).to.deep.equal([]);
  });

  it(
    verifies('ADM-2', 'G12')('nothing secret is in the page, in its storage or in what it heard'),
    async () => {
      await using opened = await open(chromium.browser, url);
      const { page, heard } = opened;
      await signIn(page, admin);
      await row(page, 'Sessions of all replicas', 'alice').getByRole('button').click();
      await page.getByRole('dialog').getByText('Nothing is wrong with it.').waitFor();
      const canaries = new Canaries();
      canaries.addToken("the admin's token", admin);
      canaries.addToken("alice's token", setting.token());
      canaries.add('the session id', alice.client.sessionId ?? '');
      canaries.add('the id of the backend session', alice.backendSession);
      canaries.add('the credential of the backend', BACKEND_CREDENTIAL);
      const kept =
        'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, [...document.querySelectorAll("input")].map((each) => each.value)])';
      const places = [
        { name: 'the page', content: await page.content() },
        { name: 'its storage', content: String(await page.evaluate(kept)) },
        ...heard,
      ];
      expect(heard.some(({ name }) => name.includes('/data/explain'))).to.equal(true);
      expect(canaries.in(places)).to.deep.equal([]);
      expect(await page.context().cookies()).to.deep.equal([]);
    },
  );

  it(
    verifies('ADM-1')('explain says which backend is missing and since when, by keyboard alone'),
    async () => {
      await using broken = await startSetting({
        store: 'embedded',
        replicas: 2,
        stdio: true,
        config: CONFIG,
      });
      await broken.backend.stop();
      const client = await McpClient.open({ url: broken.mesh.url, token: broken.token({ sub: 'bob' }) });
      await client.request('tools/list');
      const base = broken.mesh.replicas[0]?.ops ?? '';
      await using opened = await open(chromium.browser, `${base}/`);
      const { page } = opened;
      await signIn(page, broken.token({ sub: 'root', scope: 'mesh:admin' }));
      await row(page, 'Sessions of all replicas', 'bob').waitFor();
      await tabTo(page, 'BUTTON Explain');
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog');
      await dialog
        .getByText(/"rec" is missing since \d{4}-\d\d-\d\dT[\d:.]+Z \(backend_unavailable\)/)
        .waitFor();
      const missing = /^recmissing.*\((now|\d+ (s|min) ago)\)backend unavailable/;
      await dialog.getByRole('row').filter({ hasText: missing }).waitFor();
      await dialog.getByRole('row').filter({ hasText: 'kid' }).getByText('there').waitFor();
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      expect(await page.evaluate('document.activeElement.textContent')).to.equal('Explain');
    },
  );

  it(
    verifies('ADM-1')('a killed replica is unreachable, then gone; restores and strangers are counted'),
    async () => {
      await using sick = await startSetting({
        store: 'embedded',
        replicas: 2,
        config: { admin: { loopback: true } },
      });
      const { client, owner, other } = await sick.open();
      await using opened = await open(chromium.browser, `${other.ops}/`);
      const { page } = opened;
      const lost = replica(page, owner.name);
      await lost.getByText('serving').waitFor();
      // Where configuration asks for no token, neither does the page.
      expect(await page.getByRole('button', { name: 'Forget the token' }).count()).to.equal(0);
      await sick.lose(owner);
      await lost.getByText('unreachable').waitFor();
      await page.getByRole('status').getByText(`Could not be asked: replica ${owner.name}.`).waitFor();
      expect((await client.call('echo', { text: 'again' })).status).to.equal(200);
      const mallory = new McpClient({ url: sick.mesh.url, token: sick.token({ sub: 'mallory' }) });
      mallory.sessionId = client.sessionId ?? '';
      expect((await mallory.request('ping')).status).to.equal(404);

      const figure = (title: string) => page.getByRole('figure').filter({ hasText: title });
      await figure('Sessions restored').getByText('1 in the last 15 minutes; 0 could not be.').waitFor();
      await figure('session of somebody else').getByText('1 in the last 15 minutes, all refused.').waitFor();
      await lost.getByText('gone').waitFor({ timeout: 40_000 });
      await page.getByText('Replicas serving').locator('..').getByText('1 of 1').waitFor();
    },
  );

  it(verifies('ADM-1')('it asks nothing while it is paused, or while nobody looks'), async () => {
    await using opened = await open(chromium.browser, url);
    const { page } = opened;
    await page.clock.install();
    await page.reload();
    await signIn(page, admin);
    await row(page, 'Sessions of all replicas', 'alice').waitFor();
    let asked = 0;
    page.on('request', () => {
      asked += 1;
    });
    // What was under way goes on to its end.
    const settled = async () => {
      for (let before = -1; before !== asked; await delay(500)) before = asked;
    };
    const askedInAMinute = async () => {
      await settled();
      asked = 0;
      await page.clock.runFor(60_000);
      await settled();
      return asked;
    };
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.click();
    expect(await askedInAMinute()).to.equal(0);
    await pause.click();
    expect(await askedInAMinute()).to.be.above(0);
    const look = (hidden: boolean) =>
      page.evaluate(
        `Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`,
      );
    await look(true);
    expect(await askedInAMinute()).to.equal(0);
    const again = page.waitForRequest(/overview/);
    await look(false);
    await again;
  });

  for (const dark of [false, true]) {
    const title = `it is ${dark ? 'dark' : 'light'} where the system is, and nothing stands in anybody's way`;
    it(verifies('ADM-1')(title), async () => {
      await using opened = await open(chromium.browser, url, dark);
      const { page, complaints } = opened;
      await page.getByLabel('A token with the admin role').waitFor();
      expect(await objections(page)).to.deep.equal([]);
      await signIn(page, admin);
      await row(page, 'Sessions of all replicas', 'alice').waitFor();
      const brightness = await page.evaluate(
        'getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b) / 3',
      );
      expect(Number(brightness)).to.be[dark ? 'below' : 'above'](128);
      expect(await objections(page)).to.deep.equal([]);
      await row(page, 'Sessions of all replicas', 'alice').getByRole('button').click();
      await page.getByRole('dialog').getByText('Nothing is wrong with it.').waitFor();
      expect(await objections(page)).to.deep.equal([]);
      expect(complaints).to.deep.equal([]);
    });
  }
});
