/** Where the MCP endpoint listens. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/**
 * Reads `host:port`, `[::1]:port`, a bare port (loopback) or `unix:/path`.
 * Undefined when it is none of them. Port 0 lets the system choose.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    return path.startsWith('/') ? { kind: 'unix', path } : undefined;
  }
  const [, bracketed, name, digits = ''] =
    /^(?:(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port > 65_535) return undefined;
  return { kind: 'tcp', host: bracketed ?? name ?? 'localhost', port };
}

/** Whether only this machine can reach it. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  return address.host === 'localhost' || address.host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address.host);
}

/**
 * The addresses to bind. Whoever listens on one loopback family listens on both,
 * for a client that says `localhost` may take either, and must not end up with a
 * stranger that took the other one.
 */
export function bindHosts(host: string): readonly string[] {
  return host === 'localhost' || host === '127.0.0.1' ? ['127.0.0.1', '::1'] : [host];
}

export function showAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
