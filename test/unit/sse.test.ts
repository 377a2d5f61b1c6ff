import { expect } from 'chai';
import fc from 'fast-check';
import { type SseEvent, SseParser } from '../../shared/sse/parser.ts';
import { encodeEvent, KEEP_ALIVE } from '../../shared/sse/writer.ts';
import { verifies } from '../requirements.ts';

interface Read {
  readonly events: { id: string; event: string; data: string; retry: number | undefined }[];
  readonly lastEventId: string;
  readonly retryMs: number | undefined;
}

function read(chunks: readonly (string | Uint8Array)[], maxEventBytes = 1_000_000): Read {
  const events: Read['events'] = [];
  const onEvent = (event: SseEvent) => events.push({ ...event, data: event.data.toString() });
  const parser = new SseParser({ maxEventBytes, onEvent });
  for (const chunk of chunks) parser.push(Buffer.from(chunk));
  return { events, lastEventId: parser.lastEventId, retryMs: parser.retryMs };
}

const data = (stream: string) => read([stream]).events.map((event) => event.data);

describe('the event stream parser', () => {
  const rows: [title: string, stream: string, data: string[]][] = [
    ['one event', 'data: a\n\n', ['a']],
    ['no space, one space, two spaces', 'data:a\n\ndata: a\n\ndata:  a\n\n', ['a', 'a', ' a']],
    ['several lines of data', 'data: a\ndata:\ndata: b\n\n', ['a\n\nb']],
    [
      'CR, LF and CRLF',
      'data: a\r\rdata: b\n\ndata: c\r\n\r\ndata: d\r\ndata: e\r\r\n',
      ['a', 'b', 'c', 'd\ne'],
    ],
    ['a byte order mark at the start', '\ufeffdata: a\n\n', ['a']],
    ['a byte order mark elsewhere is part of a name', 'data: a\n\n\ufeffdata: b\n\n', ['a']],
    ['comments', ': hello\n:\ndata: a\n: there\ndata: b\n\n:\n\n', ['a\nb']],
    [
      'unknown fields, and names that only begin like one',
      'foo: x\ndatax: y\n data: z\nDATA: w\ndata: a\n\n',
      ['a'],
    ],
    ['a field name alone', 'data\n\ndata\ndata\n\n', ['', '\n']],
    ['an event without data is none', 'event: x\nid: 1\n\n\n\n', []],
    ['an event without its blank line is none', 'data: a\n\ndata: b\n', ['a']],
    ['colons in the data', 'data: {"a":"b:c"}\n\n', ['{"a":"b:c"}']],
  ];
  for (const [title, stream, expected] of rows) {
    it(verifies('RPC-16')(title), () => expect(data(stream)).to.deep.equal(expected));
  }

  it('an id stays until another one comes; one with NUL is ignored', () => {
    const { events, lastEventId } = read([
      'id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\nid: é\n\nid: 9\n',
    ]);
    expect(events.map((event) => event.id)).to.deep.equal(['1', '1', '1', '']);
    expect(lastEventId).to.equal('é');
  });

  it('a type belongs to its event alone', () => {
    const { events } = read(['event: ping\ndata: a\n\ndata: b\n\nevent: x\n\ndata: c\n\n']);
    expect(events.map((event) => event.event)).to.deep.equal(['ping', 'message', 'message']);
  });

  it('a reconnection time is digits only, with or without data', () => {
    const { events, retryMs } = read([
      'retry: 500\ndata: a\n\nretry: 1e3\nretry:\nretry: -1\nretry: 99999999999999999999\ndata: b\n\nretry: 30\n\n',
    ]);
    expect(events.map((event) => event.retry)).to.deep.equal([500, undefined]);
    expect(retryMs).to.equal(30);
  });

  it('shares memory with the chunk when a line lies within it', () => {
    const chunk = Buffer.from('data: hello\n\n');
    const events: SseEvent[] = [];
    new SseParser({ maxEventBytes: 100, onEvent: (event) => events.push(event) }).push(chunk);
    chunk.write('J', 6);
    expect(events[0]?.data.toString()).to.equal('Jello');
  });

  it(verifies('RPC-16')('splits at any byte change nothing'), () => {
    const parts = fc.constantFrom(
      ...[
        'data',
        'data:',
        'data: ',
        'id: 1',
        'id:',
        'event: e',
        'retry: 7',
        ':',
        ': c',
        '\n',
        '\n',
        '\r',
        '\r\n',
        '\n\n',
      ],
      ...['x', 'é', '\ufeff', '\0', '{"a":1}'],
    );
    const stream = fc.array(parts, { maxLength: 40 }).map((list) => Buffer.from(list.join('')));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 8 }), (bytes, cuts) => {
        const whole = read([bytes]);
        const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        const split = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        expect(read(split)).to.deep.equal(whole);
        expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).to.deep.equal(whole);
      }),
      { numRuns: 500 },
    );
  });

  describe('with a limit on events', () => {
    const limit = 1000;
    const tooLarge: [title: string, chunk: string][] = [
      ['a line without end', 'x'.repeat(100)],
      ['data without a blank line', 'data: 1\n'],
      ['empty data lines', 'data\n'],
    ];
    for (const [title, chunk] of tooLarge) {
      it(verifies('B7')(`${title} is cut off`), () => {
        const flood = () => read(['data: first\n\n', ...new Array<string>(2000).fill(chunk)], limit);
        expect(flood).to.throw().with.property('reason', 'backend_protocol_error');
      });
    }

    it('events of the limit pass, however many, and comments cost nothing', () => {
      const event = `data: ${'x'.repeat(limit)}\n\n`;
      expect(read(new Array<string>(10).fill(event), limit).events).to.have.length(10);
      expect(
        read(['\n:', ...new Array<string>(100).fill('c'.repeat(100)), '\ndata: a\n\n'], limit).events,
      ).to.have.length(1);
    });

    it('events before the one that is too large are delivered', () => {
      const events: SseEvent[] = [];
      const parser = new SseParser({ maxEventBytes: 10, onEvent: (event) => events.push(event) });
      expect(() => parser.push(Buffer.from(`data: a\n\ndata: ${'x'.repeat(200)}\n\n`))).to.throw();
      expect(events).to.have.length(1);
    });
  });
});

