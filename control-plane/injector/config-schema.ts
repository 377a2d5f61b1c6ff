import * as v from 'valibot';
import { duration } from '../../shared/config/quantity.ts';
import { count, list, oneOf, section, table, text } from '../../shared/config/section.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../../shared/log.ts';
import { isSpiffeId } from '../../shared/spiffe-id.ts';
import { VERSION } from '../../shared/version.ts';

/** The configuration file of the webhook, whose `sidecar` section is also that of `outrigger inject`. */

const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]$]+):\d{1,5}$/;

function address() {
  return v.pipe(text(), v.regex(HOST_PORT, 'expected host:port'));
}

function word(pattern: RegExp, expected: string) {
  return v.pipe(text(), v.regex(pattern, `expected ${expected}`));
}

const Quantities = table(word(/^\d+(?:\.\d+)?(?:m|k|Ki|Mi|Gi)?$/, 'a quantity, such as 50m or 64Mi'));

const RATIO = 'expected a number from 0 to 1';

export const SidecarSection = section({
  image: v.optional(word(/^[^\s]+$/, 'the name of an image'), `outrigger-sidecar:${VERSION}`),
  imagePullPolicy: v.optional(oneOf(['Always', 'IfNotPresent', 'Never'])),
  controlPlane: v.optional(address(), 'outrigger.outrigger.svc:4290'),
  tls: v.optional(
    section({
      secret: v.optional(
        word(/^[a-z0-9][a-z0-9.-]{0,252}$/, 'the name of a secret'),
        'outrigger-sidecar-tls',
      ),
      serverName: v.optional(word(/^[A-Za-z0-9.-]+$/, 'a host name')),
      serverId: v.optional(v.pipe(text(), v.check(isSpiffeId, 'expected a SPIFFE id'))),
    }),
    {},
  ),
  virtualServer: v.optional(word(/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/, 'a name'), 'default'),
  token: v.optional(
    section({
      audience: v.optional(text(), 'outrigger'),
      /** Kubernetes grants no less than ten minutes, and renews at four fifths. */
      expiration: v.optional(duration({ min: '10m', max: '24h' }), '1h'),
    }),
    {},
  ),
  resources: v.optional(
    section({
      requests: v.optional(Quantities, { cpu: '50m', memory: '64Mi' }),
      limits: v.optional(Quantities, { memory: '160Mi' }),
    }),
    {},
  ),
  user: v.optional(count({ min: 1, max: 2 ** 31 - 1 }), 65_532),
  /** A collector of traces that asks for no secret. */
  tracing: v.optional(
    section({
      url: v.pipe(text(), v.regex(/^https?:\/\/[^\s#@]+$/, 'expected an http or https URL')),
      ratio: v.optional(v.pipe(v.number(RATIO), v.minValue(0, RATIO), v.maxValue(1, RATIO)), 1),
    }),
  ),
});

export type SidecarSection = v.InferOutput<typeof SidecarSection>;

export const WebhookFile = section({
  listen: v.optional(
    section({
      webhook: v.optional(address(), '0.0.0.0:4293'),
      ops: v.optional(address(), '127.0.0.1:4291'),
    }),
    {},
  ),
  /** PEM files; they are read again when they change. */
  tls: v.optional(section({ cert: text(), key: text() })),
  /** Namespaces whose pods are never changed, whatever their labels say. */
  neverIn: v.optional(list(text()), ['kube-system', 'kube-public', 'kube-node-lease']),
  sidecar: v.optional(SidecarSection, {}),
  log: v.optional(
    section({
      level: v.optional(oneOf(LOG_LEVELS), 'info'),
      format: v.optional(oneOf(LOG_FORMATS), 'auto'),
    }),
    {},
  ),
});

export type WebhookFile = v.InferOutput<typeof WebhookFile>;
