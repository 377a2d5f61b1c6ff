import { heapProbe } from '../../support/heap.ts';
import type { Mesh } from '../../support/mesh.ts';
import type { HttpConnection } from '../http-connection.ts';
import { cpuUs, rssBytes } from '../process-use.ts';
import { rotated } from '../rotated.ts';
import { median } from '../statistics.ts';
import type { StreamableSession } from '../streamable-session.ts';
import {
  asked,
  type Curve,
  type CurveOptions,
  type Measurement,
  type Point,
  sized,
  toFirst,
} from './curve.ts';
import { startMerged } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { callTool, connections, inTurn, listTools, openSessions, repeat } from './traffic.ts';

/** What stands at one place of a curve. */
interface Place {
  readonly at: number;
  readonly sessions: number;
  readonly backends: number;
  readonly toolsPerBackend: number;
}

const AT_ONCE = 16;
const WARM_UP_SECONDS = 0.2;
const COMPILED_SECONDS = 2;
/** What a program makes once and keeps is made by the first sessions: the others say what one weighs. */
const FIRST = 100;
/** Of lists, which no bound speaks of. */
const LIST_ROUNDS = 5;
/** What a call costs at a place, by what it costs at the first. */
export const TO_FIRST = 'to the first';
/** What a session weighs in the replica, once what can be let go is let go. */
export const SESSION_KIB = 'KiB/session';
const MIB = 2 ** 20;

export const SESSIONS_CURVE = costCurve(
  { name: 'cost by sessions', along: 'sessions' },
  [1, 100, 1_000, 2_000, 5_000],
  (at) => ({ sessions: at, backends: 5, toolsPerBackend: 14 }),
);

export const BACKENDS_CURVE = costCurve(
  { name: 'cost by backends', along: 'backends' },
  [1, 5, 20, 50],
  (at) => ({ sessions: 16, backends: at, toolsPerBackend: 10 }),
);

export const TOOLS_CURVE = costCurve({ name: 'cost by tools', along: 'tools' }, [10, 100, 1_000], (at) => ({
  sessions: 16,
  backends: 1,
  toolsPerBackend: at,
}));

/** What a call and a list cost both programs, and what they hold in memory. All places stand at once, and are measured in turn. */
function costCurve(
  curve: Pick<Curve, 'name' | 'along'>,
  places: readonly number[],
  placeOf: (at: number) => Omit<Place, 'at'>,
): Measurement {
  return {
    name: curve.name,
    async measure(options) {
      await using stage = new Opened();
      const standing: Standing[] = [];
      for (const whole of asked(places, options)) {
        const at = whole === 1 ? 1 : sized(whole, options);
        standing.push(stage.use(await Standing.start({ at, ...placeOf(at) })));
      }
      for (const each of standing) await each.warmUp();
      for (let round = 0; round < options.rounds; round += 1)
        for (const each of rotated(standing, round)) await each.calls(options);
      for (let round = 0; round < Math.min(LIST_ROUNDS, options.rounds); round += 1)
        for (const each of rotated(standing, round)) await each.lists(options);
      const ratios = toFirst(standing.map(({ costs }) => costs));
      const points = await Promise.all(
        standing.map((each, index) => each.point({ [TO_FIRST]: ratios[index] ?? Number.NaN })),
      );
      return { ...curve, points };
    },
  };
}

class Standing implements AsyncDisposable {
  readonly #place: Place;
  readonly #mesh: Mesh;
  readonly #over: readonly HttpConnection[];
  readonly #stage: Opened;
  readonly #next: () => StreamableSession;
  readonly #tool: () => string;
  readonly #sessionKib: number | undefined;
  /** Of a call in each round, in microseconds. */
  readonly costs: number[] = [];
  readonly #lists: number[] = [];
  readonly #call = (over: HttpConnection) => callTool(over, this.#next(), this.#tool());

