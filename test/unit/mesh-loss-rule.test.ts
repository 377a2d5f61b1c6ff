import { expect } from 'chai';
import { type LossVerdict, lossRule } from '../../sidecar/mesh/loss-rule.ts';
import { verifies } from '../requirements.ts';

const WRITTEN = { written: true, refused: false };

function call(method: string, more: Partial<Parameters<typeof lossRule>[0]> = {}): LossVerdict {
  return lossRule({
    kind: 'message',
    message: 'request',
    method,
    tool: undefined,
    replaySafeTools: new Set(['search']),
    ...WRITTEN,
    ...more,
  });
}

describe('the loss rule', () => {
  const READS = [
    'ping',
    'tools/list',
    'prompts/list',
    'prompts/get',
    'resources/list',
    'resources/templates/list',
    'resources/read',
    'completion/complete',
    'tasks/list',
    'tasks/get',
    'tasks/result',
  ];
  for (const method of READS) {
    it(verifies('RST-11')(`${method} is sent again`), () => {
      expect(call(method)).to.equal('resend');
    });
  }

  const EFFECTS = [
    'initialize',
    'logging/setLevel',
    'resources/subscribe',
    'tasks/cancel',
    'vendor/unknown',
    'tools/call',
  ];
  for (const method of EFFECTS) {
    it(verifies('RST-11')(`${method} that was written has an unknown outcome`), () => {
      expect(call(method)).to.equal('outcome_unknown');
    });
    it(
      verifies('RST-11')(`${method} that was not written whole, or was refused by a GoAway, is sent again`),
      () => {
        expect(call(method, { written: false })).to.equal('resend');
        expect(call(method, { refused: true })).to.equal('resend');
      },
    );
  }

  it(verifies('RST-11')('a call of a tool is sent again only when configuration says that it may be'), () => {
    expect(call('tools/call', { tool: 'search' })).to.equal('resend');
    expect(call('tools/call', { tool: 'transfer' })).to.equal('outcome_unknown');
    expect(call('vendor/call', { tool: 'search' })).to.equal('outcome_unknown');
  });

  it('a notification is sent again, a response and a batch are not', () => {
    expect(call('notifications/initialized', { message: 'notification' })).to.equal('resend');
    expect(lossRule({ ...base(), message: 'response' })).to.equal('outcome_unknown');
    expect(lossRule({ ...base(), message: undefined })).to.equal('outcome_unknown');
  });

  it('a GET is opened again, a DELETE is sent again', () => {
    expect(lossRule({ ...base(), kind: 'listen' })).to.equal('resend');
    expect(lossRule({ ...base(), kind: 'terminate' })).to.equal('resend');
  });
});

function base(): Parameters<typeof lossRule>[0] {
  return {
    kind: 'message',
    message: undefined,
    method: undefined,
    tool: undefined,
    replaySafeTools: new Set(),
    ...WRITTEN,
  };
}
