import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { MeshError } from '../../shared/errors.ts';
import { createLogger, type LogFields, type Logger } from '../../shared/log.ts';
import { conceal, redact } from '../../shared/redact.ts';
import { verifies } from '../requirements.ts';

/** A token as an issuer makes it: three parts of base64url. */
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const TOKEN_PARTS = [
  encode({ alg: 'ES256', kid: 'canary' }),
  encode({ iss: 'https://issuer.example', sub: 'canary' }),
  randomBytes(64).toString('base64url'),
];
const TOKEN = TOKEN_PARTS.join('.');
/** 16 bytes that name a session and 32 that unlock it. */
const SESSION_BYTES = randomBytes(48);
const SESSION_ID = SESSION_BYTES.toString('base64url');

/** Every form in which a canary could get out. */
const FORMS: readonly string[] = [
  TOKEN,
  ...TOKEN_PARTS,
  Buffer.from(TOKEN).toString('base64'),
  Buffer.from(TOKEN).toString('base64url'),
  encodeURIComponent(TOKEN),
  SESSION_ID,
  SESSION_BYTES.toString('base64'),
  SESSION_BYTES.toString('hex'),
  Buffer.from(SESSION_ID).toString('base64'),
  encodeURIComponent(SESSION_BYTES.toString('base64')),
];

describe('logs', () => {
  const lines: string[] = [];
  const log = (format: 'json' | 'text' = 'json'): Logger =>
    createLogger({ level: 'debug', format, destination: { write: (line: string) => void lines.push(line) } });

  beforeEach(() => {
    lines.length = 0;
  });

  function expectNoCanary(): void {
    const written = lines.join('');
    expect(written).not.to.equal('');
    for (const form of FORMS) expect(written, form).not.to.contain(form);
  }

  it('are one JSON object a line, with the level, the time and the fields', () => {
    log().child({ replica: 'a' }).info('restored', { backend: 'files', durationMs: 12 });
    expect(JSON.parse(lines[0] ?? '')).to.deep.include({
      level: 'info',
      msg: 'restored',
      replica: 'a',
      backend: 'files',
      durationMs: 12,
    });
    expect(JSON.parse(lines[0] ?? ''))
      .to.have.property('time')
      .that.matches(/^\d{4}-\d\d-\d\dT/);
  });

  it('are one readable line as text, whatever is in it', () => {
    log('text').warn('two\nlines\u001b[31m', { detail: 'x y', count: 2, error: new Error('broken\n') });
    expect(lines[0]).to.match(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}two lines \[31m: broken {1,2}detail="x y" count=2\n$/,
    );
  });

  for (const format of ['json', 'text'] as const) {
    it(verifies('OBS-1', 'I17')(`print no token and no session id, wherever it is (${format})`), () => {
      for (const form of FORMS) {
        const cause = new TypeError(`header was: ${form}`);
        const error = new MeshError('internal', `could not send ${form} on`, { cause, backend: form });
        log(format).error(`got ${form}, sent Bearer ${form}`, {
          detail: form,
          url: `http://x/?token=${form}`,
          error,
        });
        log(format).child({ session: form }).debug('x', { error: form });
        log(format).info('x', { error: new AggregateError([error], form) });
      }
      expectNoCanary();
    });
  }

  it(verifies('OBS-1')('write only known fields, and of an error only what is known to be harmless'), () => {
    const fields = { backend: 'files', token: 'canary-one', headers: { authorization: 'canary-two' } };
    const error = Object.assign(new Error('refused'), {
      code: 'ECONNREFUSED',
      request: { headers: { authorization: 'canary-three' } },
      body: 'canary-four',
    });
    log().info('x', { ...fields, error } as LogFields);
    expect(lines[0]).not.to.contain('canary');
    expect(JSON.parse(lines[0] ?? '')).to.include({ backend: 'files', masked: 2 });
    expect(JSON.parse(lines[0] ?? '')).to.have.nested.property('error.code', 'ECONNREFUSED');
  });

  it('keep what is worth reading', () => {
    const harmless = [
      'http://127.0.0.1:4280/mcp',
      'session k3jv5x2mqa7d4tbe6wnc2yfzlh restored in 12 ms',
      '/home/someone/projects/outrigger/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js:12:3',
      'mcpServers.files: the command ended with 1',
      '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    ];
    for (const text of harmless) expect(redact(text)).to.equal(text);
  });

  const SECRETS: readonly (readonly [text: string, shown: string])[] = [
    ['redis://user:hunter22@cache:6379/0', 'redis://[masked]@cache:6379/0'],
    ['Authorization: Basic dXNlcjpwYXNz', 'Authorization: [masked]'],
    ['sent Bearer opaque.token, then failed', 'sent Bearer [masked], then failed'],
    ['{"access_token":"opaque","expires_in":1}', '{"access_token":[masked],"expires_in":1}'],
    ['POST grant_type=x&client_secret=hunter22&scope=a', 'POST grant_type=x&client_secret=[masked]&scope=a'],
    ['GET /mcp?code=abc&state=1', 'GET /mcp?code=[masked]&state=1'],
    ['Mcp-Session-Id: short-one', 'Mcp-Session-Id: [masked]'],
  ];
  for (const [text, shown] of SECRETS) {
    it(`mask by name and place: ${shown}`, () => {
      expect(redact(text)).to.equal(shown);
    });
  }

  it('mask secrets of the configuration in every form', () => {
    const secret = 'horse battery/staple';
    conceal(secret);
    const forms = [
      secret,
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('base64url'),
      encodeURIComponent(secret),
    ];
    for (const form of forms) expect(redact(`sent ${form}!`)).to.match(/^sent \[masked\]=?!$/);
  });

  it('are cut where they are endless, without half a secret at the cut', () => {
    const shown = redact(`${'a b '.repeat(100_000)}${TOKEN}`);
    expect(shown.length).to.be.below(10_000);
    const atTheCut = redact(`${'.'.repeat(65_536 - 20)}${SESSION_ID}`);
    expect(atTheCut).not.to.contain(SESSION_ID.slice(0, 12));
  });
});
