import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { GRANTS } from './grants.ts';
import { runClientConformance, shortfalls } from './run-conformance.ts';

const TSX = fileURLToPath(import.meta.resolve('tsx'));
const CLIENT = fileURLToPath(import.meta.resolve('./credential-client.ts'));

describe('the conformance suite judges the control plane as an OAuth client', function () {
  this.timeout(120_000);

  for (const [scenario, decisive] of Object.entries(GRANTS)) {
    it(scenario, async () => {
      const command = `${process.execPath} --import ${TSX} ${CLIENT}`;
      const checks = await runClientConformance({ command, scenario, timeoutMs: 60_000 });
      expect(shortfalls(new Map([[scenario, checks]]))).to.deep.equal([]);
      const passed = checks.filter(({ status }) => status === 'SUCCESS').map(({ id }) => id);
      expect(passed).to.include.members([decisive, 'valid-bearer-token']);
    });
  }
});
