import { systemClock } from '../shared/clock.ts';
import type { Program } from '../shared/lifecycle.ts';
import { Connect } from './connect/connect.ts';
import { startConnectListener } from './connect/listener.ts';
import { SignIn } from './connect/sign-in.ts';
import { LoginProvider } from './credentials/login-provider.ts';
import { LoginVault, type Sealer } from './credentials/login-vault.ts';
import { Logins } from './credentials/logins.ts';
import type { ProviderFetch } from './credentials/oauth-provider.ts';
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
  readonly invite: InviteToLogin;
  /** Opens the pages. Rejects with `ExitError` when their address cannot be had. */
  listen(): Promise<void>;
}

/** Undefined where no place to log in is configured. */
export function openLogins(parts: LoginParts): LoginPlane | undefined {
  const { live, keys, store, fetch, program } = parts;
  const { connect } = live.current;
  if (connect === undefined) return undefined;
  const { publicUrl, issuers, listen } = connect;
  const crypto = new RecordCrypto(keys.server);
  const sealer = (purpose: ApartPurpose): Sealer => ({
    seal: (name, plain) => crypto.sealApart(purpose, name, plain),
    open: (name, sealed) => crypto.openApart(purpose, name, sealed),
  });
  const vault = new LoginVault({ store, keys: keys.index, sealer: sealer('login') });
  const providers = () => providersOf(live, fetch);
  const logins = new Logins({
    vault,
    clock: systemClock,
    home: Connect.home(publicUrl),
    onLogin: ({ bindingKey, provider }) => {
      const backends = providers().flatMap(({ key, backend }) => (key === provider ? [backend] : []));
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
    onEvent: observeLogins(parts),
  });
  return {
    logins,
    invite: ({ caller, ...where }) => pages.invite({ ...where, bindingKey: caller.bindingKey }),
    async listen() {
      const listener = await startConnectListener({ ...listen, publicUrl, connect: pages });
      program.defer('pages for logins', () => listener.close());
    },
  };
}

const PROVIDERS = new WeakMap<object, LoginProvider>();

/** Of the backends as they are configured now. */
function providersOf({ current }: LiveSettings, fetch: ProviderFetch): readonly LoginProvider[] {
  return current.backends.flatMap(({ name: backend, credential }) => {
    if (credential.strategy !== 'stored') return [];
    const known = PROVIDERS.get(credential);
    const options = { settings: credential, backend, fetch, clock: systemClock };
    const provider = known ?? new LoginProvider(options);
    PROVIDERS.set(credential, provider);
    return [provider];
  });
}
