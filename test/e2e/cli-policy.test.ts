import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { startIssuer } from '../support/issuer.ts';

const CONFIG = {
  identity: { issuers: [{ issuer: 'https://as.example', audiences: ['mesh'] }] },
  mcpServers: {
    files: {
      command: 'true',
      requiredScopes: ['files'],
      tools: { write: { requiredScopes: ['files:write'] } },
    },
  },
  admission: {
    policies: [
      { file: 'mesh.cedar' },
      { text: '@id("staff") permit(principal in Outrigger::Group::"staff", action, resource);' },
    ],
  },
};
const POLICIES = `
  @id("not-etc") forbid(principal, action == Outrigger::Action::"call", resource)
    when { context.arguments has path && context.arguments.path like "/etc*" };
`;
const STAFF = JSON.stringify({ sub: 'alice', scope: 'files', groups: ['staff'] });

describe('outrigger policy check', function () {
  this.timeout(30_000);
  let folder: string;
  before(async () => {
    await ensureBuilt();
    folder = await mkdtemp(join(tmpdir(), 'outrigger-check-'));
    await writeFile(join(folder, 'outrigger.yaml'), JSON.stringify(CONFIG));
    await writeFile(join(folder, 'mesh.cedar'), POLICIES);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    return new Promise((resolve) => {
      execFile(process.execPath, [OUTRIGGER, ...args], { cwd: folder, timeout: 20_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  }

  function check(...args: string[]) {
    return run('policy', 'check', '--backend', 'files', ...args);
  }

  it('tells which policies allow something', async () => {
    expect(await check('--name', 'read', '--claims', STAFF)).to.deep.equal({
      code: 0,
      out: 'allow\n  list: allow, by staff\n  call: allow, by staff\n',
      err: '',
    });
  });

  it('tells which policy forbids it, for arguments as well', async () => {
    const { code, out } = await check(
      '--name',
      'read',
      '--claims',
      STAFF,
      '--arguments',
      '{"path":"/etc/passwd"}',
    );
    expect([code, out]).to.deep.equal([1, 'deny\n  list: allow, by staff\n  call: deny, by not-etc\n']);
    const listed = await check('--name', 'read', '--claims', STAFF, '--action', 'list');
    expect([listed.code, listed.out]).to.deep.equal([
      0,
      'allow\n  list: allow, by staff\n  call: depends on the arguments\n',
    ]);
  });

  it('tells what nothing permits, and which scopes an operation needs', async () => {
    const nobody = await check('--name', 'read', '--anonymous');
    expect(nobody).to.deep.include({ code: 1 });
    expect(nobody.out).to.match(/^deny\n {2}list: deny, no policy permits it\n/);
    const { code, out } = await check('--name', 'write', '--claims', STAFF);
    expect(code).to.equal(1);
    expect(out).to.contain('scopes: needs files files:write');
  });

  it('reads a token without believing it, and answers programs in JSON', async () => {
    await using issuer = await startIssuer();
    const token = issuer.token({ scope: 'files', claims: { iss: undefined, groups: ['staff'] } });
    await writeFile(join(folder, 'token'), token);
    const { code, out } = await check('--name', 'read', '--token-file', 'token', '-o', 'json');
    expect(code).to.equal(0);
    expect(JSON.parse(out)).to.deep.include({ decision: 'allow', needs: [] });
    expect(out).not.to.contain(token.split('.')[2]);
  });

  const WRONG: readonly [what: string, message: RegExp, args: readonly string[]][] = [
    ['nobody in particular', /--claims, --token-file or --anonymous/, []],
    ['two callers at once', /--claims, --token-file or --anonymous/, ['--claims', STAFF, '--anonymous']],
    ['claims that are none', /--claims: expected a JSON object/, ['--claims', 'alice']],
    ['nobody\u2019s claims', /no complete identity/, ['--claims', '{"scope":"files"}']],
    ['another issuer\u2019s', /iss is none/, ['--claims', '{"sub":"a","iss":"https://other.example"}']],
    [
      'arguments that are none',
      /--arguments: expected a JSON object/,
      ['--claims', STAFF, '--arguments', '[1]'],
    ],
  ];
  for (const [what, message, args] of WRONG) {
    it(`does not answer for ${what}`, async () => {
      const { code, out, err } = await check('--name', 'read', ...args);
      expect([code, out]).to.deep.equal([64, '']);
      expect(err).to.match(message);
    });
  }

  it(verifies('C12')('policies that are none are refused before anything runs on them'), async () => {
    await writeFile(
      join(folder, 'wrong.yaml'),
      JSON.stringify({ ...CONFIG, admission: { policies: [{ text: 'permit(' }] } }),
    );
    const { code, err } = await run('config', 'validate', 'wrong.yaml');
    expect(code).to.equal(64);
    expect(err).to.match(/^admission: admission\.policies\.0: unexpected end of input/);
    expect((await run('config', 'validate', 'outrigger.yaml')).code).to.equal(0);
  });
});
