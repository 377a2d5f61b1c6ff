import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { END, HEAD, PART, readFrames, Turn } from './bare-frames.ts';
import { chart } from './chart.ts';
import { CALLS_1, CALLS_64, LARGE_64, LISTS_64, LOADS, type Load } from './loads.ts';
import { cpuUs, rssBytes } from './process-use.ts';
import { report, reportVerdicts } from './report.ts';
import { type HttpAnswer, headerOf, ResponseReader } from './response-reader.ts';
import { Results } from './results.ts';
import { takes } from './row.ts';
import {
  BAD_NEIGHBOUR,
  GOOD_NEIGHBOUR,
  MCP_HUB,
  MCP_PROXY,
  OUTRIGGER,
  OUTRIGGER_REDIS,
  OUTRIGGER_SECURED,
  TWO_BARE_HOPS,
} from './row-names.ts';
import { runLoad } from './run-load.ts';
import type { Measured, Sample } from './sample.ts';
import { median, percentile } from './statistics.ts';
import { table } from './table.ts';
import { TARGETS } from './targets.ts';
import { judge, type Verdict } from './verdicts.ts';

const ROUNDS = 5;

describe('the bench', () => {
  describe('its figures', () => {
    it('are medians and interpolated percentiles', () => {
      expect(median([3, 1, 2])).to.equal(2);
      expect(median([4, 1, 2, 3])).to.equal(2.5);
      expect(percentile([10, 20, 30, 40, 50], 0.99)).to.be.closeTo(49.6, 1e-9);
      expect(median([])).to.satisfy(Number.isNaN);
    });

    it('compare rows round by round, so that a machine that slows down moves no ratio', () => {
      const drifting = new Results(measured({ slowdownOfRound: (round) => 1 + round }));
      const of = { row: 'outrigger', to: 'bare proxy', load: '500 B x64' } as const;
      expect(drifting.ratio({ ...of, metric: 'callsPerSecond' })).to.be.closeTo(0.7, 1e-9);
      expect(drifting.ratio({ ...of, metric: 'cpuUsPerCall' })).to.be.closeTo(1.5, 1e-9);
      const added = { ...of, base: 'direct', load: CALLS_1, metric: 'p50Us' } as const;
      expect(drifting.ratioAdded(added)).to.be.closeTo(2, 1e-9);
    });

    it('compare rows round by round, where medians of each row by itself would lie', () => {
      // Slow for two rounds, and the mesh was disturbed in two others: its middle round is one of the slow ones.
      const results = new Results(
        measured({
          slowdownOfRound: (round) => (round < 2 ? 2 : 1),
          slowdownOfMesh: (round) => (round > 2 ? 10 : 1),
        }),
      );
      const of = { load: CALLS_64, metric: 'callsPerSecond' } as const;
      const alone = results.median({ ...of, row: OUTRIGGER }) / results.median({ ...of, row: 'bare proxy' });
      expect(alone).to.be.closeTo(0.35, 1e-9);
      expect(results.ratio({ ...of, row: OUTRIGGER, to: 'bare proxy' })).to.be.closeTo(0.7, 1e-9);
    });
  });

  describe('its verdicts', () => {
    it('are all met by a mesh that keeps its promises', () => {
      expect(outcomes(measured({}))).to.deep.equal(TARGETS.map(() => 'met'));
    });

    it('show a slow path planted in the mesh, in speed, in CPU and in latency', () => {
      const slow = verdicts(measured({ slowdownOfMesh: () => 3 }));
      const missed = slow.filter(({ outcome }) => outcome === 'missed');
      expect(missed.map(({ target }) => target)).to.have.members([
        'calls per second, 64 at once, against the bare proxy',
        'calls per second, 64 at once, against mcp-proxy',
        'calls per second, 64 at once, against mcp-hub',
        'calls per second with 64 KiB answers, 64 at once, against the bare proxy',
        'CPU of sidecar and replica, 64 at once, µs a call',
        'CPU of sidecar and replica, 64 at once, against the bare proxy',
        'p50 added to a direct call, one at a time, against what the bare proxy adds',
        'lists of 200 tools per second, 64 at once, against small calls through the bare proxy',
      ]);
    });

    it('show a slow path planted in identity and policy, however fast the rest is', () => {
      const slow = verdicts(measured({ addedByIdentity: 35 }));
      expect(slow.filter(({ outcome }) => outcome === 'missed').map(({ target }) => target)).to.deep.equal([
        'CPU that a JWT, policies and an exchanged token add, 64 at once, µs a call',
      ]);
    });

    it('stand beside what two bare hops reach, whatever became of the mesh', () => {
      for (const slowdown of [1, 3]) {
        const [calls] = verdicts(measured({ slowdownOfMesh: () => slowdown }));
        expect(calls?.floor?.of).to.equal(TWO_BARE_HOPS);
        expect(calls?.floor?.figure).to.be.closeTo(0.85, 1e-9);
      }
    });

    it('show a backend whose trouble is felt beside it', () => {
      expect(outcomes(measured({ slowdownBesideBad: 1.6 })).filter((each) => each !== 'met')).to.deep.equal([
        'missed',
      ]);
    });

    it('are not swayed by two bad rounds of five', () => {
      const unlucky = measured({ slowdownOfMesh: (round) => (round < 2 ? 10 : 1) });
      expect(outcomes(unlucky)).to.not.include('missed');
    });

    it('say that nothing was measured where a row did not run', () => {
      const others = measured({}).samples.filter(({ row }) => row === 'direct');
      expect(new Set(outcomes({ samples: others }))).to.deep.equal(new Set(['unmeasured']));
    });
  });

  describe('its report', () => {
    it('has a line for what was measured and none for what was not', () => {
      const results = new Results(measured({}));
      const lines = report(results).split('\n');
      const of = (row: string) => lines.filter((line) => line.split('|')[2]?.trim() === row);
      expect(of(BAD_NEIGHBOUR)).to.have.lengthOf(1);
      expect(of(OUTRIGGER)).to.have.lengthOf(LOADS.filter((each) => each.beside !== true).length);
    });

    it('is Markdown whose columns stand under each other', () => {
      const rows = [
        ['row', 'calls/s'],
        ['bare proxy', '12'],
      ];
      expect(table(rows, { texts: 1 }).split('\n')).to.deep.equal([
        '| row        | calls/s |',
        '|------------|--------:|',
        '| bare proxy |      12 |',
      ]);
    });

    it('says of every target what was measured, what must be, and what the floor is', () => {
      const lines = reportVerdicts(verdicts(measured({}))).split('\n');
      expect(lines).to.have.lengthOf(TARGETS.length + 2);
      expect(lines[2]?.split('|').map((cell) => cell.trim())).to.deep.equal([
        '',
        'met',
        'calls per second, 64 at once, against the bare proxy',
        '0.70',
        '>= 0.6, goal 0.9',
        'two bare hops: 0.85',
        '',
      ]);
    });

    it('draws every row that ran, by its name', () => {
      const svg = chart(new Results(measured({})));
      for (const row of [OUTRIGGER, MCP_PROXY, MCP_HUB]) expect(svg).to.include(`>${row}</text>`);
      expect(svg).to.not.include(BAD_NEIGHBOUR);
      expect(svg).to.not.include('NaN');
    });
  });

  it('measures a row with the loads that it names, and those beside a neighbour with no others', () => {
    const names = (row: Parameters<typeof takes>[0]) =>
      LOADS.filter((each) => takes(row, each)).map((each) => each.name);
    expect(names({ loads: [CALLS_64, LARGE_64] })).to.deep.equal([CALLS_64, LARGE_64]);
    expect(names({}))
      .to.include(LISTS_64)
      .and.to.have.lengthOf(LOADS.length - 1);
  });

  describe('its client', () => {
    it('reads responses whatever the pieces they come in', () => {
      const wire = Buffer.from(
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nMcp-Session-Id: AbC\r\n\r\nhello' +
          'HTTP/1.1 202 Accepted\r\n\r\n' +
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n',
      );
      for (let size = 1; size <= wire.length; size += 1) {
        const answers: HttpAnswer[] = [];
        const reader = new ResponseReader((answer) => answers.push(answer));
        for (let at = 0; at < wire.length; at += size) reader.push(wire.subarray(at, at + size));
        expect(answers.map(({ status, body }) => [status, body.toString()])).to.deep.equal([
          [200, 'hello'],
          [202, ''],
          [200, 'foo0123456789abcdef'],
        ]);
        expect(headerOf(answers[0]?.head ?? '', 'mcp-session-id')).to.equal('AbC');
      }
    });

    it('counts the calls it made, all under the session it was given', async () => {
      await using server = await mcpServer({});
      const result = await runLoad({ ...briefly(server.url), load: load({ concurrency: 4, sessions: 2 }) });
      expect(result.calls).to.be.greaterThan(0);
      expect(server.calls).to.be.greaterThanOrEqual(result.calls);
      expect(server.open).to.deep.equal([]);
    });

    it('accepts answers by SSE as well as JSON', async () => {
      await using server = await mcpServer({ sse: true });
      const result = await runLoad({ ...briefly(server.url), load: load({ sse: true }) });
      expect(result.calls).to.be.greaterThan(0);
    });

    for (const kind of ['list', 'notify', 'churn', 'mix'] as const)
      it(`makes calls of the kind "${kind}"`, async () => {
        await using server = await mcpServer({ padding: 65_536 });
        const result = await runLoad({ ...briefly(server.url), load: load({ kind, concurrency: 2 }) });
        expect(result.calls).to.be.greaterThan(0);
        expect(server.open).to.deep.equal([]);
      });

    it('notices an answer without the progress that was asked for', async () => {
      await using server = await mcpServer({ sse: true, progress: false });
      const asked = load({ sse: true, progress: 2 });
      const result = await runLoad({ ...briefly(server.url), load: asked }).catch(String);
      expect(result).to.include('a wrong answer to tools/call');
    });

    it('speaks the older HTTP+SSE, where answers come on the stream of the session', async () => {
      await using server = await legacyServer();
      const { url } = server;
      const running = { ...briefly(url), endpoint: { url, legacy: true, tool: 'bench__echo' } } as const;
      const result = await runLoad({ ...running, load: load({ concurrency: 4 }) });
      expect(result.calls).to.be.greaterThan(0);
      expect(server.tools).to.deep.equal(new Set(['bench__echo']));
      const churned = await runLoad({ ...running, load: load({ kind: 'churn' }) });
      expect(churned.calls).to.be.greaterThan(0);
    });

    it('ends with an error when an answer belongs to another call', async () => {
      await using server = await mcpServer({ echo: () => 'echo-of-somebody-else' });
      expect(await failure(server.url)).to.include('a wrong answer to tools/call');
    });

    it('ends with an error when the answer is cut short', async () => {
      await using server = await mcpServer({ padding: 0 });
      expect(await failure(server.url)).to.include('a wrong answer to tools/call');
    });

    it('ends with an error when a call is refused', async () => {
      await using server = await mcpServer({ statusOfCalls: 503 });
      expect(await failure(server.url)).to.include('HTTP 503');
    });
  });

  it('carries frames between two bare hops, those of one turn in one message, and none that is too large', async () => {
    const messages: Buffer[] = [];
    const turn = new Turn((message) => messages.push(message));
    turn.add(1, HEAD, Buffer.from('200'));
    turn.add(1, PART, Buffer.from('hello'));
    turn.add(4_000_000_000, END);
    await new Promise((resolve) => setImmediate(resolve));
    expect(messages).to.have.lengthOf(1);
    for (let id = 0; id < 9; id += 1) turn.add(id, PART, Buffer.alloc(65_536, id));
    await new Promise((resolve) => setImmediate(resolve));
    expect(messages.map(({ length }) => length < 400_000)).to.deep.equal([true, true, true, true]);
    const read: [number, number, string][] = [];
    const collect = (id: number, kind: number, body: Buffer) => {
      read.push([id, kind, body.length > 9 ? `${body.length} x ${body[0]}` : body.toString()]);
    };
    for (const message of messages) readFrames(message, collect);
    expect(read).to.deep.equal([
      [1, HEAD, '200'],
      [1, PART, 'hello'],
      [4_000_000_000, END, ''],
      ...Array.from({ length: 9 }, (_, id) => [id, PART, `65536 x ${id}`]),
    ]);
  });

  it('reads CPU time and memory of a process from the system', async () => {
    const before = await cpuUs(process.pid);
    const burnt = process.cpuUsage();
    while (process.cpuUsage(burnt).user + process.cpuUsage(burnt).system < 60_000) Math.sqrt(2);
    expect((await cpuUs(process.pid)) - before).to.be.within(40_000, 5_000_000);
    expect(await rssBytes(process.pid)).to.be.greaterThan(10 * 2 ** 20);
  });
});

