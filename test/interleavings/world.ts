import { AsyncLocalStorage } from 'node:async_hooks';
import type { Scheduler } from 'fast-check';
import type { CredentialStrategy } from '../../control-plane/credentials/strategy.ts';
import type { Caller } from '../../control-plane/identity/caller.ts';
import type { ReplySink } from '../../control-plane/rpc/exchange.ts';
import type { LiveSession, SessionEnvironment } from '../../control-plane/session/live-session.ts';
import type { SessionManager } from '../../control-plane/session/session-manager.ts';
import type { SessionObserver } from '../../control-plane/session/session-observer.ts';
import type { SessionBody } from '../../control-plane/session/session-record.ts';
import type { SessionStore } from '../../control-plane/store/session-store.ts';
import { Audit, exchangedFor, type LiveRequest, SERVICE, tokenOf } from './audit.ts';
import type { Cast } from './cast.ts';
import type { Fault, Plan, Step } from './plans.ts';
import type { Product } from './product.ts';
import { RecordingServer } from './recording-backend.ts';
import { VirtualClock } from './virtual-clock.ts';
import { watchedStore } from './watched-store.ts';

const LEASE_MS = 1_000;
const REPLICAS = ['replica-a', 'replica-b'] as const;
/** The owner's session; the thief has one of its own beside it. */
const OWNERS = 'of the owner';
const THIEFS = 'of the thief';
/** Each caller has its own credential at `notes`, and one that is exchanged for it at `vault`; at `files` the mesh has one for all. */
const DESIRED = ['notes', 'files', 'vault'] as const;
const RETRIES = 3;
const KEYS = [{ id: 'k1', key: new Uint8Array(32).fill(1) }];
const INDEX = { current: new Uint8Array(32).fill(2) };
/** On whose behalf the present work is done. One for all plays: each costs every promise of the process. */
const acting = new AsyncLocalStorage<Caller>();

interface Replica {
  readonly name: string;
  readonly manager: SessionManager;
  readonly env: SessionEnvironment;
}

/** Two replicas over one store, two backends, and the sessions of two principals that no replica holds yet. */
export class World {
  readonly audit: Audit;
  readonly #product: Product;
  readonly #cast: Cast;
  readonly #plan: Plan;
  readonly #clock: VirtualClock;
  readonly #schedule: Scheduler;
  readonly #shared;
  readonly #servers: readonly RecordingServer[];
  readonly #replicas: Replica[] = [];
  readonly #ids = new Map<string, string>();
  readonly #requests: LiveRequest[] = [];
  readonly #crypto;
  readonly #observer: SessionObserver;
  #scheduling = false;
  #updates = 0;

  constructor(options: { product: Product; cast: Cast; plan: Plan; schedule: Scheduler }) {
    const { product, cast, plan, schedule } = options;
    this.#product = product;
    this.#cast = cast;
    this.#plan = plan;
    this.#schedule = schedule;
    this.#clock = new VirtualClock(cast.start);
    this.#shared = new product.SharedMemory();
    this.#crypto = new product.RecordCrypto(KEYS);
    this.audit = new Audit({ clock: this.#clock, leaseMs: LEASE_MS, shared: this.#shared });
    this.#observer = {
      created: () => {},
      restored: (result) => this.audit.count(`restore ${result}`),
      unreadable: () => {},
      mismatched: () => this.audit.count('mismatch'),
      ended: (_session, why) => this.audit.count(why),
      dropped: () => {},
      otherVersion: () => {},
      refused: () => {},
      audited: false,
      decided: () => {},
      backendCall: () => {},
    };
    const refuses = new Set(plan.refused.map((role) => tokenOf(cast[role])));
    this.#servers = DESIRED.map(
      (name) =>
        new RecordingServer({
          name,
          product,
          audit: this.audit,
          refuses: name === 'notes' ? refuses : new Set(),
          point: (what) => this.#point(what),
          causeOf: (pieces) => this.#requests[Number(Buffer.concat(pieces).toString('utf8'))],
        }),
    );
  }

