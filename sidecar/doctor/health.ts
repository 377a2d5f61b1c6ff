import type { Finding } from '../../shared/findings.ts';

const ANSWER_MS = 2_000;

/** Whether a sidecar runs there, and is ready. */
export async function checkHealth({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<Finding[]> {
  if (port === 0) return [];
  const of = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const finding = { check: 'sidecar', of } as const;
  try {
    const response = await fetch(`http://${of}/readyz`, { signal: AbortSignal.timeout(ANSWER_MS) });
    const said = (await response.text()).trim().slice(0, 200);
    if (response.status === 200) return [{ ...finding, status: 'ok', detail: 'runs, and is ready' }];
    const remedy = 'see the findings about the control plane; its log says what it waits for';
    return [{ ...finding, status: 'failed', detail: `runs, and is not ready: ${said}`, remedy }];
  } catch {
    const remedy = 'outrigger sidecar starts it';
    return [{ ...finding, status: 'skipped', detail: 'no sidecar runs here now', remedy }];
  }
}
