import { systemClock } from '../shared/clock.ts';
import type { Program } from '../shared/lifecycle.ts';
import { type Discoveries, openDiscoveries } from './compose-discovery.ts';
import { Connect, type ConnectOptions } from './connect/connect.ts';
import { startConnectListener } from './connect/listener.ts';
import { SignIn } from './connect/sign-in.ts';
import { LoginProvider } from './credentials/login-provider.ts';
import { LoginVault, type Sealer } from './credentials/login-vault.ts';
import { Logins } from './credentials/logins.ts';
import type { ProviderFetch } from './credentials/oauth-provider.ts';
import { SealedNotes } from './credentials/sealed-notes.ts';
import type { Keys } from './keys.ts';
import type { LiveSettings } from './live-settings.ts';
import { observeLogins, type Watching } from './observe.ts';
import type { InviteToLogin, LoggedIn } from './session/login-elicitations.ts';
import { type ApartPurpose, RecordCrypto } from './session/record-crypto.ts';
import type { SessionStore } from './store/session-store.ts';

export interface LoginParts extends Watching {
  readonly live: LiveSettings;
  readonly keys: Keys;
  readonly store: SessionStore;
  readonly fetch: ProviderFetch;
  readonly program: Program;
  readonly onLogin: (login: LoggedIn) => void;
}

/** Logins at third parties: what strategies, sessions and browsers have of them. */
export interface LoginPlane {
  readonly logins: Logins;
  readonly discovery: Discoveries;
  readonly invite: InviteToLogin;
  /** Opens the pages. Rejects with `ExitError` when their address cannot be had. */
  listen(): Promise<void>;
}

/** Undefined where no place to log in is configured. */
export function openLogins(parts: LoginParts): LoginPlane | undefined {
  const { live, keys, store, fetch, program, log } = parts;
  const { connect } = live.current;
  if (connect === undefined) return undefined;
  const { publicUrl, issuers, listen } = connect;
  const crypto = new RecordCrypto(keys.server);
  const sealer = (purpose: ApartPurpose): Sealer => ({
    seal: (name, plain) => crypto.sealApart(purpose, name, plain),
    open: (name, sealed) => crypto.openApart(purpose, name, sealed),
  });
  const vault = new LoginVault({ store, keys: keys.index, sealer: sealer('login') });
  const notes = new SealedNotes({ store, keys: keys.index, sealer: sealer('discovery') });
  const discovery = openDiscoveries({ publicUrl, notes, program, log });
  const { known, providers } = providersOf({ live, fetch, discovery });
  const logins = new Logins({
    vault,
    clock: systemClock,
    home: Connect.home(publicUrl),
    onLogin: ({ bindingKey, provider }) => {
      const backends = known().flatMap(({ key, backend }) => (key === provider ? [backend] : []));
      parts.onLogin({ bindingKey, backends });
    },
  });
  program.defer('logins', () => logins.stop());
  const redirectUri = Connect.signInRedirect(publicUrl);
  const pages = new Connect({
    clock: systemClock,
    publicUrl,
    tickets: sealer('ticket'),
    browsers: sealer('browser'),
    vault,
    issuers: issuers.map((settings) => new SignIn({ settings, fetch, redirectUri })),
    providers,
    known,
    documented: () => discoveredOf(live).map(({ name }) => name),
    onEvent: observeLogins(parts),
  });
  return {
    logins,
    discovery,
    invite: ({ caller, scope, ...where }) =>
      pages.invite({ ...where, bindingKey: caller.bindingKey, scopes: scope?.split(' ') }),
    async listen() {
      const listener = await startConnectListener({ ...listen, publicUrl, connect: pages });
      program.defer('pages for logins', () => listener.close());
    },
  };
}

const PROVIDERS = new WeakMap<object, LoginProvider>();

interface ProviderParts {
  readonly live: LiveSettings;
  readonly fetch: ProviderFetch;
  readonly discovery: Discoveries;
}

/** Of the backends as they are configured now. */
function providersOf({ live, fetch, discovery }: ProviderParts): Pick<ConnectOptions, 'known' | 'providers'> {
  const written = () =>
    live.current.backends.flatMap(({ name: backend, credential }) => {
      if (credential.strategy !== 'stored') return [];
      const known = PROVIDERS.get(credential);
      const options = { settings: credential, backend, fetch, clock: systemClock };
      const provider = known ?? new LoginProvider(options);
      PROVIDERS.set(credential, provider);
      return [provider];
    });
  const discovered = () => discoveredOf(live).map(({ name, credential }) => discovery(name, credential));
  return {
    known: () => [...written(), ...discovered().flatMap(({ known }) => known ?? [])],
    async providers() {
      const found = await Promise.all(discovered().map((each) => each.reread()));
      return [...written(), ...found.flatMap((provider) => provider ?? [])];
    },
  };
}

function discoveredOf({ current }: LiveSettings) {
  return current.backends.flatMap(({ name, credential }) =>
    credential.strategy === 'discover' ? [{ name, credential }] : [],
  );
}
