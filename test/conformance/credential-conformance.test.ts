import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { runClientConformance, shortfalls } from './run-conformance.ts';

/** By scenario, the check without which it would have judged nothing. */
const SCENARIOS: Readonly<Record<string, string>> = {
  'auth/client-credentials-basic': 'client-credentials-basic-auth',
  'auth/client-credentials-jwt': 'client-credentials-jwt-verified',
  'auth/enterprise-managed-authorization': 'complete-flow-jwt-bearer',
};

const TSX = fileURLToPath(import.meta.resolve('tsx'));
const CLIENT = fileURLToPath(import.meta.resolve('./credential-client.ts'));

describe('the conformance suite judges the control plane as an OAuth client', function () {
  this.timeout(120_000);

  for (const [scenario, decisive] of Object.entries(SCENARIOS)) {
    it(scenario, async () => {
      const command = `${process.execPath} --import ${TSX} ${CLIENT}`;
      const checks = await runClientConformance({ command, scenario, timeoutMs: 60_000 });
      expect(shortfalls(new Map([[scenario, checks]]))).to.deep.equal([]);
      const passed = checks.filter(({ status }) => status === 'SUCCESS').map(({ id }) => id);
      expect(passed).to.include.members([decisive, 'valid-bearer-token']);
    });
  }
});
