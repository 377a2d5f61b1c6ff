export interface Mutant {
  /** What the mesh no longer does. */
  readonly behaviour: string;
  readonly file: string;
  /** Stands exactly once in `file`. */
  readonly find: string;
  readonly replace: string;
  /** The tests of which at least one must fail. */
  readonly tests: readonly string[];
  /** Of these tests, those with this in their title. */
  readonly only?: string;
}

const SESSION = 'control-plane/session';
const CREDENTIALS = 'control-plane/credentials';
const VERIFIER = 'control-plane/identity/verifier.ts';
const INTERLEAVINGS = ['test/interleavings/identity.test.ts'];
const STORE_CONTRACT = ['test/contract/session-store.test.ts'];

/** Behaviours that must not be lost silently, each with the smallest change that loses it. */
export const MUTANTS: readonly Mutant[] = [
  {
    behaviour: 'a record’s name depends on the verified principal',
    file: `${SESSION}/record-names.ts`,
    find: "    name: keyed(key, 'record', caller.bindingKey, id.name),",
    replace: "    name: keyed(key, 'record', '', id.name),",
    tests: ['test/unit/session-names.test.ts'],
  },
  {
    behaviour: 'hints are read from a record of this name alone',
    file: `${SESSION}/record-crypto.ts`,
    find: ' || header.name !== name',
    replace: '',
    tests: ['test/unit/session-record-crypto.test.ts'],
  },
  {
    behaviour: 'a write under an older epoch is refused',
    file: 'control-plane/store/rules.ts',
    find: "  if (update.epoch !== header.epoch) return { outcome: { kind: 'fenced', header } };\n",
    replace: '',
    tests: STORE_CONTRACT,
    only: 'memory',
  },
  {
    behaviour: 'a lease under an older epoch is not renewed',
    file: 'control-plane/store/rules.ts',
    find: "  if (epoch !== state.header.epoch) return { outcome: { kind: 'fenced', header: state.header } };\n",
    replace: '',
    tests: INTERLEAVINGS,
    only: 'two replicas that race',
  },
  {
    behaviour: 'of two writes of one version one is refused',
    file: 'control-plane/store/rules.ts',
    find: "  if (update.version !== header.version) return { outcome: { kind: 'conflict', header } };\n",
    replace: '',
    tests: STORE_CONTRACT,
    only: 'memory',
  },
  {
    behaviour: 'a fenced replica disconnects and deletes nothing',
    file: `${SESSION}/live-session.ts`,
    find: "    this.#leave('fenced', { kind: 'disconnect' });",
    replace: "    this.#leave('fenced', { kind: 'terminate', caller: undefined });",
    tests: ['test/unit/session-live.test.ts'],
  },
  {
    behaviour: 'the credential is this request’s, never an earlier one’s',
    file: `${SESSION}/backend-link.ts`,
    find: '    const obtained = this.#options.strategy.obtain({ caller, backend: this.name, signal });',
    replace:
      '    const obtained = (this.kept ??= this.#options.strategy.obtain({ caller, backend: this.name, signal }));',
    tests: INTERLEAVINGS,
    only: 'same principal with other scopes',
  },
  {
    behaviour: 'an ended token opens no backend',
    file: `${SESSION}/backend-link.ts`,
    find: '    if (timeoutMs <= 0) throw expired();\n',
    replace: '',
    tests: ['test/unit/session-backend-link.test.ts'],
  },
  {
    behaviour: 'a store that does not answer is no session that is gone',
    file: `${SESSION}/live-session.ts`,
    find: "    if (!(thrown instanceof MeshError) || thrown.reason !== 'store_unavailable') throw thrown;\n    return await write(writeId);",
    replace: "    throw new MeshError('session_not_found', 'Session not found');",
    tests: ['test/unit/session-live.test.ts'],
  },
  {
    behaviour: 'a store error is 503, never 404',
    file: 'sidecar/http/answers.ts',
    find: '  store_unavailable: 503,',
    replace: '  store_unavailable: 404,',
    tests: ['test/unit/sidecar-answers.test.ts'],
  },
  {
    behaviour: 'an event has an id only when the store has the event',
    file: `${SESSION}/client-stream.ts`,
    find: 'const eventId = logged ? this.#eventId(entry.seq) : undefined;',
    replace: 'const eventId = this.#eventId(entry.seq);',
    tests: ['test/unit/session-client-stream.test.ts'],
  },
  {
    behaviour: 'an event is stored before its reader gets it',
    file: `${SESSION}/client-stream.ts`,
    find: '      const logged = await this.#options.log.append(this.id, batch.map(toEvent));\n',
    replace:
      '      const logged = true;\n      void this.#options.log.append(this.id, batch.map(toEvent)).catch(() => {});\n',
    tests: ['test/unit/session-client-stream.test.ts'],
  },
  {
    behaviour: 'what a resumed reader got from the log is not given to it again',
    file: `${SESSION}/client-stream.ts`,
    find: '    this.#storing = this.#storing.filter(({ seq: stored }) => stored > given);\n',
    replace: '',
    tests: ['test/unit/session-client-stream.test.ts'],
  },
  {
    behaviour: 'only the issuer’s configured algorithms count',
    file: VERIFIER,
    find: '      algorithms: [...settings.algorithms],\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'a token must be meant for this mesh',
    file: VERIFIER,
    find: '      audience: this.#audiences(settings, unverified.aud),\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'expiry is checked again when a cached verdict is used',
    file: VERIFIER,
    find: 'Math.min(now + this.#verdictMs(), identity.expiresAt + toleranceMs)',
    replace: 'now + this.#verdictMs()',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'unknown key ids cannot flood the issuer',
    file: 'control-plane/identity/issuer-keys.ts',
    find: '    if (this.#cooldownLeft() > 0) return Promise.resolve();\n',
    replace: '',
    tests: ['test/faults/identity.test.ts'],
  },
  {
    behaviour: 'an issuer that cannot be asked about a token has not refused it',
    file: VERIFIER,
    find: 'const answer = await introspector?.ask(token);',
    replace: 'const answer = await introspector?.ask(token).catch(() => undefined);',
    tests: ['test/unit/identity-introspection.test.ts'],
  },
  {
    behaviour: 'what forbids and cannot be evaluated denies',
    file: 'control-plane/identity/cedar-engine.ts',
    find: "return errors.some(({ policy }) => this.#forbids(policy)) ? 'deny' : decision;",
    replace: 'return decision;',
    tests: ['test/unit/identity-policies.test.ts'],
  },
  {
    behaviour: 'an argument that stands twice is not decided about',
    file: 'control-plane/identity/cedar-values.ts',
    find: 'if (seen.has(folded) || RESERVED.has(folded)) throw new Ambiguous(name);',
    replace: '',
    tests: ['test/unit/identity-policies.test.ts'],
  },
  {
    behaviour: 'a foreign origin is refused',
    file: 'sidecar/http/checks.ts',
    find: "  if (origin !== undefined && duplicate !== 'origin' && !allowsOrigin(rules, origin)) {",
    replace: '  if (false) {',
    tests: ['test/faults/http-heads.test.ts'],
  },
  {
    behaviour: 'a foreign host is refused',
    file: 'sidecar/http/checks.ts',
    find: '  if (allowsHost(rules, host)) return undefined;\n',
    replace: '  if (isWellFormedHost(host)) return undefined;\n',
    tests: ['test/faults/http-heads.test.ts'],
  },
  {
    behaviour: 'a credential is found by the exact bytes of this request’s header',
    file: 'sidecar/mesh/credential-table.ts',
    find: '    return this.#byAuthorization.get(authorization);\n',
    replace:
      '    return this.#byAuthorization.values().next().value ?? this.#byAuthorization.get(authorization);\n',
    tests: ['test/e2e/mesh-stream-credentials.test.ts'],
  },
  {
    behaviour: 'a request’s own token comes before the one that the sidecar holds',
    file: 'sidecar/http/edge.ts',
    find: 'head.authorization ?? this.#options.heldToken?.current();',
    replace: 'this.#options.heldToken?.current() ?? head.authorization;',
    tests: ['test/e2e/sidecar-http.test.ts'],
    only: 'a token of the sidecar',
  },
  {
    behaviour: 'what may have had an effect is not sent again',
    file: 'sidecar/mesh/loss-rule.ts',
    find: "    return 'resend';\n  return 'outcome_unknown';\n",
    replace: "    return 'resend';\n  return 'resend';\n",
    tests: ['test/unit/mesh-loss-rule.test.ts'],
  },
  {
    behaviour: 'a reader that stops is sent no more than its window',
    file: 'shared/rpc/outbox.ts',
    find: 'const allowance = (crowded ? PIECE_BYTES : WINDOW_BYTES) - lane.uncredited;',
    replace: 'const allowance = WINDOW_BYTES;',
    tests: ['test/unit/mesh-outbox.test.ts'],
  },
  {
    behaviour: 'a name leads to the backend that it names',
    file: 'control-plane/virtual-server/routes.ts',
    find: '    return { backend: owner.backend, original: owner.original };',
    replace: '    return { backend: this.#options.backends[0] ?? owner.backend, original: owner.original };',
    tests: ['test/unit/virtual-server-catalogue.test.ts'],
  },
  {
    behaviour: 'a definition that nobody approved is used by nobody, though the name is known',
    file: `${SESSION}/catalogues.ts`,
    find: 'if (link !== undefined && this.#options.admission.needsCurrent(backend, kind)) {',
    replace: 'if (false) {',
    tests: ['test/e2e/together/pinned-definitions.test.ts'],
    only: 'takes over',
  },
  {
    behaviour: 'a call is sent to the backend session whose definition was looked at',
    file: `${SESSION}/client-requests.ts`,
    find: 'if (shownBy !== undefined && shownBy !== sent.backend)',
    replace: 'if (false)',
    tests: ['test/e2e/together/pinned-definitions.test.ts'],
    only: 'was lost',
  },
  {
    behaviour: 'a digest in the file is that of the definition that is reviewed',
    file: 'control-plane/virtual-server/pin-file.ts',
    find: "  if (digest?.kind !== 'scalar' || digest.text !== JSON.stringify(expected))",
    replace: '  if (digest === undefined)',
    tests: ['test/unit/virtual-server-pins.test.ts'],
  },
  {
    behaviour: 'a description is that of its backend, whatever configuration shows instead',
    file: 'control-plane/virtual-server/edited-item.ts',
    find: '    given,\n',
    replace: '',
    tests: ['test/unit/virtual-server-pins.test.ts'],
  },
  {
    behaviour: 'what is hidden leads nowhere, also where a table still knows it',
    file: 'control-plane/virtual-server/routes.ts',
    find: '        if (!this.#admits(kind, { backend, original })) continue;\n',
    replace: '',
    tests: ['test/unit/virtual-server-shape.test.ts'],
  },
  {
    behaviour: 'where names are hidden, none leads to what no list has shown',
    file: 'control-plane/virtual-server/routes.ts',
    find: '    if (this.#options.shapes.get(owner.backend)?.filters(kind) === true) return undefined;\n',
    replace: '',
    tests: ['test/unit/virtual-server-shape.test.ts'],
  },
  {
    behaviour: 'a URI is judged as a server may read it, not only as it is written',
    file: 'control-plane/virtual-server/shape.ts',
    find: ' && (canonical === key || admits(filter, canonical))',
    replace: '',
    tests: ['test/unit/virtual-server-shape.test.ts'],
  },
  {
    behaviour: 'a silent backend’s name is not another’s',
    file: 'control-plane/virtual-server/routes.ts',
    find: '    const rivals = owner === undefined ? [] : this.#rivals(kind, visible, owner.backend);',
    replace: '    const rivals: string[] = [];',
    tests: ['test/unit/virtual-server-catalogue.test.ts'],
  },
  {
    behaviour: 'the id of a backend’s request has one spelling, and can be answered once',
    file: `${SESSION}/request-ids.ts`,
    find: "  if (sealed.toString('base64url') !== text.slice(dot + 1)) return undefined;\n",
    replace: '',
    tests: ['test/unit/session-request-ids.test.ts'],
  },
  {
    behaviour: 'an array’s answered requests are not answered again after a loss',
    file: `${SESSION}/stream-replay.ts`,
    find: '  return ids.filter((id) => !answered.has(id));',
    replace: '  return ids;',
    tests: ['test/unit/session-client-stream.test.ts'],
  },
  {
    behaviour: 'a key that stands twice is refused',
    file: 'shared/json-rpc/scan.ts',
    find: '    refusal === undefined\n      ? complaint(bytes, at, scanned)\n',
    replace: "    refusal !== 'never'\n      ? complaint(bytes, at, scanned)\n",
    tests: ['test/faults/json-rpc-scan.test.ts'],
  },
  {
    behaviour: 'a token with a wider scope than asked for is not used',
    file: `${CREDENTIALS}/issued-token.ts`,
    find: "    throw refused(backend, 'a token with a wider scope than asked for');\n",
    replace: '    return;\n',
    tests: ['test/unit/credential-strategies.test.ts'],
    only: 'a wider scope',
  },
  {
    behaviour: 'a token for another subject is not used',
    file: `${CREDENTIALS}/issued-token.ts`,
    find: "  if (subject !== expected.subject) throw refused(expected.backend, 'a token for another subject');\n",
    replace: '',
    tests: ['test/unit/credential-strategies.test.ts'],
    only: 'another subject',
  },
  {
    behaviour: 'an exchanged token ends with the token that it was exchanged for',
    file: `${CREDENTIALS}/issued-token.ts`,
    find: '  const ends = [expected.until];\n',
    replace: '  const ends = [Number.POSITIVE_INFINITY];\n',
    tests: ['test/unit/credential-strategies.test.ts'],
    only: 'ends with the token',
  },
  {
    behaviour: 'a backend that refuses everything asks no provider for everything',
    file: `${CREDENTIALS}/credential-cache.ts`,
    find: '    if (this.#options.clock.now() - entry.renewedAt < RENEW_EVERY_MS) return false;\n',
    replace: '',
    tests: ['test/unit/credential-cache.test.ts'],
  },
  {
    behaviour: 'passthrough hands on what names the backend, and nothing else',
    file: `${CREDENTIALS}/passthrough.ts`,
    find: '      if (!identity.audience.includes(audience)) throw notMeantFor(backend);\n',
    replace: '',
    tests: ['test/unit/credential-strategies.test.ts'],
    only: 'passthrough',
  },
  {
    behaviour: 'no token is logged',
    file: 'shared/log.ts',
    find: '...clean(fields) }, redact(message));',
    replace: '...clean(fields) }, message);',
    tests: ['test/unit/log.test.ts'],
  },
];
