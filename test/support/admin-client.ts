import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, loadSync } from '@grpc/proto-loader';
import type { Certificates } from '../../shared/config/certificates.ts';

/** A message as the proto loader has it. */
export type Message = Readonly<Record<string, unknown>>;

export interface AdminClientOptions {
  /** Of a replica, `host:port`. */
  readonly address: string;
  readonly token?: string | undefined;
  /** Over TLS, with a client certificate or without. */
  readonly tls?: Pick<Certificates, 'ca'> & Partial<Certificates>;
  /** The version of the reflection service; `v1` when absent. */
  readonly reflection?: 'v1' | 'v1alpha';
  /** The admin API when absent. */
  readonly service?: string;
}

/** A stock gRPC client of the admin API: all that it knows of it the server told, by reflection. */
export class AdminClient implements Disposable {
  readonly services: readonly string[];
  readonly #client: Client;
  readonly #service: ServiceDefinition;
  readonly #metadata = new Metadata();

  private constructor(
    client: Client,
    found: { readonly services: readonly string[]; readonly service: ServiceDefinition },
    token: string | undefined,
  ) {
    this.#client = client;
    this.services = found.services;
    this.#service = found.service;
    if (token !== undefined) this.#metadata.set('authorization', `Bearer ${token}`);
  }

  static async open(options: AdminClientOptions): Promise<AdminClient> {
    const { address, token, tls, reflection = 'v1', service: symbol = ADMIN } = options;
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
    const channel = tls && credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
    const client = new Client(address, channel ?? credentials.createInsecure());
    const services = await listServices(client, reflection);
    const service = await describe(client, { reflection, symbol });
    return new AdminClient(client, { services, service }, token);
  }

  get methods(): readonly string[] {
    return Object.keys(this.#service);
  }

  /** Those that answer with a stream. */
  get watches(): readonly string[] {
    return this.methods.filter((method) => this.#method(method).responseStream);
  }

  /** With more metadata from now on. */
  show(name: string, value: string | Buffer): void {
    this.#metadata.set(name, value);
  }

  /** Rejects with a `ServiceError`. */
  ask(method: string, request: Message = {}): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        (bytes) => responseDeserialize(bytes) as Message,
        request,
        this.#metadata,
        { deadline: Date.now() + 10_000 },
        (error, answer) => (error === null ? resolve(answer ?? {}) : reject(error)),
      );
    });
  }

  /** Why a question is refused; rejects when it is not. */
  async refused(method: string, request: Message = {}): Promise<ServiceError> {
    try {
      await this.ask(method, request);
    } catch (thrown) {
      return thrown as ServiceError;
    }
    throw new Error(`${method} was answered`);
  }

  /** What a watch says, as long as somebody reads. */
  async *watch(method: string, request: Message = {}): AsyncGenerator<Message, void> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      (bytes) => responseDeserialize(bytes) as Message,
      request,
      this.#metadata,
      { deadline: Date.now() + 15_000 },
    );
    try {
      for await (const event of call) yield event as Message;
    } finally {
      call.on('error', () => {});
      call.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(name: string): MethodDefinition<object, object> {
    const method = this.#service[name];
    if (method === undefined) throw new Error(`the server describes no ${name}`);
    return method as MethodDefinition<object, object>;
  }
}

const ADMIN = 'outrigger.admin.v1.Admin';
const REFLECTION = new URL('../../node_modules/@grpc/reflection/build/proto/', import.meta.url).pathname;

function reflectionMethod(version: string): MethodDefinition<object, object> {
  const loaded = loadSync(`grpc/reflection/${version}/reflection.proto`, { includeDirs: [REFLECTION] });
  const service = loaded[`grpc.reflection.${version}.ServerReflection`] as ServiceDefinition;
  return service['ServerReflectionInfo'] as MethodDefinition<object, object>;
}

function reflect(client: Client, version: string, request: object): Promise<Message> {
  const { path, requestSerialize, responseDeserialize } = reflectionMethod(version);
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, {
    deadline: Date.now() + 10_000,
  });
  return new Promise((resolve, reject) => {
    call.on('data', (message: Message) => {
      resolve(message);
      call.end();
    });
    call.on('error', reject);
    call.write(request);
  });
}

async function listServices(client: Client, version: string): Promise<string[]> {
  const answer = await reflect(client, version, { listServices: '' });
  const { service } = answer['listServicesResponse'] as { service: { name: string }[] };
  return service.map(({ name }) => name);
}

async function describe(
  client: Client,
  { reflection, symbol }: { readonly reflection: string; readonly symbol: string },
): Promise<ServiceDefinition> {
  const answer = await reflect(client, reflection, { fileContainingSymbol: symbol });
  const { fileDescriptorProto } = answer['fileDescriptorResponse'] as { fileDescriptorProto: Buffer[] };
  const loaded = loadFileDescriptorSetFromBuffer(Buffer.concat(fileDescriptorProto.map(asFile)), {
    longs: Number,
    enums: String,
    defaults: true,
  });
  return loaded[symbol] as ServiceDefinition;
}

/** As `file = 1` of a FileDescriptorSet. */
function asFile(bytes: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    if (rest < 0x80) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  return Buffer.concat([Buffer.from([0x0a, ...length]), bytes]);
}
