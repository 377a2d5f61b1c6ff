import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { isForbiddenAddress } from '../../control-plane/backend/address-policy.ts';
import { Deadlines } from '../../control-plane/backend/deadlines.ts';
import { fingerprintOf } from '../../control-plane/backend/facts.ts';
import { backoffMs } from '../../control-plane/backend/http-listen.ts';
import { LineReader } from '../../control-plane/backend/line-reader.ts';
import { renumber, scan } from '../../control-plane/backend/messages.ts';
import { Restarts } from '../../control-plane/backend/restarts.ts';
import { verifies } from '../requirements.ts';

describe('the parts of the connectors', () => {
  it(verifies('BACK-5', 'B9')('know forbidden addresses in every notation, and only those'), () => {
    const never = [
      '169.254.169.254',
      '169.254.0.1',
      'fe80::1%eth0',
      '::ffff:169.254.169.254',
      '::ffff:a9fe:1',
      'fd00:ec2::254',
    ];
    const elsewhere = ['64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', '100.100.100.200', 'not an address', ''];
    for (const address of [...never, ...elsewhere])
      expect(isForbiddenAddress(address), address).to.equal(true);
    for (const address of [
      '127.0.0.1',
      '::1',
      '10.1.2.3',
      '192.168.1.1',
      'fd00::1',
      '169.253.1.1',
      '8.8.8.8',
      '::ffff:10.0.0.1',
    ]) {
      expect(isForbiddenAddress(address), address).to.equal(false);
    }
  });

  it('cut lines alike wherever the chunks are cut, and skip what is too long', () => {
    const line = fc.string({ unit: fc.constantFrom('a', 'é', '{'), maxLength: 12 });
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(7), { minLength: 1 }), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
        const seen: string[] = [];
        let tooLong = 0;
        const reader = new LineReader({
          limit: 10,
          onLine: (each) => void seen.push(each.toString()),
          onTooLong: () => {
            tooLong += 1;
          },
        });
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const size = (cuts[i % cuts.length] ?? 0) + 1;
          reader.push(bytes.subarray(at, at + size));
          at += size;
        }
        const fits = lines.filter((each) => Buffer.byteLength(each) <= 10);
        expect(seen).to.deep.equal(fits.filter((each) => each !== ''));
        expect(tooLong).to.equal(lines.length - fits.length);
      }),
    );
  });

  it(verifies('RPC-12')('renumber a message and touch nothing else of it'), () => {
    const before =
      '{ "params":{"_meta":{"progressToken":7,"x":1.0},"n":7, "s":"7"},"method":"tools/call" , "id" : 7,"jsonrpc":"2.0"}';
    const message = renumber(scan(Buffer.from(before))!, 7, 1234);
    expect(message.bytes.toString()).to.equal(
      '{ "params":{"_meta":{"progressToken":1234,"x":1.0},"n":7, "s":"7"},"method":"tools/call" , "id" : 1234,"jsonrpc":"2.0"}',
    );
    const { id } = message.scanned;
    expect(message.bytes.toString('utf8', id!.start, id!.end)).to.equal('1234');
  });

  it('expire what is due, once, and nothing that was moved or forgotten', async () => {
    const deadlines = new Deadlines();
    const expired: string[] = [];
    const watch = (name: string, ms: number) => {
      const watched = { dueAt: performance.now() + ms, expire: () => void expired.push(name) };
      deadlines.watch(watched);
      return watched;
    };
    watch('due', 10);
    deadlines.forget(watch('forgotten', 10));
    watch('moved', 10).dueAt = Number.POSITIVE_INFINITY;
    await sleep(200);
    expect(expired).to.deep.equal(['due']);
    deadlines.clear();
  });

  it(
    verifies('BACK-9')(
      'forgive a crash or two, wait longer for each further one, and forget them when a child lives',
    ),
    () => {
      const restarts = new Restarts();
      const waits = [1, 2, 3, 4, 5].map(() => {
        restarts.ended(performance.now());
        return restarts.waitMs;
      });
      expect(waits.slice(0, 2)).to.deep.equal([0, 0]);
      expect(waits[2]).to.be.within(400, 500);
      expect(waits[4]).to.be.greaterThan(waits[3]!);
      restarts.ended(performance.now() - 60_000);
      expect(restarts.waitMs).to.equal(0);
    },
  );

  it(verifies('BACK-3')('wait longer after each failure, up to a time, and at random'), () => {
    const longest = [0, 1, 2, 3, 4, 5, 6, 7, 100].map((failures) => backoffMs(failures, 1));
    expect(longest).to.deep.equal([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    expect(backoffMs(3, 0.5)).to.equal(2_000);
    expect(backoffMs(3, 0)).to.equal(0);
  });

  it('fingerprint a backend session by its name and id, and one without an id as itself alone', () => {
    expect(fingerprintOf('a', 's')).to.equal(fingerprintOf('a', 's'));
    const others = [
      fingerprintOf('b', 's'),
      fingerprintOf('a', 't'),
      fingerprintOf('as', ''),
      fingerprintOf('a', undefined),
    ];
    expect(new Set([fingerprintOf('a', 's'), fingerprintOf('a', undefined), ...others]).size).to.equal(6);
  });
});
