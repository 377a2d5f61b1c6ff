import type { Mesh } from '../../support/mesh.ts';
import type { HttpConnection } from '../http-connection.ts';
import { cpuUs, rssBytes } from '../process-use.ts';
import { median } from '../statistics.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { type Curve, type CurveOptions, type Measurement, sized } from './curve.ts';
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
const WARM_UP_SECONDS = 0.5;
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
      for (const whole of places) {
        const at = whole === 1 ? 1 : sized(whole, options);
        standing.push(stage.use(await Standing.start({ at, ...placeOf(at) })));
      }
      for (let round = -1; round < options.rounds; round += 1)
        for (const each of standing) await each.round(options, round >= 0);
      return { ...curve, points: await Promise.all(standing.map((each) => each.point())) };
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
  readonly #calls: number[] = [];
  readonly #lists: number[] = [];

  private constructor(options: {
    place: Place;
    mesh: Mesh;
    over: readonly HttpConnection[];
    stage: Opened;
    sessions: readonly StreamableSession[];
    tools: readonly string[];
  }) {
    this.#place = options.place;
    this.#mesh = options.mesh;
    this.#over = options.over;
    this.#stage = options.stage;
    this.#next = inTurn(options.sessions);
    this.#tool = inTurn(options.tools);
  }

  static async start(place: Place): Promise<Standing> {
    const stage = new Opened();
    try {
      const { mesh, tools } = await startMerged(stage, {
        ...place,
        sidecarConfig: { limits: { connections: 4_096 } },
      });
      const over = await connections(mesh.url, AT_ONCE);
      for (const connection of over) stage.defer(() => connection.close());
      const sessions = await openSessions(over, { url: mesh.url }, place.sessions);
      const next = inTurn(sessions);
      let left = sessions.length;
      await Promise.all(
        over.map(async (connection) => {
          while (left > 0) {
            left -= 1;
            const session = next();
            await listTools(connection, session);
            await callTool(connection, session, tools[0] ?? '');
          }
        }),
      );
      return new Standing({ place, mesh, over, stage, sessions, tools });
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  async round({ seconds }: CurveOptions, counts: boolean): Promise<void> {
    const call = (connection: HttpConnection) => callTool(connection, this.#next(), this.#tool());
    const list = (connection: HttpConnection) => listTools(connection, this.#next());
    const ofCalls = await this.#cost(seconds, call);
    const ofLists = await this.#cost(seconds / 3, list);
    if (!counts) return;
    this.#calls.push(ofCalls);
    this.#lists.push(ofLists);
  }

  async point() {
    const [sidecar = 0, replica = 0] = await Promise.all(this.#pids.map(rssBytes));
    return {
      at: this.#place.at,
      values: {
        'CPU µs/call': median(this.#calls),
        'CPU µs/list': median(this.#lists),
        'sidecar MiB': sidecar / MIB,
        'replica MiB': replica / MIB,
      },
    };
  }

  get #pids(): readonly number[] {
    return [this.#mesh.sidecar.pid, ...this.#mesh.replicas.map(({ pid }) => pid)];
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
