/** The message that begins a session. */
export function initialize(protocolVersion: string): string {
  const clientInfo = { name: 'outrigger-bench', version: '1.0.0' };
  const params = { protocolVersion, capabilities: {}, clientInfo };
  return JSON.stringify({ jsonrpc: '2.0', id: 'initialize', method: 'initialize', params });
}

export const INITIALIZED = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });

/** What every POST of a message says of itself. */
export const POST_HEADERS = [
  'Accept: application/json, text/event-stream',
  'Content-Type: application/json',
] as const;

/** The bytes of an HTTP request. */
export function request(of: { url: URL; method: string; headers: readonly string[]; body: string }): string {
  const lines = [
    `${of.method} ${of.url.pathname}${of.url.search} HTTP/1.1`,
    `Host: ${of.url.host}`,
    ...of.headers,
    `Content-Length: ${Buffer.byteLength(of.body)}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${of.body}`;
}
