import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { textOf } from '../../support/mcp-client.ts';
import { metric } from '../../support/story.ts';

const MESSAGES = 8_000;
const PAD = 'x'.repeat(3_000);
/** All that may wait for one reader anywhere on its way, the kernel's buffers included; the flood is twice that. */
const HELD_BYTES = 12 * 1024 * 1024;
/** What the sidecar holds of two streams that nobody reads. */
const SIDECAR_BYTES = 4 * 1024 * 1024;

const note = (n: number) => ({
  method: 'notifications/message',
  params: { level: 'info', data: { n, pad: PAD } },
});

/** A client that asks, and takes its time with the answer. */
class SlowReader {
  readonly #request: ClientRequest;
  readonly #response: Promise<IncomingMessage>;
  #text = '';

  constructor({ client }: Member, how: { readonly method: 'GET' | 'POST'; readonly body?: string }) {
    const headers = { ...client.headers(), 'content-type': 'application/json' };
    this.#request = request(client.url, { method: how.method, headers, agent: false });
    this.#response = once(this.#request, 'response').then(([response]) => response as IncomingMessage);
    this.#request.on('error', () => {});
    this.#request.end(how.body);
  }

  /** Until the head of the answer is there; nothing behind it is read. */
  async begun(): Promise<void> {
    await this.#response;
  }

  /** Reads on, until this text came or the answer has ended. */
  async read(text: string): Promise<void> {
    const response = await this.#response;
    response.setEncoding('utf8');
    let over = false;
    response.on('data', (piece: string) => {
      this.#text += piece;
    });
    for (const end of ['end', 'error', 'close'])
      response.on(end, () => {
        over = true;
      });
    await until('it is read', () => over || this.#text.includes(text));
  }

  get bytes(): number {
    return this.#text.length;
  }

  /** In the order in which they came. */
  get numbers(): number[] {
    return [...this.#text.matchAll(/"n":(\d+),"pad"/g)].map((match) => Number(match[1]));
  }

  leave(): void {
    this.#request.destroy();
  }
}

describe('Clients that stop reading while a backend floods', function () {
  this.timeout(60_000);
  let company: Company;
  let alice: Member;
  let bob: Member;

  before(async () => {
    company = await startCompany({ limits: { streamAfter: '200ms' } });
    alice = await company.join('alice');
    bob = await company.join('bob');
  });
  after(() => company[Symbol.asyncDispose]());

  const dropped = async () => {
    const counts = company.mesh.replicas.map((each) => metric(each, 'outrigger_late_frames_total'));
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  };
  /** It is over when what came is counted, and the same session and another one are served meanwhile. */
  const survives = async (flood: () => void) => {
    const before = await dropped();
    flood();
    for (let n = 0; n < 20; n += 1) {
      for (const { client } of [alice, bob]) {
        expect(textOf(await client.call('beta__echo', { n }))).to.equal(`{"n":${n}}`);
        expect(textOf(await client.call('alpha__echo', { n }))).to.equal(`{"n":${n}}`);
      }
    }
    await until('most of it found no room', async () => (await dropped()) - before > MESSAGES / 2);
    expect(await metric(company.mesh.sidecar, 'outrigger_sidecar_buffered_bytes')).to.be.below(SIDECAR_BYTES);
  };
  const judge = (numbers: readonly number[], bytes: number) => {
    expect(numbers).to.deep.equal(numbers.toSorted((a, b) => a - b));
    expect(new Set(numbers).size).to.equal(numbers.length);
    expect(numbers[0]).to.equal(0);
    expect(bytes).to.be.below(HELD_BYTES);
    expect(MESSAGES * PAD.length).to.be.above(1.9 * HELD_BYTES);
  };

  it(
    verifies(
      'RPC-15',
      'HTTP-16',
    )(
      'on the listening stream: what waits is bounded, the order kept, and who reads again hears what comes then',
    ),
    async () => {
      const alpha = company.backend('alpha');
      const reader = new SlowReader(alice, { method: 'GET' });
      await reader.begun();
      await alpha.listeners(1);
      await survives(() => {
        for (let n = 0; n < MESSAGES; n += 1) alpha.push(note(n), alice.at('alpha'));
      });
      const reading = reader.read(`"n":${MESSAGES},`);
      await until('there is room again', () => {
        alpha.push(note(MESSAGES), alice.at('alpha'));
        return reader.numbers.includes(MESSAGES);
      });
      await reading;
      const { numbers } = reader;
      expect(numbers.filter((n) => n < MESSAGES)).to.have.length.below(MESSAGES / 2);
      judge([...new Set(numbers)], reader.bytes);
      reader.leave();
    },
  );

  it(
    verifies(
      'RPC-15',
      'HTTP-15',
    )('on the stream of a call: the same, and its answer comes in the end, behind all that was kept'),
    async () => {
      const alpha = company.backend('alpha');
      const hold = alpha.hold('tools/call');
      const body = '{"jsonrpc":"2.0","id":"flood","method":"tools/call","params":{"name":"alpha__echo"}}';
      const reader = new SlowReader(alice, { method: 'POST', body });
      const { message } = await hold.arrived;
      const lines = Array.from({ length: MESSAGES }, (_, n) => ({ jsonrpc: '2.0', ...note(n) }));
      const answer = { jsonrpc: '2.0', id: message?.id, result: { content: [] } };
      const flood = [...lines, answer].map((each) => `data: ${JSON.stringify(each)}\n\n`).join('');
      alpha.next('tools/call', {
        status: 200,
        headers: { 'content-type': 'text/event-stream' },
        body: flood,
      });
      await survives(() => hold.release());
      await reader.read('"id":"flood","result"');
      judge(reader.numbers, reader.bytes);
      reader.leave();
    },
  );
});
