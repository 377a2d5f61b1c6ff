import type { TracingSettings } from '../../shared/telemetry/tracing-config.ts';

/** A sidecar's whole configuration, where it has no file. */
const CONFIG_VARIABLE = 'OUTRIGGER_SIDECAR_CONFIG';

/**
 * What the sidecar of a mesh on one machine is told of traces: what the configuration says
 * to its replicas. By the environment, secrets apart: everybody on a machine can read a
 * command line.
 */
export function sidecarTracing(tracing: TracingSettings | undefined): Readonly<Record<string, string>> {
  if (tracing === undefined) return {};
  const { url, headers, encoding, timeoutMs, ratio, queue, intervalMs, attributes } = tracing;
  const secrets = Object.entries(headers).map(([name, value], at) => ({
    name,
    value,
    env: `OUTRIGGER_TRACING_HEADER_${at}`,
  }));
  const section = {
    otlp: {
      url,
      headers: Object.fromEntries(secrets.map(({ name, env }) => [name, { env }])),
      encoding,
      timeout: `${timeoutMs}ms`,
    },
    ratio,
    queue,
    interval: `${intervalMs}ms`,
    attributes,
  };
  return {
    [CONFIG_VARIABLE]: JSON.stringify({ tracing: section }),
    ...Object.fromEntries(secrets.map(({ env, value }) => [env, value])),
  };
}
