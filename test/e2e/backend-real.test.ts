import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { callTool, connectTo, connectToSse, eventually, faultOf, open } from '../support/backend-calls.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { freePort } from '../support/ports.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { spawnReady } from '../support/spawn-ready.ts';

describe('connectors in the world', () => {
  it(
    verifies('BACK-2')(
      'find that server-everything lost the session, which it says with 400, and go on afresh',
    ),
    async () => {
      const port = await freePort();
      const before = await startEverything(port);
      await using connector = connectTo(`http://127.0.0.1:${port}/mcp`);
      const session = await open(connector.backend);
      expect(await callTool(session, 'echo', { arguments: { message: 'one' } })).to.equal('Echo: one');
      await before.stop();
      await using _after = await startEverything(port);
      expect(await faultOf(callTool(session, 'echo', { arguments: { message: 'two' } }))).to.include({
        kind: 'session_lost',
        executed: 'no',
      });
      const fresh = await open(connector.backend);
      expect(await callTool(fresh, 'echo', { arguments: { message: 'two' } })).to.equal('Echo: two');
      await fresh.close({ terminate: true, credential: {} });
    },
  );

  it(verifies('RST-2')('let go of a credential with the operation that it came with'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const given: WeakRef<Record<string, string>>[] = [];
    const credential = () => {
      const value = { authorization: `Bearer ${given.length}` };
      given.push(new WeakRef(value));
      return value;
    };
    const session = await open(connector.backend, { credential: credential() });
    await callTool(session, 'echo', { credential: credential() });
    await faultOf(callTool(session, 'hang', { credential: credential(), timeoutMs: 60 }));
    await session.notify([Buffer.from('{"jsonrpc":"2.0","method":"x"}')], credential());
    const stop = new AbortController();
    const listening = session.listen({
      credential: credential(),
      signal: stop.signal,
      onGap() {},
      onState() {},
    });
    await server.listeners(1);
    stop.abort();
    await listening;
    await server.seen({ rpc: 'notifications/cancelled' });
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    await eventually(() => {
      collect();
      return given.every((each) => each.deref() === undefined);
    });
    expect(given).to.have.length(5);
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it(
    verifies('RST-2', 'BACK-10')('let go of the one that opened a stream as well, whose head alone holds it'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      let given = new WeakRef<Record<string, string>>({});
      const opening = () => {
        const credential = { authorization: 'Bearer opener' };
        given = new WeakRef(credential);
        return open(connector.backend, { credential });
      };
      const session = await opening();
      await eventually(() => server.posts('notifications/initialized').length === 1);
      setFlagsFromString('--expose_gc');
      const collect = runInNewContext('gc') as () => void;
      await eventually(() => {
        collect();
        return given.deref() === undefined;
      });
      expect(await callTool(session, 'echo')).to.equal('{}');
      expect(server.streams[0]!.authorization).to.equal('Bearer opener');
    },
  );
});

function startEverything(port: number) {
  const program = createRequire(import.meta.url).resolve(
    '@modelcontextprotocol/server-everything/dist/index.js',
  );
  return spawnReady({
    args: [program, 'streamableHttp'],
    env: { PORT: String(port) },
    ready: (line) => (line.includes('listening on port') ? true : undefined),
  });
}
