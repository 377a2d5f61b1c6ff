import type { Claim, Finding } from '../../shared/findings.ts';
import { holderOf, listenError, showAddress } from '../cli/ports.ts';

/** An address that one of our programs listens on; its first is that of its health and metrics. */
export interface Listener extends Claim {
  readonly program: 'replica' | 'sidecar';
}

const ANSWER_MS = 2_000;

/** Whether each address is free, or held by the program that is meant to hold it. */
export async function checkPorts(listeners: readonly Listener[]): Promise<Finding[]> {
  const running = await runningPrograms(listeners);
  return Promise.all(
    listeners
      .filter(({ port }) => port !== 0)
      .map(async (listener): Promise<Finding> => {
        const finding = { check: 'ports', of: showAddress(listener) } as const;
        const error = await listenError(listener);
        if (error === undefined) return { ...finding, status: 'ok', detail: `free (${listener.what})` };
        if (error === 'EADDRINUSE') return held(listener, running.has(listener.program));
        return { ...finding, status: 'failed', detail: `cannot be listened on (${error})`, remedy: HOST };
      }),
  );
}

const HOST = 'choose an address that this machine has, and a port that this user may open (above 1023)';

function held(listener: Listener, isOurs: boolean): Finding {
  const { what, program, port } = listener;
  const finding = { check: 'ports', of: showAddress(listener) } as const;
  const holder = holderOf(port);
  if (isOurs)
    return { ...finding, status: 'ok', detail: `${what}: held by ${holder}, a ${program} that runs` };
  return {
    ...finding,
    status: 'failed',
    detail: `needed for ${what}, and held by ${holder}`,
    remedy: 'end that process, or choose another port under listen',
  };
}

/** A program of ours is known by what its health port counts. */
async function runningPrograms(listeners: readonly Listener[]): Promise<ReadonlySet<Listener['program']>> {
  const running = new Set<Listener['program']>();
  await Promise.all(
    (['replica', 'sidecar'] as const).map(async (program) => {
      const health = listeners.find((each) => each.program === program);
      if (health !== undefined && (await isOurs(health))) running.add(program);
    }),
  );
  return running;
}

const COUNTS: Readonly<Record<Listener['program'], string>> = {
  replica: 'outrigger_mesh_streams',
  sidecar: 'outrigger_sidecar_',
};

async function isOurs(listener: Listener): Promise<boolean> {
  try {
    const response = await fetch(`http://${showAddress(listener)}/metrics`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return (await response.text()).includes(COUNTS[listener.program]);
  } catch {
    return false;
  }
}
