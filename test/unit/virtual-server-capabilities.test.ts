import { expect } from 'chai';
import {
  cutCapabilities,
  initializeResult,
  negotiateVersion,
} from '../../control-plane/virtual-server/capabilities.ts';
import { verifies } from '../requirements.ts';

const cut = (params: string) => cutCapabilities(Buffer.from(params)).toString();
const client = (capabilities: string) =>
  `{"protocolVersion":"2025-06-18","capabilities":${capabilities},"clientInfo":{"name":"c"}}`;

describe('initialize', () => {
  it(verifies('HTTP-8')('a version we speak is used, another is answered with our newest'), () => {
    for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
      expect(negotiateVersion(version)).to.equal(version);
    }
    for (const version of ['', '2026-07-28', '2099-01-01', 'constructor']) {
      expect(negotiateVersion(version)).to.equal('2025-11-25');
    }
  });

  it(verifies('AGG-1')('the mesh claims what it serves, under its own name'), () => {
    const result = JSON.parse(
      initializeResult({ protocolVersion: '2025-06-18', build: '1.2.3', backends: [] }).toString(),
    );
    expect(result).to.deep.equal({
      protocolVersion: '2025-06-18',
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        completions: {},
        logging: {},
      },
      serverInfo: { name: 'outrigger', version: '1.2.3' },
    });
  });

  it(
    verifies('AGG-1')('instructions come from the configuration and the backends present, within bounds'),
    () => {
      const backends = [
        { name: 'files', instructions: 'Use paths.' },
        { name: 'wordy', instructions: '\u{1f600}'.repeat(50_000) },
      ];
      const result = JSON.parse(
        initializeResult({
          protocolVersion: '2025-11-25',
          build: '1',
          instructions: 'Be kind.',
          backends,
          meta: { k: 1 },
        }).toString(),
      );
      expect(result.instructions).to.match(/^Be kind\.\n\n## files\n\nUse paths\.\n\n## wordy\n\n/);
      expect(result.instructions.length).to.be.at.most(16_384);
      expect(Buffer.from(result.instructions).toString()).to.equal(result.instructions);
      expect(result['_meta']).to.deep.equal({ k: 1 });
    },
  );

  it(
    verifies('RPC-8', 'RPC-12')("backends are told the client's capabilities, cut to what is carried"),
    () => {
      const info = '{ "name":"c", "version":"1.0","x":1.0 }';
      const params =
        '{"clientInfo":' +
        info +
        ',"vendor":1,"_meta":{},"protocolVersion":"2025-06-18","capabilities":{"experimental":{"a":{}},' +
        '"roots":{"listChanged":true,"x":1},"sampling":{"tools":{ },"y":2},"elicitation":{"form":{},"url":{"z":1}},"tasks":{}}}';
      expect(cut(params)).to.equal(
        '{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"sampling":{"tools":{ }},' +
          `"elicitation":{"form":{},"url":{"z":1}}},"clientInfo":${info}}`,
      );
      expect(JSON.parse(cut(client('{"sampling":{},"roots":5}'))).capabilities).to.deep.equal({
        sampling: {},
      });
      expect(JSON.parse(cut(client('{}'))).capabilities).to.deep.equal({});
    },
  );

  it(
    verifies('RPC-8', 'AGG-15')('of tasks they are told what the mesh carries, where the revision has tasks'),
    () => {
      const tasks =
        '{"list":{},"cancel":{ },"x":1,"requests":{"sampling":{"createMessage":{"y":1.0}},"elicitation":5,"roots":{"list":{}}}}';
      const told = (version: string) => cut(client(`{"tasks":${tasks}}`).replace('2025-06-18', version));
      expect(told('2025-11-25')).to.include(
        '"capabilities":{"tasks":{"cancel":{ },"requests":{"sampling":{"createMessage":{"y":1.0}}}}}',
      );
      expect(told('2025-06-18')).to.include('"capabilities":{}');
      expect(cut(client('{"tasks":{}}').replace('2025-06-18', '2025-11-25'))).to.include('{"tasks":{}}');
    },
  );

  it('backends are offered a version that the mesh speaks', () => {
    expect(cut(client('{}').replace('2025-06-18', '2099-01-01'))).to.include(
      '"protocolVersion":"2025-11-25"',
    );
  });

  it('params without what initialize needs are invalid', () => {
    const bad = [
      '{}',
      client('5'),
      client('{"roots":{},"roots":{}}'),
      client('{}').replace('"2025-06-18"', '5'),
    ];
    for (const params of [...bad, client('{}').replace('{"name":"c"}', '"c"')]) {
      expect(() => cut(params), params)
        .to.throw()
        .with.property('reason', 'invalid_params');
    }
  });
});