describe('the event stream writer', () => {
  const write = (...args: Parameters<typeof encodeEvent>) => Buffer.concat(encodeEvent(...args)).toString();
  const pieces = (...texts: string[]) => texts.map((text) => Buffer.from(text));

  it(verifies('HTTP-17')('writes id, retry and data, and empty data for a priming event'), () => {
    expect(write({ pieces: pieces('{"a"', ':1}') })).to.equal('data: {"a":1}\n\n');
    expect(write({ id: 's.1.2', retryMs: 500, pieces: [] })).to.equal('id: s.1.2\nretry: 500\ndata: \n\n');
    expect(read([write({ id: 's.1.0', pieces: [] })]).events).to.have.length(1);
  });

  it('a keep-alive is no event', () => {
    expect(read(['data: a\n', KEEP_ALIVE]).events).to.have.length(1);
    expect(read([KEEP_ALIVE, KEEP_ALIVE]).events).to.have.length(0);
  });

  it('line ends in the data cannot end the event', () => {
    const json = fc
      .tuple(fc.json(), fc.constantFrom('\n', '\r', '\r\n', '\n\n', ''))
      .map(([a, end]) => `[${end}${a},${end}1 ]${end}`);
    fc.assert(
      fc.property(json, fc.nat(), (text, cut) => {
        const at = cut % (text.length + 1);
        const bytes = Buffer.from(text);
        const { events } = read([write({ id: '1', pieces: [bytes.subarray(0, at), bytes.subarray(at)] })]);
        expect(events).to.have.length(1);
        expect(JSON.parse(events[0]!.data)).to.deep.equal(JSON.parse(text));
      }),
    );
  });
});
