import type { Finding } from '../../shared/findings.ts';
import { VERSION } from '../../shared/version.ts';

/** As `engines` in package.json has it. */
const OLDEST = [20, 19] as const;

export function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const good = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  const finding = { check: 'version', of: `outrigger ${VERSION}` } as const;
  if (good) return { ...finding, status: 'ok', detail: `on Node ${process.versions.node}` };
  const remedy = `install Node ${OLDEST.join('.')} or newer`;
  return { ...finding, status: 'failed', detail: `Node ${process.versions.node} is too old`, remedy };
}