  /** Plays the plan to its end. Whatever must not happen is then in `audit`. */
  async run(): Promise<void> {
    const founder = this.#replica('replica-gone');
    await this.#found(founder, OWNERS, this.#cast.owner);
    await this.#found(founder, THIEFS, this.#cast.thief);
    await founder.manager.stop();
    this.#scheduling = true;
    this.#replicas.push(...REPLICAS.map((name) => this.#replica(name)));
    const play = Promise.all(this.#plan.actors.map((steps) => this.#act(steps)));
    await this.#drive(play);
    this.#scheduling = false;
    await Promise.all(this.#replicas.map(({ manager }) => manager.stop()));
    this.audit.finish();
  }

  /** One task at a time, each with all that follows from it, so that a seed tells the same story again; also what nobody waits for any more. */
  async #drive(play: Promise<unknown>): Promise<void> {
    let over = false;
    const end = play.finally(() => {
      over = true;
    });
    for (await settled(); !over || this.#schedule.count() > 0; await settled()) {
      if (this.#schedule.count() === 0) throw new Error('somebody waits for nothing');
      await this.#schedule.waitOne();
    }
    await end;
  }

  async #act(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#point(step.do);
      switch (step.do) {
        case 'wait':
          this.#clock.advance(step.ms);
          break;
        case 'forget':
          for (const server of this.#servers) server.forget();
          break;
        case 'call':
        case 'end':
          await this.#request(step);
      }
    }
  }

  async #request(step: Extract<Step, { readonly do: 'call' | 'end' }>): Promise<void> {
    const caller = this.#cast[step.as];
    // Verified for each request: a token that has ended gets no further than the edge.
    if (caller.kind === 'identified' && caller.expiresAt <= this.#clock.now()) return;
    const replica = this.#replicas[step.at];
    if (replica === undefined) throw new Error('no such replica');
    const request: LiveRequest = { caller, replica: replica.name, session: OWNERS };
    this.audit.arrived(request);
    this.#requests.push(request);
    await acting.run(caller, () => this.#answer(step, replica, request));
  }

  async #answer(
    step: Extract<Step, { readonly do: 'call' | 'end' }>,
    replica: Replica,
    request: LiveRequest,
  ): Promise<void> {
    for (let attempt = 0; attempt < RETRIES; attempt += 1) {
      const outcome = step.do === 'end' ? this.#end(replica, request) : this.#call(step, replica, request);
      const left = step.do === 'call' && step.leaves ? this.#point('leave') : new Promise<never>(() => {});
      const reason = await Promise.race([outcome, left.then(() => 'left')]);
      if (reason !== 'session_busy' && reason !== 'store_unavailable') return;
      await this.#point('retry');
    }
  }

  async #end(replica: Replica, request: LiveRequest): Promise<string> {
    return this.#reason(request, async () => {
      await replica.manager.terminate(request.caller, this.#id(request.session));
      this.audit.ended(request.session);
    });
  }

  #call(
    step: Extract<Step, { readonly do: 'call' }>,
    replica: Replica,
    request: LiveRequest,
  ): Promise<string> {
    const moved = new this.#product.MeshError('outcome_unknown', 'The session is served elsewhere.');
    return this.#reason(request, async () => {
      const { caller } = request;
      const session = await replica.manager.acquire(caller, this.#id(request.session));
      const link = session.links.get(step.backend);
      if (link === undefined) throw new Error('a desired backend is missing');
      const tag = Buffer.from(String(this.#requests.indexOf(request)));
      const call = this.#running(session, caller, tag);
      session.calls.set(tag.toString(), call);
      try {
        await this.#product.callBackend(
          {
            clock: this.#clock,
            observer: this.#observer,
            timeouts: () => ({ requestMs: 60_000, humanPacedMs: 60_000 }),
            grantableScopes: () => new Set(),
          },
          {
            session,
            link,
            caller,
            method: 'tools/call',
            build: () => [tag],
            signal: new AbortController().signal,
            onMessage: () => {},
            onSend: (sent) => call.sending(sent),
          },
        );
        call.answer([tag]);
      } catch (thrown) {
        // Its client has been answered already, when the session left the replica.
        if (call.over) throw moved;
        throw thrown;
      } finally {
        session.calls.delete(tag.toString());
        session.streams.delete(call.stream.id);
      }
    });
  }

  #running(session: LiveSession, caller: Caller, id: Buffer) {
    const stream = new this.#product.ClientStream(new QuietReader(), {
      id: session.nextStreamId('c'),
      epoch: session.epoch,
      log: session.events,
      owes: 1,
      requestIds: [id.toString()],
      priming: true,
      onDone: () => {},
    });
    return new this.#product.RunningCall({
      method: 'tools/call',
      stream,
      caller,
      id,
      requestId: 'r',
      progressToken: undefined,
    });
  }

  async #reason(request: LiveRequest, work: () => Promise<void>): Promise<string> {
    try {
      await work();
      this.audit.answered(request, 'ok');
      return 'ok';
    } catch (thrown) {
      const { reason } = this.#product.MeshError.from(thrown);
      this.audit.answered(request, reason);
      return reason;
    }
  }

  /** A session that some replica made and then left behind. */
  async #found({ name, manager }: Replica, session: string, caller: Caller): Promise<void> {
    const body: SessionBody = {
      protocolVersion: '2025-11-25',
      initializeParams: JSON.stringify({ clientInfo: { name: session } }),
      virtualServer: 'default',
      desired: DESIRED,
      subscriptions: [],
      opened: [],
      hints: {},
    };
    const summary = { client: 'test', virtualServer: 'default', backends: DESIRED, ...bindingOf(caller) };
    const made = await manager.begin(caller, { body, summary });
    this.audit.knows(session, { key: made.key, owner: caller, desired: DESIRED });
    this.audit.arrived({ caller, replica: name, session });
    this.#ids.set(session, made.id.text);
    const opened = this.#plan.hinted ? [...made.links.values()] : [];
    await Promise.all(opened.map((link) => link.ensure(caller)));
    await manager.adopt(made, caller);
  }

  #replica(name: string): Replica {
    const { RecordNames, SessionManager } = this.#product;
    const held: { manager?: SessionManager } = {};
    const env: SessionEnvironment = {
      replica: name,
      store: this.#store(name),
      clock: this.#clock,
      crypto: this.#crypto,
      limits: { sessionIdleMs: this.#plan.idleMs, sessionAbsoluteMs: 3_600_000, leaseMs: LEASE_MS },
      backends: new Map(
        this.#servers.map((server) => [
          server.name,
          { backend: server.from(name), strategy: this.#strategy(server.name) },
        ]),
      ),
      desired: ({ desired }) => desired,
      initializeTimeoutMs: () => 10_000,
      cutParams: (params) => Buffer.from(params),
      handlers: {
        backendMessage: () => {},
        backendOpened: () => {},
        prepareBackend: () => this.#point('prepare'),
        ended: (session, state) => {
          const error = new this.#product.MeshError('outcome_unknown', 'The session is served elsewhere.');
          for (const call of session.calls.values()) call.abandon(error, [call.id]);
          held.manager?.forget(session, state);
        },
      },
    };
    held.manager = new SessionManager({
      env,
      names: new RecordNames(INDEX),
      observer: this.#observer,
      onEnded: () => {},
      limits: {
        liveBytes: Number.POSITIVE_INFINITY,
        restoreDeadlineMs: 15_000,
        restoresAtOnce: 64,
        liveSessions: 100,
        sessionsPerPrincipal: 100,
        anonymousPerSidecar: 100,
        initializePerMinute: 600,
        initializeBurst: 100,
        sessionIdleMs: this.#plan.idleMs,
      },
    });
    return { name, manager: held.manager, env };
  }

  #strategy(backend: string): CredentialStrategy {
    const service = { authorization: SERVICE };
    if (backend === 'files') return { name: 'service', obtain: () => service, unattended: () => service };
    if (backend === 'vault') return this.#exchange(backend);
    return {
      name: 'own',
      obtain: async ({ caller }) => {
        await this.#point('credential');
        const token = tokenOf(caller);
        if (token === undefined) throw new this.#product.MeshError('backend_unauthorized', 'no credential');
        return { authorization: token };
      },
    };
  }

  /** The strategy that the product has for exchanged tokens, with its cache, before a provider that takes its time. */
  #exchange(backend: string): CredentialStrategy {
    const { callersOwn, MeshError } = this.#product;
    const refused = new Set<Caller>(this.#plan.refused.map((role) => this.#cast[role]));
    const environment = {
      backend,
      clock: this.#clock,
      fetch: () => Promise.reject(new Error('nothing is fetched')),
      onIssue: ({ outcome }: { readonly outcome: string }) => this.audit.count(`exchange ${outcome}`),
    };
    return callersOwn('exchange', environment, async (caller) => {
      await this.#point('exchange');
      if (refused.has(caller) || caller.expiresAt <= this.#clock.now())
        throw new MeshError('backend_unauthorized', 'no credential');
      return {
        credential: { authorization: exchangedFor(caller.token) },
        expiresAt: caller.expiresAt,
      };
    });
  }

  #store(replica: string): SessionStore {
    return watchedStore({
      product: this.#product,
      audit: this.audit,
      clock: this.#clock,
      shared: this.#shared,
      point: (what) => this.#point(`${replica} ${what}`),
      actor: () => acting.getStore(),
      desiredIn: (name, sealed) => this.#desiredIn(name, sealed),
      fault: () => this.#fault(),
    });
  }

  /** What a sealed body names as desired. */
  #desiredIn(name: string, sealed: string): readonly string[] | undefined {
    for (const id of this.#ids.values()) {
      const secret = Buffer.from(id, 'base64url').subarray(16);
      const body = this.#product.parseBody(this.#crypto.openBody(name, secret, sealed) ?? '');
      if (body !== undefined) return body.desired;
    }
    return undefined;
  }

  #fault(): Fault {
    if (!this.#scheduling) return 'none';
    this.#updates += 1;
    return this.#plan.faults[this.#updates - 1] ?? 'none';
  }

  #point(what: string): Promise<void> {
    return this.#scheduling ? this.#schedule.schedule(Promise.resolve(), what) : Promise.resolve();
  }

  #id(session: string): string {
    const id = this.#ids.get(session);
    if (id === undefined) throw new Error(`no session ${session}`);
    return id;
  }
}

/** Resolves when every promise that can go on has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function bindingOf(caller: Caller) {
  return caller.kind === 'identified' ? caller.binding : { issuer: '', subject: '', tenant: '' };
}

/** A reader that takes everything and looks at nothing. */
class QuietReader implements ReplySink {
  closed = false;

  json(): void {
    this.closed = true;
  }
  accepted(): void {
    this.closed = true;
  }
  stream(): void {}
  event(): boolean {
    return true;
  }
  end(): void {
    this.closed = true;
  }
  fail(): void {
    this.closed = true;
  }
}
