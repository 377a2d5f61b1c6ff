import { FrameWriter, type Pieces } from './frame-writer.ts';
import { outrigger } from './gen/mesh.js';

/**
 * The mesh stream as both ends see it: the numbers of `mesh.proto`, its message
 * types, and the gRPC method that carries them. The codec is static code made
 * from the proto (`node .ci/generate.mjs`): one pass over a message instead of the
 * two of a reflective one, and no parser in the sidecar's memory.
 */

/** The longest piece of a message in one frame, in bytes. */
export const PIECE_BYTES = 32 * 1024;
/** Credit of each direction of each exchange, in bytes of body. */
export const WINDOW_BYTES = 256 * 1024;
/** While more waits for credit on a stream, an exchange may have only one piece waiting. */
export const STREAM_CEILING_BYTES = 16 * 1024 * 1024;
/** About how much leaves in one gRPC message, in bytes. */
export const MESSAGE_BYTES = 128 * 1024;
/** Messages handed to grpc-js and not yet written by it. More would only pile up behind each other. */
export const MAX_UNWRITTEN = 2;
/** An exchange for which more than this waits when more comes is cut. */
export const CUT_BYTES = 1024 * 1024;
/** A reader that consumes nothing for this long while something waits is cut. */
export const CUT_MS = 30_000;
/** Hello and Welcome are owed within this. */
export const GREETING_MS = 3_000;
/** The message limit where configuration sets no other, in bytes. */
export const DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** The feature under which a sidecar may answer lists by itself. */
export const CAPABILITIES = 'capabilities';
/** The feature under which a sidecar knows about proofs of possession. */
export const PROOFS = 'proofs';
/** How often a sidecar reports the sessions whose lists it answered. */
export const ACTIVE_MS = 30_000;
/** Item hashes in one Held. */
export const MAX_HELD_ITEMS = 4_096;
/** What stands behind the last item of a list. */
export const LIST_TAIL = Buffer.from(']}');

const wire = outrigger.mesh.v1;

type InPieces<M> = Omit<M, 'body'> & { body?: Uint8Array | Pieces | null };
type SentFrame<F, K extends keyof F> = Omit<F, K> & { [P in K]?: InPieces<NonNullable<F[P]>> | null };

/** What is sent: plain objects, fields left out read as their defaults, bodies whole or in pieces. */
export type SidecarFrame = SentFrame<outrigger.mesh.v1.ISidecarFrame, 'open' | 'data'>;
export type ReplicaFrame = SentFrame<outrigger.mesh.v1.IReplicaFrame, 'head' | 'data'>;
export interface SidecarFrames {
  readonly frames: SidecarFrame[];
}
export interface ReplicaFrames {
  readonly frames: ReplicaFrame[];
}

export type Open = outrigger.mesh.v1.Open;
export type Data = outrigger.mesh.v1.Data;
export type Head = outrigger.mesh.v1.Head;
export type Failure = outrigger.mesh.v1.Failure;
export type Credential = outrigger.mesh.v1.Credential;
export type Cancel = outrigger.mesh.v1.Cancel;
export type Refused = outrigger.mesh.v1.Refused;
export type Welcome = outrigger.mesh.v1.Welcome;
export type Hello = outrigger.mesh.v1.Hello;
export type GoAway = outrigger.mesh.v1.GoAway;
export type CapabilitySet = outrigger.mesh.v1.CapabilitySet;
export type Grant = outrigger.mesh.v1.Grant;
export type Held = outrigger.mesh.v1.Held;
export type Nack = outrigger.mesh.v1.Nack;

/** What is received: decoded classes, every field there. One frame holds one of these; a newer peer's frame holds none. */
export interface ReceivedSidecarFrame {
  readonly open: Open | null;
  readonly data: Data | null;
  readonly credit: outrigger.mesh.v1.Credit | null;
  readonly cancel: Cancel | null;
  readonly detach: outrigger.mesh.v1.Detach | null;
  readonly credential: Credential | null;
  readonly forget: outrigger.mesh.v1.Forget | null;
  readonly hello: Hello | null;
  readonly held: Held | null;
  readonly ack: outrigger.mesh.v1.Ack | null;
  readonly nack: Nack | null;
  readonly active: outrigger.mesh.v1.Active | null;
}
export interface ReceivedReplicaFrame {
  readonly head: Head | null;
  readonly data: Data | null;
  readonly credit: outrigger.mesh.v1.Credit | null;
  readonly failure: Failure | null;
  readonly accepted: outrigger.mesh.v1.Accepted | null;
  readonly refused: Refused | null;
  readonly revoked: outrigger.mesh.v1.Revoked | null;
  readonly welcome: Welcome | null;
  readonly goAway: GoAway | null;
  readonly sessionEnded: outrigger.mesh.v1.SessionEnded | null;
  readonly capabilitySet: CapabilitySet | null;
  readonly grant: Grant | null;
  readonly bookmark: outrigger.mesh.v1.Bookmark | null;
}
export interface ReceivedSidecarFrames {
  readonly frames: readonly ReceivedSidecarFrame[];
}
export interface ReceivedReplicaFrames {
  readonly frames: readonly ReceivedReplicaFrame[];
}

export const OpenKind = wire.Open.Kind;
export const HeadKind = wire.Head.Kind;
export const CancelReason = wire.Cancel.Reason;

const WRITER = new FrameWriter();

/** `Mesh.Connect`, for `@grpc/grpc-js`. */
export const CONNECT = {
  path: '/outrigger.mesh.v1.Mesh/Connect',
  requestStream: true,
  responseStream: true,
  // The client of grpc-js copies a message behind its prefix later, when others may have been written.
  requestSerialize: (message: SidecarFrames) => {
    wire.SidecarFrames.encode(message as outrigger.mesh.v1.ISidecarFrames, WRITER.reset());
    return Buffer.from(WRITER.finish());
  },
  requestDeserialize: (bytes: Buffer) => wire.SidecarFrames.decode(bytes) as ReceivedSidecarFrames,
  // Its server does so at once.
  responseSerialize: (message: ReplicaFrames) => {
    wire.ReplicaFrames.encode(message as outrigger.mesh.v1.IReplicaFrames, WRITER.reset());
    return WRITER.finish();
  },
  responseDeserialize: (bytes: Buffer) => wire.ReplicaFrames.decode(bytes) as ReceivedReplicaFrames,
} as const;

export const MESH_SERVICE = { connect: CONNECT } as const;