interface Machine {
  /** How much slower everything is in a round, and how much slower the mesh is. */
  readonly slowdownOfRound?: (round: number) => number;
  readonly slowdownOfMesh?: (round: number) => number;
  /** Microseconds of CPU that identity and policy add to a call. */
  readonly addedByIdentity?: number;
  /** How much slower the slowest calls are beside a backend in trouble. */
  readonly slowdownBesideBad?: number;
}

function measured(machine: Machine): Measured {
  return { samples: samplesOf(machine) };
}

const NEIGHBOURS = [GOOD_NEIGHBOUR, BAD_NEIGHBOUR];

/** Speed against the bare proxy, what is added to a call's time, CPU of a call. */
const MACHINE: Readonly<Record<string, { speed: number; addedUs: number; cpuUs: number }>> = {
  direct: { speed: 3, addedUs: 0, cpuUs: 0 },
  'bare proxy': { speed: 1, addedUs: 100, cpuUs: 60 },
  [TWO_BARE_HOPS]: { speed: 0.85, addedUs: 150, cpuUs: 75 },
  [MCP_PROXY]: { speed: 0.08, addedUs: 1_000, cpuUs: 900 },
  [MCP_HUB]: { speed: 0.07, addedUs: 1_000, cpuUs: 900 },
  [OUTRIGGER]: { speed: 0.7, addedUs: 200, cpuUs: 90 },
  [OUTRIGGER_REDIS]: { speed: 0.7, addedUs: 200, cpuUs: 90 },
  [OUTRIGGER_SECURED]: { speed: 0.6, addedUs: 220, cpuUs: 90 },
};

