import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js';
import {
  CONNECT,
  type ReceivedReplicaFrame,
  type ReceivedReplicaFrames,
  type ReceivedSidecarFrame,
  type ReceivedSidecarFrames,
  type ReplicaFrame,
  type SidecarFrame,
} from '../../shared/rpc/mesh-protocol.ts';
import { until } from './mesh-stream.ts';

/** A sidecar that says exactly what a test tells it to, frame by frame or byte by byte. */
export interface RawSidecar extends AsyncDisposable {
  readonly frames: readonly ReceivedReplicaFrame[];
  /** The status that the replica ended the stream with. */
  readonly ended: Promise<StatusObject>;
  /** One gRPC message. */
  say(...frames: SidecarFrame[]): void;
  sayBytes(bytes: Buffer): void;
  /** Resolves when a frame came for which this holds. */
  heard(holds: (frame: ReceivedReplicaFrame) => boolean): Promise<ReceivedReplicaFrame>;
  /** Sends no more. */
  halfClose(): void;
}

export const HELLO: SidecarFrame = { hello: { node: 'raw', build: 'test', virtualServer: 'default' } };

export function rawSidecar(address: string, options: { metadata?: Metadata } = {}): RawSidecar {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  });
  const serialize = (message: Buffer | { frames: SidecarFrame[] }) =>
    Buffer.isBuffer(message) ? message : CONNECT.requestSerialize(message);
  const call: ClientDuplexStream<Buffer | { frames: SidecarFrame[] }, ReceivedReplicaFrames> =
    client.makeBidiStreamRequest(
      CONNECT.path,
      serialize,
      CONNECT.responseDeserialize,
      options.metadata ?? new Metadata(),
    );
  const frames: ReceivedReplicaFrame[] = [];
  call.on('data', (message: ReceivedReplicaFrames) => frames.push(...message.frames));
  call.on('error', () => {});
  const ended = new Promise<StatusObject>((resolve) => call.on('status', resolve));
  return {
    frames,
    ended,
    say: (...said) => void call.write({ frames: said }),
    sayBytes: (bytes) => void call.write(bytes),
    halfClose: () => void call.end(),
    async heard(holds) {
      await until(() => frames.some(holds));
      return frames.find(holds)!;
    },
    async [Symbol.asyncDispose]() {
      call.cancel();
      await ended;
      client.close();
    },
  };
}

/** A replica that says exactly what a test tells it to. */
export interface RawReplica extends AsyncDisposable {
  readonly address: string;
  readonly frames: readonly ReceivedSidecarFrame[];
  /** One gRPC message on the newest stream. */
  say(...frames: ReplicaFrame[]): void;
  sayBytes(bytes: Buffer): void;
  heard(holds: (frame: ReceivedSidecarFrame) => boolean): Promise<ReceivedSidecarFrame>;
}

export async function rawReplica(): Promise<RawReplica> {
  const server = new Server();
  const frames: ReceivedSidecarFrame[] = [];
  let call: ServerDuplexStream<ReceivedSidecarFrames, Buffer | { frames: ReplicaFrame[] }> | undefined;
  const responseSerialize = (message: Buffer | { frames: ReplicaFrame[] }) =>
    Buffer.isBuffer(message) ? message : CONNECT.responseSerialize(message);
  server.addService(
    { connect: { ...CONNECT, responseSerialize } },
    {
      connect: (stream: NonNullable<typeof call>) => {
        call = stream;
        stream.on('data', (message: ReceivedSidecarFrames) => frames.push(...message.frames));
        stream.on('end', () => stream.end());
        stream.on('error', () => {});
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    frames,
    say: (...said) => void call?.write({ frames: said }),
    sayBytes: (bytes) => void call?.write(bytes),
    async heard(holds) {
      await until(() => frames.some(holds));
      return frames.find(holds)!;
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

/** A frame with a field that no one knows, in protobuf: field 99, two bytes. */
export const UNKNOWN_FRAME = Buffer.from([0x0a, 0x05, 0x9a, 0x06, 0x02, 0x68, 0x69]);
