import { checkServerIdentity } from 'node:tls';
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Authorities } from '../../shared/config/certificates.ts';
import { retryAfter } from '../../shared/rpc/retry-info.ts';
import { spiffeIdOf } from '../../shared/spiffe-id.ts';
import { ADMIN_SERVICE } from './admin-protocol.ts';
import { isLoopback } from './mesh-server.ts';
import { tlsChannel } from './tls-channel.ts';

/** A message as the proto loader has it. */
export type AdminMessage = Readonly<Record<string, unknown>>;

export interface AdminTls extends Authorities {
  /** The replica's SPIFFE id, looked at instead of its name. */
  readonly serverId?: string;
}

export interface AdminTarget {
  /** Of any replica, `host:port`. */
  readonly address: string;
  readonly token: string | undefined;
  /** PEM. Without `ca` plain text, which goes to this machine alone. */
  readonly tls: AdminTls | undefined;
}

/** Why an admin question has no answer. */
export class AdminCallError extends Error {
  override readonly name = 'AdminCallError';
  /** The name of the gRPC status, such as `NOT_FOUND`. */
  readonly status: string;
  readonly retryAfterMs: number | undefined;

  constructor({ code, details, metadata }: Pick<ServiceError, 'code' | 'details' | 'metadata'>) {
    super(plainly(details));
    this.status = status[code];
    this.retryAfterMs = retryAfter(metadata);
  }
}

/** The library's way to say that nobody could be reached, cut to the system's own words. */
function plainly(details: string): string {
  return (
    /^No connection established\. Last error: (?:Error: )?(.+?)\. Resolution note:/.exec(details)?.[1] ??
    details
  );
}

const DEADLINE_MS = 15_000;

/** The admin API of a mesh, for programs. Calls reject with `AdminCallError`. */
export class AdminConnection {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  /** Connects with the first call. Throws `AdminCallError` where a token would leave this machine in clear text. */
  constructor({ address, token, tls }: AdminTarget) {
    if (tls === undefined && !isLoopback(address)) throw new AdminCallError(inClearText(address));
    const channel = tls === undefined ? PLAIN_TEXT : secured(address, tls);
    this.#client = new Client(address, channel.credentials, {
      ...channel.options,
      'grpc.enable_http_proxy': 0,
    });
    if (token !== undefined) this.#metadata.set('authorization', `Bearer ${token}`);
  }

  /** One question, by its name in `admin.proto`. */
  ask(method: string, request: AdminMessage): Promise<AdminMessage> {
    const { path, requestSerialize, responseDeserialize } = definition(method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        (bytes) => responseDeserialize(bytes) as AdminMessage,
        request,
        this.#metadata,
        { deadline: Date.now() + DEADLINE_MS },
        (error, answer) => {
          if (error === null) resolve(answer ?? {});
          else reject(new AdminCallError(error));
        },
      );
    });
  }

  /** What a watch says, until the signal or the watch's own end. */
  async *watch(method: string, request: AdminMessage, signal: AbortSignal): AsyncGenerator<AdminMessage> {
    const { path, requestSerialize, responseDeserialize } = definition(method);
    const call: ClientReadableStream<object> = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadata,
    );
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel);
    try {
      for await (const event of call) yield event as AdminMessage;
    } catch (thrown) {
      if (!signal.aborted) throw new AdminCallError(thrown as ServiceError);
    } finally {
      signal.removeEventListener('abort', cancel);
      call.on('error', () => {});
      call.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }
}

function definition(method: string): MethodDefinition<object, object> {
  const found = ADMIN_SERVICE[method];
  if (found === undefined) throw new Error(`the admin API has no method ${method}`);
  return found;
}

const PLAIN_TEXT = { credentials: credentials.createInsecure(), options: {} };

function secured(address: string, { serverId, ...certificates }: AdminTls): ReturnType<typeof tlsChannel> {
  return tlsChannel(address, {
    certificates,
    check: (host, certificate) => {
      if (serverId === undefined) return checkServerIdentity(host, certificate);
      return spiffeIdOf(certificate.subjectaltname) === serverId
        ? undefined
        : new Error(`it is not ${serverId}`);
    },
  });
}

function inClearText(address: string) {
  const details = `${address} is not on this machine: a token goes there under TLS only (--ca)`;
  return { code: status.FAILED_PRECONDITION, details, metadata: new Metadata() };
}
