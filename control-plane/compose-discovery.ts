import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../shared/clock.ts';
import { isLoopbackUrl } from '../shared/config/hosts.ts';
import type { Program } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/log.ts';
import type { Reach } from './backend/address-policy.ts';
import { createBoundedFetch } from './backend/bounded-fetch.ts';
import { Connect } from './connect/connect.ts';
import type { DiscoverSettings } from './credential-settings.ts';
import { Discovery } from './credentials/discovery.ts';
import type { ProviderFetch } from './credentials/oauth-provider.ts';
import type { SealedNotes } from './credentials/sealed-notes.ts';

export interface DiscoveryParts {
  readonly publicUrl: string;
  readonly notes: SealedNotes;
  readonly program: Program;
  readonly log: Logger;
}

/** What is known of each backend that says itself where callers log in. */
export type Discoveries = (backend: string, settings: DiscoverSettings) => Discovery;

/** The same for everybody who asks of the same backend. */
export function openDiscoveries({ publicUrl, notes, program, log }: DiscoveryParts): Discoveries {
  const known = new Map<string, Discovery>();
  const fetches = new Map<Reach, ProviderFetch>();
  const fetchWithin = (reach: Reach): ProviderFetch => {
    const there = fetches.get(reach);
    if (there !== undefined) return there;
    const { fetch, stop } = createBoundedFetch(reach);
    program.defer(`learned places (${reach})`, stop);
    fetches.set(reach, fetch);
    return fetch;
  };
  return (backend, settings) => {
    const there = known.get(backend);
    if (there !== undefined && isDeepStrictEqual(there.settings, settings)) return there;
    const own = publicUrl.startsWith('https:') ? Connect.clientDocument(publicUrl, backend) : undefined;
    const discovery = new Discovery({
      settings,
      backend,
      fetch: fetchWithin(reachOf(settings)),
      clock: systemClock,
      notes,
      redirectUri: Connect.loginRedirect(publicUrl, backend),
      documentUrl: settings.clientMetadata ?? own,
      onOutcome({ issuer, cause, ...of }) {
        if (issuer !== undefined)
          log.info('a backend says where callers log in', { event: 'login_discovered', ...of, issuer });
        else
          log.warn('where callers log in cannot be learned', {
            event: 'login_undiscovered',
            ...of,
            error: cause,
          });
      },
    });
    known.set(backend, discovery);
    return discovery;
  };
}

function reachOf({ url, allowPrivateAddresses }: DiscoverSettings): Reach {
  if (allowPrivateAddresses) return 'configured';
  return isLoopbackUrl(url) ? 'loopback' : 'public';
}
