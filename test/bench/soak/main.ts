import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const USAGE = `npm run soak -- [options]
  --minutes N      how long (30)
  --sessions N     MCP sessions that are called in turn (1000)
  --rate N         requests a second (200)
  --kill-every N   seconds between deaths of a replica (120)
  --json FILE      write what was held each minute, the counts and the verdicts there
Exits with 1 when a session was lost, an answer was wrong, or memory or handles grew.`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    sessions: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '200' },
    'kill-every': { type: 'string', default: '120' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else {
  const report = await soak({
    minutes: Number(values.minutes),
    sessions: Number(values.sessions),
    rate: Number(values.rate),
    killEverySeconds: Number(values['kill-every']),
    say: (line) => console.log(line),
  });
  for (const { what, figure, bound, holds } of report.verdicts)
    console.log(`${holds ? 'held  ' : 'broken'}  ${what}: ${Number(figure.toFixed(3))} (${bound})`);
  for (const complaint of report.complaints) console.log(complaint);
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(report, null, 2));
  if (report.verdicts.some(({ holds }) => !holds)) process.exitCode = 1;
}
