import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { LOADS } from './loads.ts';
import { report, summary } from './report.ts';
import { Results } from './results.ts';
import { measure } from './rounds.ts';
import { ROWS } from './rows.ts';
import { judge } from './targets.ts';

const USAGE = `npm run bench -- [options]
  --rows a,b       only these rows: ${ROWS.map(({ name }) => name).join(' | ')}
  --loads a,b      only these loads: ${LOADS.map(({ name }) => name).join(' | ')}
  --rounds N       interleaved rounds (5)
  --seconds N      measured seconds of each load, row and round (1.5)
  --json FILE      write medians, verdicts and all samples there
  --svg FILE       draw calls a second and CPU of small calls, by row
  --check          exit with 1 when a target is missed`;

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    loads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    json: { type: 'string' },
    svg: { type: 'string' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else await bench();

async function bench(): Promise<void> {
  const measured = await measure({
    rows: pick(ROWS, values.rows),
    loads: pick(LOADS, values.loads),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    warmUpSeconds: 0.5,
    onSample: ({ round, load, row, calls, seconds }) =>
      console.error(`round ${round + 1}  ${load}  ${row}: ${Math.round(calls / seconds)} calls/s`),
    onMissing: (row, why) => console.error(`without ${row}: ${why}`),
  });
  const results = new Results(measured);
  const verdicts = judge(results);
  console.log(report(results, verdicts));
  if (values.json !== undefined)
    await writeFile(
      values.json,
      JSON.stringify({ medians: summary(results), verdicts, ...measured }, null, 2),
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