  private constructor(options: {
    place: Place;
    mesh: Mesh;
    over: readonly HttpConnection[];
    stage: Opened;
    sessions: readonly StreamableSession[];
    tools: readonly string[];
    sessionKib: number | undefined;
  }) {
    this.#place = options.place;
    this.#mesh = options.mesh;
    this.#over = options.over;
    this.#stage = options.stage;
    this.#next = inTurn(options.sessions);
    this.#tool = inTurn(options.tools);
    this.#sessionKib = options.sessionKib;
  }

  static async start(place: Place): Promise<Standing> {
    const stage = new Opened();
    try {
      const probe = stage.use(await heapProbe());
      const { mesh, tools } = await startMerged(stage, {
        ...place,
        sidecarConfig: { limits: { connections: 4_096 } },
        env: probe.env,
      });
      const over = await connections(mesh.url, AT_ONCE);
      for (const connection of over) stage.defer(() => connection.close());
      const open = (count: number) => openUsed(over, { url: mesh.url, count, tool: tools[0] ?? '' });
      const sessions = await open(Math.min(FIRST, place.sessions));
      const rest = place.sessions - sessions.length;
      const [replica] = mesh.replicas;
      let sessionKib: number | undefined;
      if (replica !== undefined && rest > 0) {
        const before = await probe.held(replica);
        sessions.push(...(await open(rest)));
        sessionKib = ((await probe.held(replica)) - before) / 1_024 / rest;
      }
      return new Standing({ place, mesh, over, stage, sessions, tools, sessionKib });
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Until what a call runs through is compiled, however few sessions were opened for it. */
  async warmUp(): Promise<void> {
    await this.#cost(COMPILED_SECONDS, this.#call);
  }

  async calls({ seconds }: CurveOptions): Promise<void> {
    await this.#useAll();
    this.costs.push(await this.#cost(seconds, this.#call));
  }

  async lists({ seconds }: CurveOptions): Promise<void> {
    this.#lists.push(await this.#cost(seconds, (over) => listTools(over, this.#next())));
  }

  async point(more: Point['values']): Promise<Point> {
    const [sidecar = 0, replica = 0] = await Promise.all(this.#pids.map(rssBytes));
    return {
      at: this.#place.at,
      values: {
        'CPU µs/call': median(this.costs),
        ...more,
        'CPU µs/list': median(this.#lists),
        'sidecar MiB': sidecar / MIB,
        'replica MiB': replica / MIB,
        ...(this.#sessionKib === undefined ? {} : { [SESSION_KIB]: this.#sessionKib }),
      },
    };
  }

  get #pids(): readonly number[] {
    return [this.#mesh.sidecar.pid, ...this.#mesh.replicas.map(({ pid }) => pid)];
  }

  /**
   * In each session one call, which does not count: while the other places had their turns nobody used any, and
   * a session that rests for a second asks the store at its next call. What is measured is steady use.
   */
  async #useAll(): Promise<void> {
    let left = this.#place.sessions;
    await Promise.all(
      this.#over.map(async (connection) => {
        while (left > 0) {
          left -= 1;
          await this.#call(connection);
        }
      }),
    );
  }

  /** CPU of both programs for one time, in microseconds. */
  async #cost(seconds: number, once: (connection: HttpConnection) => Promise<unknown>): Promise<number> {
    await repeat(this.#over, Math.min(WARM_UP_SECONDS, seconds), once);
    const used = async () => (await Promise.all(this.#pids.map(cpuUs))).reduce((sum, each) => sum + each, 0);
    const before = await used();
    const times = await repeat(this.#over, seconds, once);
    return ((await used()) - before) / times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stage[Symbol.asyncDispose]();
  }
}

/** Sessions in each of which the list was read and a tool called. */
async function openUsed(
  over: readonly HttpConnection[],
  { url, count, tool }: { readonly url: string; readonly count: number; readonly tool: string },
): Promise<StreamableSession[]> {
  const sessions = await openSessions(over, { url }, count);
  const left = [...sessions];
  await Promise.all(
    over.map(async (connection) => {
      for (let session = left.pop(); session !== undefined; session = left.pop()) {
        await listTools(connection, session);
        await callTool(connection, session, tool);
      }
    }),
  );
  return sessions;
}
