import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { ConfigError, type Parsed, parseConfig } from '../../shared/config/parse.ts';
import type { Environment } from '../../shared/config/variables.ts';
import type { ReadFiles } from '../../shared/config/watched-files.ts';
import type { LogFormat, LogLevel } from '../../shared/log.ts';
import { SidecarSection, WebhookFile } from './config-schema.ts';
import type { InjectionSettings } from './settings.ts';

/** Everything that the webhook is told, resolved. */
export interface WebhookSettings {
  readonly listen: { readonly webhook: Address; readonly ops: Address };
  /** PEM files. */
  readonly tls: { readonly cert: string; readonly key: string };
  readonly neverIn: readonly string[];
  readonly sidecar: InjectionSettings;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ReadOptions {
  readonly file: string;
  readonly env: Environment;
  readonly cwd: string;
  readonly files: ReadFiles;
}

/** The settings of this process's command line and environment. Throws `ConfigError`. */
export function webhookSettings(argv: readonly string[], files: ReadFiles): WebhookSettings {
  let file: string | undefined;
  try {
    file = parseArgs({ args: [...argv], options: { config: { type: 'string' } } }).values.config;
  } catch (error) {
    throw new ConfigError([error instanceof Error ? error.message : String(error)]);
  }
  if (file === undefined) throw new ConfigError(['--config FILE is required']);
  return loadWebhookSettings({ file, env: process.env, cwd: process.cwd(), files });
}

/** Throws `ConfigError` with every problem found. */
export function loadWebhookSettings(options: ReadOptions): WebhookSettings {
  const parsed = readFile(options);
  const { listen, tls, neverIn, sidecar, log } = parsed.value;
  if (tls === undefined) {
    throw parsed.refuse([{ path: ['tls'], message: 'is required: an API server calls over TLS' }]);
  }
  const folder = dirname(resolve(options.cwd, options.file));
  return {
    listen: { webhook: toAddress(listen.webhook), ops: toAddress(listen.ops) },
    tls: { cert: resolve(folder, tls.cert), key: resolve(folder, tls.key) },
    neverIn,
    sidecar: injectionSettings(sidecar),
    log,
  };
}

/** What `outrigger inject` says on its command line; it wins over the file. */
export interface InjectionFlags {
  readonly image?: string | undefined;
  readonly controlPlane?: string | undefined;
  readonly audience?: string | undefined;
  readonly virtualServer?: string | undefined;
  readonly tlsSecret?: string | undefined;
  readonly serverName?: string | undefined;
  readonly serverId?: string | undefined;
}

/** Throws `ConfigError`. */
export function loadInjectionSettings(
  flags: InjectionFlags,
  options: Omit<ReadOptions, 'file'> & { readonly file: string | undefined },
): InjectionSettings {
  const { file, ...rest } = options;
  const written =
    file === undefined ? v.parse(SidecarSection, {}) : readFile({ ...rest, file }).value.sidecar;
  const merged = {
    ...written,
    image: flags.image ?? written.image,
    controlPlane: flags.controlPlane ?? written.controlPlane,
    virtualServer: flags.virtualServer ?? written.virtualServer,
  };
  const settings = injectionSettings({
    ...merged,
    token: { ...written.token, audience: flags.audience ?? written.token.audience },
    tls: {
      secret: flags.tlsSecret ?? written.tls.secret,
      serverName: flags.serverName ?? written.tls.serverName,
      serverId: flags.serverId ?? written.tls.serverId,
    },
  });
  checkFlags(settings);
  return settings;
}

/** What stands in a file was checked there; what a flag says is checked by the same schema. */
function checkFlags({ image, controlPlane, virtualServer, token, tls }: InjectionSettings): void {
  const { secret, serverName, serverId } = tls;
  const result = v.safeParse(SidecarSection, {
    image,
    controlPlane,
    virtualServer,
    token: { audience: token.audience },
    tls: {
      secret,
      ...(serverName === undefined ? {} : { serverName }),
      ...(serverId === undefined ? {} : { serverId }),
    },
  });
  if (result.success) return;
  throw new ConfigError(
    result.issues.map(({ path, message }) => `${path?.map(({ key }) => String(key)).join('.')}: ${message}`),
  );
}

function injectionSettings(written: SidecarSection): InjectionSettings {
  const { tls, token } = written;
  return {
    image: written.image,
    imagePullPolicy: written.imagePullPolicy,
    controlPlane: written.controlPlane,
    tls: { secret: tls.secret, serverName: tls.serverName, serverId: tls.serverId },
    virtualServer: written.virtualServer,
    token: { audience: token.audience, expirationSeconds: Math.round(token.expiration / 1_000) },
    resources: written.resources,
    tracing: written.tracing,
    user: written.user,
  };
}

function readFile({ file, env, cwd, files }: ReadOptions): Parsed<WebhookFile> {
  let text: string;
  try {
    text = files.read(resolve(cwd, file));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError([`${file}: cannot be read (${code})`]);
  }
  return parseConfig(WebhookFile, text, { file, env });
}

function toAddress(written: string): Address {
  const colon = written.lastIndexOf(':');
  return { host: written.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(written.slice(colon + 1)) };
}
