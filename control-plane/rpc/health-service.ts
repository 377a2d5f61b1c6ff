import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadService } from '../../shared/rpc/proto-files.ts';

/** `grpc.health.v1.Health`, the standard service: for probes and for grpcurl. */

interface HealthRequest {
  readonly service: string;
}
interface HealthResponse {
  readonly status: 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
}
type Watcher = ServerWritableStream<HealthRequest, HealthResponse>;

export const HEALTH_SERVICE = loadService('grpc/health/v1/health.proto', 'grpc.health.v1.Health');

/** How often watchers are told, at the latest, and how many there may be. */
const WATCH_MS = 500;
const MAX_WATCHERS = 64;

export class HealthService {
  readonly #serving: () => boolean;
  readonly #names: ReadonlySet<string>;
  readonly #watchers = new Map<Watcher, HealthResponse['status']>();
  #timer: NodeJS.Timeout | undefined;

  /** `serving` answers for all of `names`; the empty name is the whole server. */
  constructor(serving: () => boolean, names: readonly string[]) {
    this.#serving = serving;
    this.#names = new Set(['', ...names]);
  }

  readonly implementation: UntypedServiceImplementation = {
    check: (call: ServerUnaryCall<HealthRequest, HealthResponse>, answer: sendUnaryData<HealthResponse>) => {
      const state = this.#state(call.request.service);
      if (state !== 'SERVICE_UNKNOWN') return answer(null, { status: state });
      answer({ code: status.NOT_FOUND, details: 'unknown service' });
    },
    list: (_call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
      const statuses = [...this.#names].map((name) => [name, { status: this.#state(name) }]);
      answer(null, { statuses: Object.fromEntries(statuses) });
    },
    watch: (call: Watcher) => this.#watch(call),
  };

  /** Tells the watchers what has changed. */
  refresh(): void {
    for (const [watcher, told] of this.#watchers) {
      const state = this.#state(watcher.request.service);
      // A watcher that does not read hears the newest state when it does.
      if (state === told || watcher.writableNeedDrain) continue;
      this.#watchers.set(watcher, state);
      watcher.write({ status: state });
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const watcher of this.#watchers.keys()) watcher.end();
    this.#watchers.clear();
  }

  #watch(call: Watcher): void {
    if (this.#watchers.size >= MAX_WATCHERS) {
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many watchers' });
      return;
    }
    const gone = () => {
      this.#watchers.delete(call);
      if (this.#watchers.size === 0) clearInterval(this.#timer);
    };
    call.on('cancelled', gone).on('close', gone).on('error', gone);
    if (this.#watchers.size === 0) {
      this.#timer = setInterval(() => this.refresh(), WATCH_MS);
      this.#timer.unref();
    }
    const state = this.#state(call.request.service);
    this.#watchers.set(call, state);
    call.write({ status: state });
  }

  #state(service: string): HealthResponse['status'] {
    if (!this.#names.has(service)) return 'SERVICE_UNKNOWN';
    return this.#serving() ? 'SERVING' : 'NOT_SERVING';
  }
}
