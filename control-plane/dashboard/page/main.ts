import type { Overview, SidecarPage } from '../wire.ts';
import { Activity } from './activity.ts';
import { AskError, ask, explained, hasToken, useToken } from './asking.ts';
import { byId } from './dom.ts';
import { ExplanationDialog } from './explanation.ts';
import { Backends, Replicas, Sidecars } from './fleet.ts';
import { clockTime, own } from './format.ts';
import { Polling } from './polling.ts';
import { Sessions } from './sessions.ts';

const OVERVIEW_MS = 5_000;
const DETAILS_MS = 10_000;

const notice = byId('notice', HTMLParagraphElement);
const signIn = byId('sign-in', HTMLFormElement);
const tokenInput = byId('token', HTMLInputElement);
const content = byId('content', HTMLDivElement);
const freshness = byId('freshness', HTMLParagraphElement);
const sections = byId('sections', HTMLElement);
const pause = byId('pause', HTMLButtonElement);
const forget = byId('forget', HTMLButtonElement);

/** What the clock of the replica is ahead of this one, in milliseconds. */
let ahead = 0;
const now = () => Date.now() + ahead;

const activity = new Activity(byId('tiles', HTMLDListElement), byId('charts', HTMLDivElement));
const replicas = new Replicas(byId('replica-table', HTMLDivElement));
const backends = new Backends(byId('backend-table', HTMLDivElement));
const sidecars = new Sidecars(byId('sidecar-table', HTMLDivElement));
const explanation = new ExplanationDialog(now);
const sessions = new Sessions({ explain: (name) => explanation.open(name), look: () => details.now() });

const overview = new Polling({ poll: () => guarded(pollOverview), everyMs: OVERVIEW_MS });
const details = new Polling({ poll: () => guarded(pollDetails), everyMs: DETAILS_MS });

async function pollOverview(): Promise<void> {
  const told = await ask<Overview>('overview', { since: String(activity.samples.since) });
  ahead = told.now - Date.now();
  if (content.hidden) {
    reveal(true);
    details.start();
  }
  activity.show(told);
  replicas.show(told);
  backends.show(told);
  freshness.textContent = `Told by replica ${told.replica} at ${clockTime(Date.now())}`;
  say(silence(told), 'warn');
}

async function pollDetails(): Promise<void> {
  await sessions.poll(now);
  sidecars.show(await ask<SidecarPage>('sidecars'));
}

/** What is missing from an answer, and why. */
function silence({ alone, unreachable, replica }: Overview): string {
  if (alone !== '') return `${alone} What follows is what replica ${replica} knows by itself.`;
  if (unreachable.length === 0) return '';
  const names = unreachable.map(own).join(', ');
  return `Could not be asked: replica ${names}. What it alone knows is missing here.`;
}

/** Says why there is no answer, and asks for a token where that is why. */
async function guarded(poll: () => Promise<void>): Promise<void> {
  try {
    await poll();
  } catch (thrown) {
    if (thrown instanceof AskError && thrown.refused) lock(thrown);
    else say(explained(thrown), 'bad');
    throw thrown;
  }
}

function lock(refusal: AskError): void {
  overview.stop();
  details.stop();
  const first = refusal.reason === 'TOKEN_MISSING';
  useToken(undefined);
  reveal(false);
  if (NO_TOKEN_HELPS.has(refusal.reason)) {
    say(explained(refusal), 'bad');
  } else if (!window.isSecureContext) {
    say(CLEAR_TEXT, 'bad');
  } else {
    say(first ? '' : explained(refusal), 'bad');
    signIn.hidden = false;
    if (!first) tokenInput.focus();
  }
}

const NO_TOKEN_HELPS = new Set(['ADMIN_API_OFF', 'CERTIFICATE_MISSING', 'FOREIGN', 'NOT_LOOPBACK']);
const CLEAR_TEXT =
  'A token would cross the network in clear text from here: forward a port to this machine, or open the dashboard through HTTPS.';

function reveal(whole: boolean): void {
  content.hidden = !whole;
  sections.hidden = !whole;
  pause.hidden = !whole;
  forget.hidden = !whole || !hasToken();
  if (whole) {
    signIn.hidden = true;
    return;
  }
  freshness.textContent = '';
  explanation.close();
  replicas.clear();
  sessions.clear();
  backends.show({ backends: [], now: 0 });
  sidecars.show({ sidecars: [], nextPageToken: '', unreachable: [] });
  activity.samples.clear();
}

/** Said aloud once, when it changes. */
function say(text: string, kind: 'warn' | 'bad'): void {
  if (notice.textContent === text) return;
  notice.textContent = text;
  notice.className = `notice ${kind}`;
}

function start(): void {
  pause.setAttribute('aria-pressed', 'false');
  overview.start();
  if (!content.hidden) details.start();
}

signIn.addEventListener('submit', (event) => {
  event.preventDefault();
  useToken(tokenInput.value.trim());
  tokenInput.value = '';
  start();
});

pause.addEventListener('click', () => {
  const pausing = pause.getAttribute('aria-pressed') !== 'true';
  if (!pausing) return start();
  pause.setAttribute('aria-pressed', 'true');
  overview.stop();
  details.stop();
});

forget.addEventListener('click', () => {
  overview.stop();
  details.stop();
  useToken(undefined);
  reveal(false);
  say('', 'warn');
  signIn.hidden = false;
  tokenInput.focus();
});

start();
