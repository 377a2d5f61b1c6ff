import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { GRANTS } from './grants.ts';
import { type LoginJudge, startLoginJudge } from './login-judge.ts';
import { OTHER_LOGINS } from './other-logins.ts';
import { clientScenarios, failing, shortfalls } from './run-conformance.ts';

/** What a login that went well leaves. */
const LOGGED_IN = [
  'token-request',
  'pkce-verifier-matches-challenge',
  'resource-parameter-matches-prm',
  'valid-bearer-token',
];

/** By scenario, the checks without which it would have judged nothing. */
const SCENARIOS: Readonly<Record<string, readonly string[]>> = {
  'auth/metadata-default': LOGGED_IN,
  'auth/metadata-var1': LOGGED_IN,
  'auth/metadata-var2': LOGGED_IN,
  'auth/metadata-var3': LOGGED_IN,
  'auth/basic-cimd': ['cimd-client-id-used', 'valid-bearer-token'],
  'auth/pre-registration': ['pre-registration-auth', 'valid-bearer-token'],
  'auth/token-endpoint-auth-basic': ['token-endpoint-auth-method', 'resource-parameter-matches-prm'],
  'auth/token-endpoint-auth-post': ['token-endpoint-auth-method', 'resource-parameter-matches-prm'],
  'auth/token-endpoint-auth-none': ['token-endpoint-auth-method', 'resource-parameter-matches-prm'],
  'auth/scope-from-www-authenticate': ['scope-from-www-authenticate', 'valid-bearer-token'],
  'auth/scope-from-scopes-supported': ['scope-from-scopes-supported', 'valid-bearer-token'],
  'auth/scope-omitted-when-undefined': ['scope-omitted-when-undefined', 'valid-bearer-token'],
  'auth/scope-step-up': ['scope-step-up-initial', 'scope-step-up-escalation'],
  'auth/scope-retry-limit': ['scope-retry-limit'],
  // Of a later revision, which says what ours leaves open.
  'auth/resource-mismatch': ['resource-mismatch-rejected'],
  'auth/offline-access-scope': ['sep-2207-offline-access-requested', 'sep-2207-client-metadata-grant-types'],
  'auth/offline-access-not-supported': ['sep-2207-offline-access-not-requested', 'valid-bearer-token'],
  'auth/authorization-server-migration': [
    'sep-2352-reregister-on-as-change',
    'sep-2352-no-cross-as-credential-reuse',
  ],
  'auth/iss-supported': ['sep-2468-client-compare-iss-supported', 'valid-bearer-token'],
  'auth/iss-not-advertised': ['sep-2468-client-proceed-no-iss', 'valid-bearer-token'],
  'auth/iss-supported-missing': ['sep-2468-client-reject-missing-iss'],
  'auth/iss-wrong-issuer': ['sep-2468-client-compare-iss-supported'],
  'auth/iss-unexpected': ['sep-2468-client-compare-iss-unadvertised'],
  'auth/iss-normalized': ['sep-2468-client-no-normalization'],
  'auth/metadata-issuer-mismatch': ['sep-2468-client-validate-metadata-issuer'],
};

describe('the conformance suite judges how callers log in at a backend that says itself where', function () {
  this.timeout(90_000);

  let judge: LoginJudge;

  before(async () => {
    judge = await startLoginJudge();
  });

  after(() => judge?.[Symbol.asyncDispose]());

  it('every scenario about authorization is among these, or is judged elsewhere', async () => {
    const judged = [SCENARIOS, OTHER_LOGINS, GRANTS].flatMap((each) => Object.keys(each));
    const theirs = (await clientScenarios()).filter((name) => name.startsWith('auth/'));
    expect(judged.sort()).to.deep.equal([...theirs].sort());
  });

  for (const [scenario, decisive] of Object.entries(SCENARIOS)) {
    it(verifies('AGG-16', 'BACK-5')(scenario), async () => {
      const checks = await judge.judge(scenario);
      expect(shortfalls(new Map([[scenario, checks]]))).to.deep.equal([]);
      const passed = checks.filter(({ status }) => status === 'SUCCESS').map(({ id }) => id);
      expect(passed).to.include.members([...decisive]);
    });
  }

  for (const [scenario, reason] of Object.entries(OTHER_LOGINS)) {
    it(`${scenario} is failed: ${reason}`, async () => {
      const checks = await judge.judge(scenario);
      expect(failing(new Map([[scenario, checks]]))).to.deep.equal([scenario]);
    });
  }
});