/** What a run gives on a machine where the bare proxy needs 60 µs a call and the mesh half as much again. */
function samplesOf({
  slowdownOfRound = () => 1,
  slowdownOfMesh = () => 1,
  slowdownBesideBad,
  addedByIdentity = 20,
}: Machine): Sample[] {
  const use = (name: string, us: number) => ({ name, cpuUs: us, rssBytes: 50 * 2 ** 20 });
  const sample = (row: string, round: number, load: string): Sample => {
    const mesh = row.startsWith(OUTRIGGER) ? slowdownOfMesh(round) : 1;
    const slowdown = slowdownOfRound(round) * mesh;
    const { speed, addedUs, cpuUs } = MACHINE[row] ?? { speed: 1, addedUs: 0, cpuUs: 0 };
    // Lists are answered by the sidecar alone.
    const own = row === OUTRIGGER && load === LISTS_64 ? 0.9 : speed;
    const added = row === OUTRIGGER_SECURED ? addedByIdentity : 0;
    return {
      row,
      load,
      round,
      calls: 10_000,
      seconds: slowdown / own,
      p50Us: 100 + addedUs * slowdown,
      p99Us: row === BAD_NEIGHBOUR ? 1000 * (slowdownBesideBad ?? 1) : 1000,
      processes: [use('proxy', 10_000 * (cpuUs * slowdown + added))],
      backend: use('backend', 0),
      client: use('client', 0),
    };
  };
  return Array.from({ length: ROUNDS }, (_, round) =>
    LOADS.flatMap((each) =>
      (each.beside === true ? NEIGHBOURS : Object.keys(MACHINE)).map((row) => sample(row, round, each.name)),
    ),
  ).flat();
}

