import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { LOADS } from './loads.ts';
import { report, reportVerdicts, summary } from './report.ts';
import { Results } from './results.ts';
import { measure } from './rounds.ts';
import { ROWS } from './rows.ts';
import { BOUNDS } from './scale/bounds.ts';
import { show } from './scale/curve.ts';
import { measureGrowth } from './scale/growth.ts';
import { TARGETS } from './targets.ts';
import { judge } from './verdicts.ts';

const USAGE = `npm run bench -- [options]
  --rows a,b       only these rows: ${ROWS.map(({ name }) => name).join(' | ')}
  --loads a,b      only these loads: ${LOADS.map(({ name }) => name).join(' | ')}
  --rounds N       interleaved rounds (5)
  --seconds N      measured seconds of each load, row and round (1.5)
  --no-growth      not how cost, memory and restores grow; --growth, also beside chosen rows or loads
  --json FILE      write medians, curves, verdicts and all samples there
  --svg FILE       draw calls a second and CPU of small calls, by row
  --check          exit with 1 when a target is missed`;

const { values } = parseArgs({
  allowNegative: true,
  options: {
    rows: { type: 'string' },
    loads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    growth: { type: 'boolean' },
    json: { type: 'string' },
    svg: { type: 'string' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else await bench();

async function bench(): Promise<void> {
  const whole = values.rows === undefined && values.loads === undefined;
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const measured = await measure({
    rows: pick(ROWS, values.rows),
    loads: pick(LOADS, values.loads),
    rounds,
    seconds,
    warmUpSeconds: 0.5,
    onSample: ({ round, load, row, calls, seconds }) =>
      console.error(`round ${round + 1}  ${load}  ${row}: ${Math.round(calls / seconds)} calls/s`),
    onMissing: (row, why) => console.error(`without ${row}: ${why}`),
  });
  const results = new Results(measured);
  console.log(`${report(results)}\n`);
  // Nothing of the rows stands any more. Places of a curve are told apart by less than rows are, and so in turn more often.
  const curves =
    (values.growth ?? whole)
      ? await measureGrowth({
          rounds: 4 * rounds,
          seconds: seconds / 3,
          share: 1,
          onCurve: (curve) => console.log(`${show(curve)}\n`),
        })
      : [];
  const verdicts = [...judge(results, TARGETS), ...judge(curves, BOUNDS)];
  console.log(reportVerdicts(verdicts));
  if (values.json !== undefined)
    await writeFile(
      values.json,
      JSON.stringify({ medians: summary(results), curves, verdicts, ...measured }, null, 2),
    );
  if (values.svg !== undefined) await writeFile(values.svg, chart(results));
  if (values.check && verdicts.some(({ outcome }) => outcome === 'missed')) process.exitCode = 1;
}

function pick<Item extends { name: string }>(
  items: readonly Item[],
  names: string | undefined,
): readonly Item[] {
  if (names === undefined) return items;
  return names.split(',').map((name) => {
    const item = items.find((candidate) => candidate.name === name.trim());
    if (item === undefined)
      throw new Error(`"${name.trim()}" is none of: ${items.map((each) => each.name).join(', ')}`);
    return item;
  });
}
