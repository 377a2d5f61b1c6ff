import { Counter, Gauge, Registry } from 'prom-client';
import { certificateEnd, certificateFaults } from '../../shared/config/certificates.ts';
import { ConfigError } from '../../shared/config/parse.ts';
import { FileWatch, ReadFiles } from '../../shared/config/watched-files.ts';
import type { Program } from '../../shared/lifecycle.ts';
import type { Logger, RootLogger } from '../../shared/log.ts';
import { Health } from '../ops/health.ts';
import { startOpsServer } from '../ops/server.ts';
import type { ReviewResult } from './admission-review.ts';
import type { WebhookSettings } from './config.ts';
import { SURPRISING } from './outcomes.ts';
import { type PemPair, startWebhook } from './webhook.ts';

export interface WebhookProgram {
  /** Throws `ConfigError`. What it read, or tried to, is in `files` in any case. */
  readonly load: (files: ReadFiles) => WebhookSettings;
  readonly settings: WebhookSettings;
  /** What the settings were read from. */
  readonly files: ReadFiles;
  readonly log: RootLogger;
  readonly program: Pick<Program, 'defer' | 'onReload'>;
}

/** What a shutdown may take, in milliseconds. */
export const CLOSING_MS = 5_000;

/** As a reason: what came was no question about a pod. */
const NOT_A_REVIEW = 'not_a_review';

/** Serves until the program ends. The configuration and the certificate are followed while it runs. */
export async function startInjectionWebhook(options: WebhookProgram): Promise<void> {
  const { log, program } = options;
  let { settings } = options;
  let pair = readPair(settings, options.files);
  const registry = new Registry();
  const reviews = new Counter({
    name: 'outrigger_injector_reviews_total',
    help: 'Pods that an API server asked about, by what became of them.',
    labelNames: ['reason'],
    registers: [registry],
  });
  // An increase from nothing to one is none to Prometheus.
  for (const reason of [...SURPRISING, NOT_A_REVIEW]) reviews.inc({ reason }, 0);
  new Gauge({
    name: 'outrigger_injector_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of the webhook ends.',
    registers: [registry],
    collect() {
      this.set(certificateEnd(pair.cert));
    },
  });
  const health = new Health();
  const ops = await startOpsServer({ ...settings.listen.ops, health, registry });
  program.defer('health and metrics', () => ops.close());
  const webhook = await startWebhook({
    ...settings.listen.webhook,
    tls: pair,
    review: () => ({ settings: settings.sidecar, neverIn: settings.neverIn }),
    onReview(result) {
      reviews.inc({ reason: result?.reason ?? NOT_A_REVIEW });
      tell(log, result);
    },
  });
  program.defer('the webhook', () => webhook.close(CLOSING_MS));

  const watch = new FileWatch({ changed: reload });
  watch.follow(options.files.marks);
  program.onReload(reload);
  program.defer('configuration', () => watch.close());
  program.defer('readiness', () => health.draining());
  health.started();
  log.info('the webhook is ready', {
    event: 'ready',
    address: `${webhook.host}:${webhook.port}`,
    port: ops.port,
  });

  function reload(): void {
    const files = new ReadFiles();
    try {
      const next = options.load(files);
      const renewed = readPair(next, files);
      webhook.renew(renewed);
      pair = renewed;
      // Where it listens needs a restart.
      settings = { ...next, listen: settings.listen };
      log.setLevel(next.log.level);
      log.info('configuration and certificate were read again', { event: 'config_applied' });
    } catch (error) {
      log.error('the configuration is refused; the one before it stays', {
        event: 'config_rejected',
        ...(error instanceof ConfigError ? { detail: error.message } : { error }),
      });
    }
    watch.follow(new Map([...options.files.marks, ...files.marks]));
  }
}

function readPair({ tls }: WebhookSettings, files: ReadFiles): PemPair {
  const read = (part: 'cert' | 'key'): string => {
    try {
      return files.read(tls[part]);
    } catch {
      throw new ConfigError([`tls.${part}: cannot read ${tls[part]}`]);
    }
  };
  const pair = { cert: read('cert'), key: read('key') };
  const faults = certificateFaults({ ...pair, ca: pair.cert }).filter(({ part }) => part !== 'ca');
  if (faults.length > 0) throw new ConfigError(faults.map(({ part, message }) => `tls.${part}: ${message}`));
  return pair;
}

/** A line for every pod without a sidecar; what was wished for is worth a warning. */
function tell(log: Logger, result: ReviewResult | undefined): void {
  if (result === undefined) return log.warn('a request was no review', { event: 'injection_refused' });
  const { reason, detail, pod, error } = result;
  const fields = { kind: 'Pod', reason, detail: detail === undefined ? pod : `${pod}: ${detail}` };
  if (reason === 'failed')
    return log.error('the injection failed', { event: 'injection_failed', ...fields, error });
  if (reason === 'injected') return log.info('a pod gets a sidecar', { event: 'injected', ...fields });
  const surprising: ReadonlySet<string> = SURPRISING;
  const declined = { event: 'injection_declined', ...fields };
  if (surprising.has(reason)) log.warn('a pod gets no sidecar', declined);
  else log.info('a pod gets no sidecar', declined);
}