function verdicts(of: Measured): Verdict[] {
  return judge(new Results(of), TARGETS);
}

function outcomes(of: Measured): string[] {
  return verdicts(of).map(({ outcome }) => outcome);
}

function load(shape: Partial<Load>): Load {
  const small = { kind: 'call', concurrency: 1, sessions: 1, requestBytes: 300 } as const;
  return { name: 'test', ...small, answerBytes: 500, sse: false, progress: 0, ...shape };
}

function briefly(url: string) {
  return { endpoint: { url }, warmUpSeconds: 0.01, seconds: 0.05, onWarm: async () => {} };
}

function failure(url: string): Promise<string> {
  return runLoad({ ...briefly(url), load: load({}) }).then(
    () => 'no failure',
    (error: Error) => error.message,
  );
}

interface Behaviour {
  readonly sse?: boolean;
  /** Whether it tells of progress where it is asked to. */
  readonly progress?: boolean;
  readonly padding?: number;
  readonly statusOfCalls?: number;
  readonly echo?: (asked: string) => string;
}

/** A small MCP server on a real socket, right unless told otherwise; it refuses what is outside its sessions. */
async function mcpServer({
  sse = false,
  progress = true,
  padding = 500,
  statusOfCalls = 200,
  echo,
}: Behaviour) {
  const open = new Set<string>();
  const seen = { calls: 0 };
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const session = request.headers['mcp-session-id'];
    const message = JSON.parse(Buffer.concat(chunks).toString() || '{}');
    if (message.method === 'initialize') {
      open.add(`Session-${open.size}`);
      response.setHeader('mcp-session-id', `Session-${open.size - 1}`);
      response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} }));
    } else if (typeof session !== 'string' || !open.has(session)) response.writeHead(404).end();
    else if (request.method === 'DELETE') {
      open.delete(session);
      response.end();
    } else if (message.id === undefined) response.writeHead(202).end();
    else {
      seen.calls += 1;
      const answer = answerTo(message, { padding, echo });
      const steps = progress ? (message.params.arguments?.progress ?? 0) : 0;
      const before = Array.from({ length: steps }, (_, n) => `data: {"progress":${n + 1}}\n\n`).join('');
      response.writeHead(statusOfCalls).end(sse ? `${before}data: ${answer}\n\n` : `${before}${answer}`);
    }
  };
  const server = createServer((request, response) => {
    serve(request, response).catch((error: Error) => response.destroy(error));
  });
  await listen(server);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    get calls() {
      return seen.calls;
    },
    get open() {
      return [...open];
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answerTo(
  { id, method, params }: { id: unknown; method?: string; params: { arguments: { echo: string } } },
  { padding, echo }: Required<Pick<Behaviour, 'padding'>> & { echo: Behaviour['echo'] | undefined },
): string {
  if (method === 'tools/list') return JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [] } });
  const asked = params.arguments.echo;
  const said = echo?.(asked) ?? asked;
  const text = `${said} ${'x'.repeat(padding)} ${said}`;
  return JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } });
}

/** A small server of HTTP+SSE (MCP 2024-11-05): each stream is a session, and is told where to post. */
async function legacyServer() {
  const tools = new Set<string>();
  const streams = new Map<string, ServerResponse>();
  const post = async (request: IncomingMessage, response: ServerResponse) => {
    const stream = streams.get(new URL(request.url ?? '', 'http://bench').searchParams.get('session') ?? '');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const message = JSON.parse(Buffer.concat(chunks).toString());
    response.writeHead(stream === undefined ? 404 : 202, { 'content-length': 0 }).end();
    if (message.method === 'tools/call') tools.add(message.params.name);
    if (message.id === undefined) return;
    const answer =
      message.method === 'initialize'
        ? JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} })
        : answerTo(message, { padding: 500, echo: undefined });
    stream?.write(`event: message\ndata: ${answer}\n\n`);
  };
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      post(request, response).catch((error: Error) => response.destroy(error));
      return;
    }
    const session = String(streams.size);
    streams.set(session, response);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`event: endpoint\ndata: /messages?session=${session}\n\n`);
  });
  await listen(server);
  return {
    tools,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}
