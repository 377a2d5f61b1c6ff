import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { reportVerdicts } from '../report.ts';
import { judge } from '../verdicts.ts';
import { BOUNDS } from './bounds.ts';
import { BACKENDS_CURVE, SESSIONS_CURVE, TOOLS_CURVE } from './cost.ts';
import { type Curve, show } from './curve.ts';
import { FAN_OUT } from './fan-out.ts';
import { HERD } from './herd.ts';
import { REDIS } from './redis.ts';
import { RESTORES } from './restores.ts';
import { SIDECAR_SIZE } from './sidecar.ts';
import { SIDECARS_CURVE } from './sidecars.ts';

const ALL = [
  SESSIONS_CURVE,
  BACKENDS_CURVE,
  TOOLS_CURVE,
  RESTORES,
  FAN_OUT,
  HERD,
  REDIS,
  SIDECARS_CURVE,
  SIDECAR_SIZE,
];
const USAGE = `npm run scale -- [options]
  --curves a,b     only these: ${ALL.map(({ name }) => name).join(' | ')}
  --rounds N       of each place of a curve of costs, interleaved (20)
  --seconds N      of calls in each round (0.5)
  --share N        of the sizes of a whole run, for a quick look (1)
  --json FILE      write all of it there`;

const { values } = parseArgs({
  options: {
    curves: { type: 'string' },
    rounds: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '0.5' },
    share: { type: 'string', default: '1' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else await scale();

async function scale(): Promise<void> {
  const wanted = values.curves?.split(',').map((name) => name.trim());
  const unknown = wanted?.find((name) => !ALL.some((each) => each.name === name));
  if (unknown !== undefined)
    throw new Error(`"${unknown}" is none of: ${ALL.map(({ name }) => name).join(', ')}`);
  const options = {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    share: Number(values.share),
  };
  const curves: Curve[] = [];
  for (const each of ALL) {
    if (wanted !== undefined && !wanted.includes(each.name)) continue;
    const curve = await each.measure(options);
    curves.push(curve);
    console.log(`${show(curve)}\n`);
  }
  const verdicts = judge(curves, BOUNDS).filter(({ outcome }) => outcome !== 'unmeasured');
  console.log(reportVerdicts(verdicts));
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ curves, verdicts }, null, 2));
}
