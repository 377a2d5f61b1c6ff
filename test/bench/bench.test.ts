import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { LOADS, type Load } from './loads.ts';
import { cpuUs, rssBytes } from './process-use.ts';
import { type HttpAnswer, headerOf, ResponseReader } from './response-reader.ts';
import { Results } from './results.ts';
import { BAD_NEIGHBOUR, GOOD_NEIGHBOUR } from './row-names.ts';
import { runLoad } from './run-load.ts';
import type { Measured, Sample } from './sample.ts';
import { median, percentile } from './statistics.ts';
import { judge } from './targets.ts';

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
    });
  });

  describe('its verdicts', () => {
    it('are all met by a mesh that keeps its promises', () => {
      expect(outcomes(measured({}))).to.deep.equal(Array.from({ length: 8 }, () => 'met'));
    });

    it('show a slow path planted in the mesh, in speed, in CPU and in latency', () => {
      expect(outcomes(measured({ slowdownOfMesh: () => 3 })).slice(0, 6)).to.deep.equal([
        'missed',
        'missed',
        'missed',
        'missed',
        'missed',
        'missed',
      ]);
    });

    it('show a sidecar that is too large before it does anything', () => {
      expect(outcomes(measured({ sidecarMiB: 65 })).at(-1)).to.equal('missed');
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
      expect(new Set(outcomes({ samples: others, idle: [] }))).to.deep.equal(new Set(['unmeasured']));
    });
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
  readonly sidecarMiB?: number;
  /** How much slower the slowest calls are beside a backend in trouble. */
  readonly slowdownBesideBad?: number;
}

function measured(machine: Machine): Measured {
  const rssBytes = (machine.sidecarMiB ?? 60) * 2 ** 20;
  return { samples: samplesOf(machine), idle: [{ row: 'outrigger', process: 'sidecar', rssBytes }] };
}

const NEIGHBOURS = [GOOD_NEIGHBOUR, BAD_NEIGHBOUR];

/** What a run gives on a machine where the bare proxy needs 60 µs a call and the mesh half as much again. */
function samplesOf({
  slowdownOfRound = () => 1,
  slowdownOfMesh = () => 1,
  slowdownBesideBad,
}: Machine): Sample[] {
  const use = (name: string, us: number) => ({ name, cpuUs: us, rssBytes: 50 * 2 ** 20 });
  const sample = (row: string, round: number, load: string): Sample => {
    const mesh = row === 'outrigger' ? slowdownOfMesh(round) : 1;
    const slowdown = slowdownOfRound(round) * mesh;
    // Lists are answered by the sidecar alone.
    const own = load === 'tools/list x64' ? 0.9 : 0.7;
    const speed = { direct: 3, 'bare proxy': 1, outrigger: own }[row] ?? 1;
    const addedUs = { direct: 0, 'bare proxy': 100, outrigger: 200 }[row] ?? 0;
    const cpu = { direct: 0, 'bare proxy': 60, outrigger: 90 }[row] ?? 0;
    return {
      row,
      load,
      round,
      calls: 10_000,
      seconds: slowdown / speed,
      p50Us: 100 + addedUs * slowdown,
      p99Us: row === BAD_NEIGHBOUR ? 1000 * (slowdownBesideBad ?? 1) : 1000,
      processes: [use('proxy', cpu * 10_000 * slowdown)],
      backend: use('backend', 0),
      client: use('client', 0),
    };
  };
  return Array.from({ length: ROUNDS }, (_, round) =>
    LOADS.flatMap((each) =>
      (each.beside === true ? NEIGHBOURS : ['direct', 'bare proxy', 'outrigger']).map((row) =>
        sample(row, round, each.name),
      ),
    ),
  ).flat();
}

function outcomes(of: Measured): string[] {
  return judge(new Results(of)).map(({ outcome }) => outcome);
}

function load(shape: Partial<Load>): Load {
  const small = { method: 'tools/call', concurrency: 1, sessions: 1, requestBytes: 300 } as const;
  return { name: 'test', ...small, answerBytes: 500, sse: false, ...shape };
}

function briefly(url: string) {
  return { url, warmUpSeconds: 0.01, seconds: 0.05, onWarm: async () => {} };
}

function failure(url: string): Promise<string> {
  return runLoad({ ...briefly(url), load: load({}) }).then(
    () => 'no failure',
    (error: Error) => error.message,
  );
}

interface Behaviour {
  readonly sse?: boolean;
  readonly padding?: number;
  readonly statusOfCalls?: number;
  readonly echo?: (asked: string) => string;
}

/** A small MCP server on a real socket, right unless told otherwise; it refuses what is outside its sessions. */
async function mcpServer({ sse = false, padding = 500, statusOfCalls = 200, echo }: Behaviour) {
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
      const asked: string = message.params.arguments.echo;
      const said = echo?.(asked) ?? asked;
      const text = `${said} ${'x'.repeat(padding)} ${said}`;
      const answer = JSON.stringify({
        jsonrpc: '2.0',
        id: message.id,
        result: { content: [{ type: 'text', text }] },
      });
      response.writeHead(statusOfCalls).end(sse ? `data: ${answer}\n\n` : answer);
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

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}
