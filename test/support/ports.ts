import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the range from which systems take the ports of outgoing connections: one
 * that is free now is still free when the program that is given it comes to bind
 * it. Test runs side by side have a part of the range each.
 */
const FIRST = 12_000;
const PER_LANE = 9_000;
const lane = Number(process.env['OUTRIGGER_TEST_LANE'] ?? 0);
const given = new Set<number>();

/** Ports of 127.0.0.1 that nobody used at this moment, all different, and given to nobody else here. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST + lane * PER_LANE + randomInt(PER_LANE);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('no port was found');
  return port;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return false;
  }
  await new Promise((resolve) => server.close(resolve));
  return true;
}
