import type { Violation } from './audit.ts';
import type { Story } from './plans.ts';
import type { Change } from './product.ts';

/** A mistake that somebody could make, and what it leads to. */
export interface PlantedBug {
  readonly bug: string;
  readonly changes: readonly Change[];
  /** The story in which it shows. */
  readonly story: Story;
  readonly leadsTo: Violation;
}

const SESSION = 'control-plane/session';
const NAMED_BY_ID_ALONE: Change = {
  file: `${SESSION}/record-names.ts`,
  find: "    name: keyed(key, 'record', caller.bindingKey, id.name),",
  replace: "    name: keyed(key, 'record', '', id.name),",
};
const LISTED_BY_ID_ALONE: Change = {
  file: `${SESSION}/record-names.ts`,
  find: "    principal: keyed(key, 'principal', caller.bindingKey, shard),",
  replace: "    principal: keyed(key, 'principal', '', shard),",
};

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    bug: 'the owner check moved behind the restore',
    changes: [
      NAMED_BY_ID_ALONE,
      LISTED_BY_ID_ALONE,
      {
        file: `${SESSION}/restorer.ts`,
        find: '      bindingKey: caller.bindingKey,\n',
        replace: '      bindingKey: JSON.stringify([summary.issuer, summary.subject, summary.tenant]),\n',
      },
      {
        file: `${SESSION}/session-manager.ts`,
        find: '    const session = await this.#restore(caller, id);\n',
        replace:
          '    const session = await this.#restore(caller, id);\n' +
          '    if (session !== undefined && session.bindingKey !== caller.bindingKey) return await this.#miss(caller, id);\n',
      },
    ],
    story: 'the owner, and a thief who holds the whole session id',
    leadsTo: 'a stranger caused a write',
  },
  {
    bug: 'hints keyed without the principal',
    changes: [NAMED_BY_ID_ALONE, LISTED_BY_ID_ALONE],
    story: 'the owner, and a thief who holds the whole session id',
    leadsTo: 'another principal’s backend session was used',
  },
  {
    bug: 'the epoch unchecked',
    changes: [
      {
        file: 'control-plane/store/rules.ts',
        find: "  if (epoch !== state.header.epoch) return { outcome: { kind: 'fenced', header: state.header } };\n",
        replace: '',
      },
    ],
    story: 'two replicas that race for the session',
    leadsTo: 'a replica served what another has taken over',
  },
  {
    bug: 'a DELETE sent after fencing',
    changes: [
      {
        file: `${SESSION}/live-session.ts`,
        find: "    this.#leave('fenced', { kind: 'disconnect' });",
        replace: "    this.#leave('fenced', { kind: 'terminate', caller: undefined });",
      },
    ],
    story: 'two replicas that race for the session',
    leadsTo: 'a backend session was deleted while its session lives',
  },
  {
    bug: 'a captured credential preferred to the request’s',
    changes: [
      {
        file: `${SESSION}/backend-link.ts`,
        find: '    const obtained = this.#options.strategy.obtain({ caller, backend: this.name, signal });',
        replace:
          '    const obtained = (this.kept ??= this.#options.strategy.obtain({ caller, backend: this.name, signal }));',
      },
    ],
    story: 'the same principal with other scopes',
    leadsTo: 'a credential other than the live call’s was used',
  },
  {
    bug: 'exchanged tokens shared by all who are the same principal, whatever their scopes',
    changes: [
      {
        file: 'control-plane/credentials/issuing-strategy.ts',
        find: '    const key = contextDigest.concat(bindingKey);\n',
        replace: '    const key = bindingKey;\n',
      },
    ],
    story: 'the same principal with other scopes',
    leadsTo: 'a credential other than the live call’s was used',
  },
  {
    bug: 'exchanged tokens kept by backend alone',
    changes: [
      {
        file: 'control-plane/credentials/issuing-strategy.ts',
        find: '    const key = contextDigest.concat(bindingKey);\n',
        replace: "    const key = '';\n",
      },
    ],
    story: 'the owner, and a thief who holds the whole session id',
    leadsTo: 'another principal’s credential reached a backend',
  },
  {
    bug: 'an exchanged token used beyond the token that it was exchanged for',
    changes: [
      {
        file: 'control-plane/credentials/credential-cache.ts',
        find: ' || this.#options.clock.now() >= entry.usableUntil',
        replace: '',
      },
    ],
    story: 'a token that ends during the restore',
    leadsTo: 'an expired credential opened a backend session',
  },
  {
    bug: 'the credential of a caller whose token has ended still opens backends',
    changes: [
      {
        file: `${SESSION}/backend-link.ts`,
        find: '    if (timeoutMs <= 0) throw expired();\n',
        replace: '',
      },
    ],
    story: 'a token that ends during the restore',
    leadsTo: 'an expired credential opened a backend session',
  },
  {
    bug: 'only the backends that answered stay desired',
    changes: [
      {
        file: `${SESSION}/live-session.ts`,
        find: 'JSON.stringify({ ...this.#body, ',
        replace: 'JSON.stringify({ ...this.#body, desired: Object.keys(hints), ',
      },
    ],
    story: 'a backend that refuses only the leader',
    leadsTo: 'the desired backends changed',
  },
  {
    bug: 'a record that is gone is taken for one that is ours',
    changes: [
      {
        file: 'control-plane/store/memory.ts',
        find: "    if (record === undefined) return { kind: 'gone' };\n    const { outcome, next } = decideTouch",
        replace:
          "    if (record === undefined) return { kind: 'ok', header: {} };\n    const { outcome, next } = decideTouch",
      },
    ],
    story: 'a DELETE during the restore',
    leadsTo: 'a session was served after its end',
  },
  {
    bug: 'a store that does not answer reads as a session that is gone',
    changes: [
      {
        file: `${SESSION}/live-session.ts`,
        find: "    if (!(thrown instanceof MeshError) || thrown.reason !== 'store_unavailable') throw thrown;\n    return await write(writeId);",
        replace: "    throw new MeshError('session_not_found', 'Session not found');",
      },
    ],
    story: 'a lost compare-and-swap',
    leadsTo: 'the owner was told that a living session is gone',
  },
];
