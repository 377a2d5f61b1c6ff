import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { callTool, connectTo, eventually, faultOf, open } from '../support/backend-calls.ts';
import { AUTHORITY, ELSEWHERE, EXPIRED, KEY, VALID } from '../support/certificates.ts';
import { configuredBackends } from '../support/configured-backends.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

describe('the way to a backend', () => {
  describe('over TLS', () => {
    it('is taken when the configured authority vouches for the name', async () => {
      await using server = await RecordingBackend.start();
      await using front = await tlsFront(VALID, server.port);
      await using backends = configured(front.url, { tls: { ca: 'authority.pem' } });
      expect(await callTool(await open(backends.backend('subject')), 'echo')).to.equal('{}');
    });

    for (const [what, certificate, tls, code] of [
      ['expired', EXPIRED, { ca: 'authority.pem' }, 'CERT_HAS_EXPIRED'],
      ['of another host', ELSEWHERE, { ca: 'authority.pem' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
      ['of an authority that nobody trusts', VALID, {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ] as const) {
      it(
        verifies('B1')(`ends at a certificate that is ${what}: no request, and no credential, gets there`),
        async () => {
          await using server = await RecordingBackend.start();
          await using front = await tlsFront(certificate, server.port);
          await using backends = configured(front.url, { tls });
          const fault = await faultOf(open(backends.backend('subject')));
          expect(fault).to.include({ kind: 'unreachable', executed: 'no' });
          expect(fault.cause).to.include({ code });
          expect(server.view.requests()).to.deep.equal([]);
        },
      );
    }
  });

  describe('by name', () => {
    const LINK_LOCAL = '169.254.169.254';

    for (const addresses of [
      [LINK_LOCAL],
      ['::ffff:169.254.169.254'],
      ['fe80::1', LINK_LOCAL],
      ['fd00:ec2::254'],
    ]) {
      it(verifies('BACK-5', 'B9')(`ends where the name means ${addresses.join(' and ')}`), async () => {
        const names = resolver([addresses]);
        await using connector = connectTo('http://backend.test/mcp', {
          connections: { lookup: names.lookup },
        });
        const fault = await faultOf(open(connector.backend));
        expect(fault).to.include({ kind: 'unreachable', executed: 'no' });
        expect(fault.cause).to.include({ code: 'EADDRNOTALLOWED' });
        expect(names.asked).to.deep.equal(['backend.test']);
      });
    }

    it(verifies('BACK-5', 'B9')('leads to the addresses that are allowed, of several'), async () => {
      await using server = await RecordingBackend.start();
      const { lookup } = resolver([[LINK_LOCAL, '127.0.0.1']]);
      await using connector = connectTo(`http://backend.test:${server.port}/mcp`, {
        connections: { lookup },
      });
      expect(await callTool(await open(connector.backend), 'echo')).to.equal('{}');
      expect(server.view.requests()[0]!.headers.host).to.equal(`backend.test:${server.port}`);
    });

    it(
      verifies('BACK-5', 'B9')('is asked for once a connection: what was checked is what is connected to'),
      async () => {
        await using server = await RecordingBackend.start();
        // The next answer, if anybody asked again, would be another one.
        const names = resolver([['127.0.0.1'], [LINK_LOCAL]]);
        const connections = { lookup: names.lookup, concurrency: 1 };
        await using connector = connectTo(`http://backend.test:${server.port}/mcp`, { connections });
        const answers: unknown[] = [];
        const opening = open(connector.backend).then((session) => callTool(session, 'echo'));
        answers.push(await opening);
        expect(answers).to.deep.equal(['{}']);
        // The initialized notification has a connection of its own, to where nobody goes.
        await eventually(() => names.asked.length === 2);
        expect(server.view.requests({ rpc: 'notifications/initialized' })).to.deep.equal([]);
        await server.restart();
        expect(await faultOf(open(connector.backend))).to.include({ kind: 'unreachable', executed: 'no' });
        expect(server.view.initialises).to.equal(1);
      },
    );
  });

  it(
    verifies('B2')('that is slow for one backend costs the others nothing, and its late answer finds nobody'),
    async () => {
      await using slow = await RecordingBackend.start({ delays: { initialize: 400 } });
      await using quick = await RecordingBackend.start();
      await using backends = configuredBackends({ slow: { url: slow.url }, quick: { url: quick.url } });
      const opening = faultOf(open(backends.backend('slow'), { timeoutMs: 150 }));
      expect(await callTool(await open(backends.backend('quick')), 'echo')).to.equal('{}');
      expect(await opening).to.include({ kind: 'timeout', executed: 'unknown' });
      // Its late result made a session that nobody here uses, or tells that it is initialized.
      await eventually(() => slow.view.sessions.length === 1);
      expect(slow.view.requests().map(({ rpc }) => rpc)).to.deep.equal(['initialize']);
    },
  );

  it(verifies('B1')('that swallows everything is given up before the handshake as a whole'), async () => {
    await using front = await muteFront();
    await using backends = configured(front.url, { timeouts: { initialize: '2s' } });
    const fault = await faultOf(open(backends.backend('subject'), { timeoutMs: 10_000 }));
    expect(fault).to.include({ kind: 'unreachable', executed: 'no' });
    expect(fault.cause).to.include({ code: 'UND_ERR_CONNECT_TIMEOUT' });
  });
});

function configured(url: string, entry: Readonly<Record<string, unknown>>) {
  return configuredBackends({ subject: { url, ...entry } }, { 'authority.pem': AUTHORITY });
}

/** Answers each question with the next of these addresses, and the last of them for ever; a stand-in for DNS. */
function resolver(answers: readonly (readonly string[])[]) {
  const asked: string[] = [];
  const lookup = (
    hostname: string,
    _: unknown,
    callback: (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void,
  ) => {
    const found = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(hostname);
    const addresses = found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    setImmediate(() => callback(null, addresses));
  };
  return { asked, lookup };
}

/** Takes connections, and never says a word of TLS on them. */
async function muteFront() {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.resume().on('error', () => {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** TLS on a port of its own, before a server without. */
async function tlsFront(cert: string, port: number) {
  const server = createServer({ key: KEY, cert }, (socket) => {
    const inner = connect(port, '127.0.0.1');
    socket.on('error', () => inner.destroy()).pipe(inner);
    inner.on('error', () => socket.destroy()).pipe(socket);
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}
