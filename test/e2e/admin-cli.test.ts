import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { verifies } from '../requirements.ts';
import { OUTRIGGER } from '../support/build.ts';
import { freePort } from '../support/ports.ts';
import { type Setting, type Story, startSetting } from '../support/story.ts';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

describe('the command line for admins', () => {
  let setting: Setting;
  let alice: Story;
  let session: string;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-admin-'));
    setting = await startSetting({
      store: 'embedded',
      replicas: 2,
      config: { admin: { claim: { name: 'roles', value: 'mesh-admin' } } },
    });
    alice = await setting.open();
    await alice.client.request('tools/list');
    const token = setting.token({ sub: 'root', claims: { roles: ['mesh-admin'] } });
    await writeFile(join(folder, 'token'), `${token}\n`);
    const { out } = await outrigger('sessions', 'list', '-o', 'json');
    session = (JSON.parse(out) as { sessions: { name: string }[] }).sessions[0]?.name.slice(9) ?? '';
  });

  after(async () => {
    await setting[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function environment(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      OUTRIGGER_ADMIN_ADDRESS: alice.other.grpc,
      OUTRIGGER_ADMIN_TOKEN_FILE: join(folder, 'token'),
    };
  }

  function run(args: readonly string[], { env = environment(), input = '' } = {}): Promise<Outcome> {
    return new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        [OUTRIGGER, ...args],
        { env, timeout: 20_000 },
        (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
      child.stdin?.end(input);
    });
  }

  function outrigger(...args: string[]): Promise<Outcome> {
    return run(args);
  }

  /** The output, with what differs from run to run left out. */
  async function pinned(...args: string[]): Promise<string> {
    const { code, out, err } = await outrigger(...args);
    expect({ code, err }, args.join(' ')).to.deep.equal({ code: 0, err: '' });
    const { owner, other } = alice;
    const columns = (text: string) => text.replace(/ {2,}/g, '  ').replace(/ +$/gm, '');
    return columns(
      out
        .replaceAll(session, 'SESSION')
        .replaceAll(setting.issuer.url, 'ISSUER')
        .replaceAll(new URL(setting.backend.url).origin, 'PLACE')
        .replaceAll(owner.grpc, 'OWNER')
        .replaceAll(other.grpc, 'OTHER')
        .replace(/\b[0-9a-f]{12}\b/g, 'DIGEST')
        .replace(/\b[\w-]{12}$/gm, 'VERSION')
        .replace(/\b\d+MiB\b/g, 'MEMORY')
        .replace(/\b[\d.]+m?s\b/g, 'AGE')
        .replace(/\bin \d+[mh]\b/g, 'in AGE'),
    );
  }

  it(verifies('ADM-1')('sessions: a line for each, and one explained'), async () => {
    const head = 'SESSION  PRINCIPAL  CLIENT  BACKENDS  REPLICA  RESTORES  AGE  USED\n';
    const row = `SESSION  alice  a raw client 1  rec  ${alice.owner.name}  0  AGE  AGE\n`;
    expect(await pinned('sessions')).to.equal(head + row);
    expect(await pinned('sessions', 'get', session)).to.equal(head + row);
    expect(await pinned('sessions', 'list', '--subject', 'bob')).to.equal('There are no sessions.\n');
    expect(await pinned('sessions', 'list', '--backend', 'rec', '--filter', 'age < 1h')).to.equal(head + row);
    expect(await pinned('sessions', 'explain', session)).to.equal(
      [
        'Session  SESSION (LIVE)',
        'Principal  alice, by ISSUER',
        'Client  a raw client 1',
        `Owner  replica ${alice.owner.name}, epoch 1, restored 0 times`,
        'Life  made AGE ago, used AGE ago; ends in AGE if idle, in AGE in any case',
        'Streams  0 read, 0 to be resumed; the client does not listen; calls: none',
        '',
        'BACKEND  STATE  SINCE  REASON  CREDENTIAL  LAST IDENTITY  AT',
        'rec  OPEN  header  accepted  AGE',
        '',
        'LIST  SIDECAR  STATE  VERSION',
        'tools/list  node-1  SYNCED  VERSION',
        '',
        'Nothing is wrong with it.',
        '',
      ].join('\n'),
    );
  });

  it(verifies('ADM-1')('a session is found by its id, which is no argument'), async () => {
    const { sessionId } = alice.client;
    const found = await run(['sessions', 'lookup', '-o', 'yaml'], { input: `${sessionId}\n` });
    expect(found.out).to.include(`name: sessions/${session}\n`);
    expect(found.out).to.not.include(sessionId);
  });

  it(verifies('ADM-1')('backends, sidecars, replicas'), async () => {
    const backends = await pinned('backends');
    expect(backends.split('\n')[0]).to.equal(
      'BACKEND  KIND  PLACE  CREDENTIAL  REPLICA  STATE  SINCE  LAST FAULT  OPEN  MISSING',
    );
    expect(backends).to.include(`rec  http  PLACE  header  ${alice.owner.name}  HEALTHY  AGE  1  0\n`);
    expect(backends).to.include(`rec  http  PLACE  header  ${alice.other.name}  UNKNOWN  AGE  0  0\n`);
    expect(await pinned('backends', 'get', 'rec')).to.equal(backends);
    expect(await pinned('backends', 'refresh', 'rec')).to.equal('Read anew in 1 live sessions.\n');
    const { other, owner } = alice;
    expect(await pinned('sidecars')).to.match(
      new RegExp(
        'SIDECAR  SERVER  STATE  LISTS  REPLICAS  EXCHANGES\n' +
          `node-1  default  (SYNCED|STALE)  1 (SYNCED|STALE)  ${other.name}, ${owner.name}  0\n`,
      ),
    );
    expect(await pinned('sidecars', 'get', 'node-1')).to.match(
      new RegExp(
        'SIDECAR  SERVER  STATE  LISTS  REPLICAS  EXCHANGES\n' +
          `node-1  default  (SYNCED|STALE)  1 (SYNCED|STALE)  ${other.name}, ${owner.name}  0\n\n` +
          'SESSION  LIST  STATE  VERSION\nSESSION  tools/list  (SYNCED  VERSION|STALE)\n',
      ),
    );
    expect(await pinned('replicas', 'get', 'a')).to.match(
      /^REPLICA {2}STATE {2}ADDRESS {2}SESSIONS {2}STREAMS {2}EXCHANGES {2}VERSION {2}CONFIG {2}UP {2}HEARD\na {2}SERVING {2}(OWNER|OTHER) {2}\d {2}\d {2}0 {2}0\.1\.0 {2}DIGEST {2}AGE {2}AGE\n$/,
    );
    expect(await pinned('replicas')).to.match(
      /^REPLICA {2}STATE {2}ADDRESS {2}SESSIONS {2}STREAMS {2}EXCHANGES {2}VERSION {2}CONFIG {2}UP {2}HEARD\na {2}SERVING {2}(OWNER|OTHER) {2}\d {2}\d {2}0 {2}0\.1\.0 {2}DIGEST {2}AGE {2}AGE\nb {2}SERVING/,
    );
    expect(await pinned('stats')).to.match(
      /^REPLICA {2}UP {2}SESSIONS {2}BUSY {2}SIDECARS {2}EXCHANGES {2}RESIDENT {2}HEAP {2}CPU {2}LOOP P99\n[ab] {2}AGE {2}\d {2}0 {2}1 {2}0 {2}MEMORY {2}MEMORY {2}AGE {2}AGE\n/,
    );
  });

  it(verifies('ADM-1')('top: what happens meanwhile, once where nobody watches'), async () => {
    const { owner, other } = alice;
    const calls = setInterval(() => void alice.client.call('echo', { text: 'x' }).catch(() => {}), 20);
    try {
      const { code, out, err } = await outrigger('top', '--interval', '500ms');
      expect({ code, err }).to.deep.equal({ code: 0, err: '' });
      const number = (text: string) =>
        text.replace(/ {2,}/g, '  ').replace(/\b[\d.]+(ms|s|%|MiB)?(?= |,|$)/gm, 'N$1');
      expect(number(out)).to.match(
        new RegExp(
          '^N sessions, N calls/s, p50 Nms, p99 N(ms|s), N failed/s, restored N\n\n' +
            'REPLICA  SESSIONS  BUSY  SIDECARS  OPEN  CALLS/S  FAILED/S  P50  P99  RESTORED  CPU  MEMORY  LOOP\n' +
            '[ab]  N  N  N  N  N  N  (Nms|-)  (Nms|Ns|-)  N  N%  NMiB  Nm?s\n' +
            '[ab]  N  N  N  N  N  N  (Nms|-)  (Nms|Ns|-)  N  N%  NMiB  Nm?s\n\n' +
            'BACKEND  CALLS/S  FAILED/S  P50  P99\n' +
            'rec  N  N  Nms  N(ms|s)\n$',
        ),
      );
      const { out: json } = await outrigger('top', '--once', '--interval', '300ms', '-o', 'json');
      const { replicas, backends } = JSON.parse(json) as {
        replicas: { replica: string; callsPerSecond: number }[];
        backends: { backend: string; callsPerSecond: number }[];
      };
      const of = (name: string) => replicas.find(({ replica }) => replica === name)?.callsPerSecond;
      expect(of(owner.name)).to.be.greaterThan(0);
      expect(of(other.name)).to.equal(0);
      expect(backends[0]?.callsPerSecond).to.equal(of(owner.name));
    } finally {
      clearInterval(calls);
    }
    expect((await outrigger('top', '--interval', 'soon')).code).to.equal(64);
  });

  for (const [name, key] of [
    ['q', 'q'],
    ['Ctrl-C', '\u0003'],
  ] as const) {
    it(verifies('ADM-1')(`top has the terminal for itself, and ${name} gives it back`), async () => {
      // util-linux has a terminal for others' programs; elsewhere it is another command.
      if (process.platform !== 'linux') return;
      const command = `'${process.execPath}' '${OUTRIGGER}' top --interval 200ms`;
      const child = spawn('script', ['-qefc', command, '/dev/null'], {
        env: { ...environment(), TERM: 'xterm', COLUMNS: '100' },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit') as Promise<[number | null]>;
      let text = '';
      child.stdout.on('data', (piece) => {
        const pressed = text.includes('CALLS/S');
        text += String(piece);
        if (!pressed && text.includes('CALLS/S')) child.stdin.write(key);
      });
      const [code] = await ended;
      expect(code).to.equal(0);
      const [enter, leave] = ['\u001b[?1049h\u001b[?25l\u001b[H', '\u001b[?25h\u001b[?1049l'];
      expect(text.startsWith(enter), JSON.stringify(text.slice(0, 80))).to.equal(true);
      expect(text.slice(text.indexOf(leave) + leave.length).replaceAll('^C', '')).to.equal('');
      expect(text).to.include('q ends it.');
    });
  }

  it(verifies('ADM-1')('what a session sees'), async () => {
    const seen = await pinned('capabilities', session);
    expect(seen).to.include(
      'Seen by  alice\n\nKIND  NAME  BACKEND  VISIBILITY  NEEDS\ntools  echo  rec  SHOWN\n',
    );
  });

  it(verifies('ADM-1')('the configuration: in force, on disk, taken on'), async () => {
    expect(await pinned('config', 'get')).to.match(
      /^Replica {2}[ab]\nFile {2}.+\nDigest {2}DIGEST\nIn force {2}for AGE\nIssuers {2}ISSUER\nAnonymous {2}refused\nServer default rec \(naming: priority\)\n$/,
    );
    expect(await pinned('config', 'check')).to.equal('The configuration file is right, and is in force.\n');
    expect(await pinned('config', 'reload')).to.include(
      'REPLICA  OUTCOME  CONFIG  NEEDS RESTART  PROBLEMS\n',
    );
  });

  it(
    verifies('ADM-1')('every answer is there for programs, in JSON and in YAML, and says the same'),
    async () => {
      const questions: readonly (readonly string[])[] = [
        ['sessions'],
        ['sessions', 'get', session],
        ['sessions', 'explain', session],
        ['backends'],
        ['backends', 'get', 'rec'],
        ['sidecars'],
        ['replicas'],
        ['capabilities', session],
        ['config', 'get'],
        ['config', 'check'],
      ];
      for (const question of questions) {
        const json: unknown = JSON.parse((await outrigger(...question, '-o', 'json')).out);
        const yaml: unknown = parse((await outrigger(...question, '-o', 'yaml')).out);
        const shape = (value: unknown) =>
          JSON.stringify(value)
            .replace(/"\d{4}-[^"]+"/g, 'TIME')
            .replace(/:\d+/g, ':N')
            .replace(/"(STALE|NOT_SENT|SYNCED)"/g, 'STATE')
            .replace(/"version":"[^"]*"/g, 'VERSION');
        expect(shape(yaml), question.join(' ')).to.equal(shape(json));
      }
    },
  );

  it(verifies('ADM-1')('no line is wider than the terminal, and no name of a session is cut'), async () => {
    for (const columns of [120, 80, 60, 45])
      for (const question of [
        ['sessions'],
        ['sessions', 'explain', session],
        ['backends'],
        ['replicas'],
        ['stats'],
      ]) {
        const { out } = await run(question, { env: { ...environment(), COLUMNS: String(columns) } });
        for (const line of out.split('\n')) expect(line.length, line).to.be.at.most(columns);
        if (question[0] === 'sessions') expect(out).to.include(session);
      }
  });

  it(verifies('ADM-1')('a replica is drained and comes back'), async () => {
    const { other } = alice;
    expect(await pinned('replicas', 'drain', other.name)).to.include(`${other.name}  DRAINED`);
    expect((await fetch(`${other.ops}/readyz`)).status).to.equal(503);
    expect((await alice.client.request('ping')).status).to.equal(200);
    expect(await pinned('replicas', 'undrain', other.name)).to.include(`${other.name}  SERVING`);
    await setting.whole();
  });

  it(verifies('ADM-1')('a watch prints a line for each event, and ends when it is told to'), async () => {
    const child: ChildProcess = spawn(process.execPath, [OUTRIGGER, 'sessions', 'watch'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const piece of child.stdout ?? []) {
      text += String(piece);
      if (text.includes('SYNCED')) break;
    }
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).to.equal(0);
    expect(text).to.equal(`ADDED     ${session}  alice  ${alice.owner.name}\nSYNCED\n`);
  });

  it(verifies('ADM-1')('a watch of backends has each with how it fares at each replica'), async () => {
    const child = spawn(process.execPath, [OUTRIGGER, 'backends', 'watch', '-o', 'table'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const piece of child.stdout) {
      text += String(piece);
      if (text.includes('SYNCED')) break;
    }
    child.kill('SIGTERM');
    await once(child, 'exit');
    expect(text).to.match(/^ADDED {5}rec {2}[ab]: (HEALTHY|UNKNOWN), [ab]: (HEALTHY|UNKNOWN)\nSYNCED\n$/);
  });

  it(verifies('ADM-1')('what is nearly a command is told, and every command has its help'), async () => {
    for (const [words, meant] of [
      [['sesions'], 'sessions'],
      [['sessions', 'explan', session], 'explain'],
      [['replicas', '--adress', 'x:1'], '--address'],
    ] as const) {
      const { code, out, err } = await run(words);
      expect({ code, out }, words.join(' ')).to.deep.equal({ code: 64, out: '' });
      expect(err).to.include(`(Did you mean ${meant}?)`);
    }
    for (const words of [
      ['sessions', 'explain'],
      ['backends'],
      ['replicas', 'drain'],
      ['top'],
      ['doctor'],
      ['stats'],
    ]) {
      const { code, out } = await run([...words, '--help']);
      expect(code).to.equal(0);
      expect(out).to.match(new RegExp(`^Usage: outrigger ${words.join(' ')} `));
      if (words[0] !== 'backends') expect(out).to.include('Exit codes: 0');
    }
  });

  it(
    verifies('ADM-1', 'ADM-2')('what goes wrong says what to do, with an exit code of its own'),
    async () => {
      const caller = setting.token();
      const port = await freePort();
      const cases: readonly (readonly [readonly string[], number, string])[] = [
        [['sessions', 'get', 'x'], 64, 'expected sessions/ and 26 letters'],
        [['sessions', 'get', 'a'.repeat(26)], 66, 'There is no session'],
        [['sessions', 'list', '--filter', 'owner = a'], 64, 'there is no field "owner"'],
        [['sessions', 'terminate'], 64, 'expected the names of sessions'],
        [['backends', 'get', 'none'], 66, 'There is no backend'],
        [['replicas', '--address', `127.0.0.1:${port}`], 69, 'Is a replica running there?'],
        [['replicas', '--address', '192.0.2.1:4290'], 1, 'under TLS only'],
        [['replicas', '--token-file', '/nowhere'], 64, 'cannot be read (ENOENT)'],
        [['replicas', '-o', 'xml'], 64, 'Allowed choices are table, json, yaml'],
      ];
      for (const [args, code, words] of cases) {
        const told = await run(args);
        expect({ code: told.code, out: told.out }, args.join(' ')).to.deep.equal({ code, out: '' });
        expect(told.err).to.include(words);
      }
      const { OUTRIGGER_ADMIN_TOKEN_FILE: _, ...without } = environment();
      const nobody = await run(['replicas'], { env: without });
      expect(nobody.code).to.equal(77);
      expect(nobody.err).to.include('--token-file');
      const env = { ...without, OUTRIGGER_ADMIN_TOKEN: caller };
      const refused = await run(['replicas'], { env });
      expect(refused.code).to.equal(77);
      expect(refused.err).to.include('This token has no admin role.').and.not.include(caller);
    },
  );

  it(verifies('ADM-1')('sessions end by name, and all of a principal'), async () => {
    const bob = await setting.open({ token: setting.token({ sub: 'bob' }) });
    const ended = await outrigger(
      'sessions',
      'terminate',
      '--subject',
      'bob',
      '--issuer',
      setting.issuer.url,
    );
    expect(ended).to.deep.equal({ code: 0, out: 'Ended: 1.\n', err: '' });
    expect(await pinned('sessions', 'terminate', session)).to.equal('Ended: 1.\n');
    expect((await alice.client.request('ping')).status).to.equal(404);
    expect(bob.client.sessionId).to.not.equal('');
  });
});
