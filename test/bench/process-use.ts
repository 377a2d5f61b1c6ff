import { readFile } from 'node:fs/promises';

/** Linux counts CPU time in ticks of 10 ms, whatever the kernel's own clock. */
const TICK_US = 10_000;

/** User and system time that a process and all its threads have used since they began, in microseconds. Linux only. */
export async function cpuUs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in parentheses, which may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** The resident set of a process, in bytes. Linux only. */
export async function rssBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
