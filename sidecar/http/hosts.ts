/**
 * Which Host and Origin values are ours: the defence against DNS rebinding, where
 * a page of a foreign site reaches a loopback listener under the site's own name
 * (MCP specification, Streamable HTTP, security warning).
 */
export interface HostRules {
  readonly hosts: ReadonlySet<string>;
  readonly origins: ReadonlySet<string>;
}

export interface HostRuleOptions {
  /** The TCP port; undefined behind a Unix socket, where a client says a name without a port. */
  readonly port: number | undefined;
  /** `name` or `name:port` beside the loopback names. */
  readonly extraHosts: readonly string[];
  /** Whole origins (`https://app.example`) beside those of the allowed hosts. */
  readonly extraOrigins: readonly string[];
}

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'];

export function createHostRules(options: HostRuleOptions): HostRules {
  const { port } = options;
  const own = LOOPBACK_NAMES.flatMap((name) => {
    if (port === undefined) return [name];
    return port === 80 ? [name, `${name}:80`] : [`${name}:${port}`];
  });
  const hosts = new Set([...own, ...options.extraHosts.map((host) => host.toLowerCase())]);
  const origins = new Set([...[...hosts].map((host) => `http://${host}`), ...options.extraOrigins]);
  return { hosts, origins };
}

export function allowsHost(rules: HostRules, host: string): boolean {
  return rules.hosts.has(host) || rules.hosts.has(host.toLowerCase());
}

export function allowsOrigin(rules: HostRules, origin: string): boolean {
  return rules.origins.has(origin) || rules.origins.has(origin.toLowerCase());
}

const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i;

/** `uri-host [":" port]` of RFC 9110 §7.2, as far as names and addresses go. */
export function isWellFormedHost(host: string): boolean {
  return HOST.test(host);
}
