import { Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { MeshTlsSettings } from '../settings.ts';
import { assertAdmin } from './admin-assertion.ts';
import { AdminFault, notFound } from './admin-fault.ts';
import type { Admin } from './admin-gate.ts';
import { ADMIN_SERVICE } from './admin-protocol.ts';
import { peerChannel } from './peer-channel.ts';
import type { KnownReplica } from './replica-directory.ts';

/** Who is meant: an address may have another replica by now. */
export const REPLICA_METADATA = 'outrigger-replica';

export interface PeerOptions {
  /** This replica. */
  readonly replica: string;
  readonly directory: { all(): Promise<readonly KnownReplica[]> };
  /** As configuration has it now; undefined: plain text, on loopback. */
  readonly tls: () => MeshTlsSettings | undefined;
}

export interface Question {
  /** As in the proto file. */
  readonly method: string;
  readonly request: object;
  readonly admin: Admin;
}

/** What peers answered, and the names of those that did not. */
export interface PeerAnswers<Answer> {
  readonly answers: readonly Answer[];
  /** `replicas/…` (AIP-217). */
  readonly unreachable: readonly string[];
}

/** The longest that one unreachable peer holds up an answer. */
const PATIENCE_MS = 2_000;

/**
 * Asks the other replicas what only they know. Over TLS a replica proves that it is one,
 * and says in whose name it asks: no token leaves it. In plain text, on this machine
 * alone, it shows the token of whoever asks. A peer that neither reaches counts as
 * unreachable, and so does one that is no replica by its certificate.
 */
export class AdminPeers {
  readonly #options: PeerOptions;

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  /** All of them at once. Rejects where the store cannot say who they are. */
  async ask<Answer>(question: Question): Promise<PeerAnswers<Answer>> {
    const replicas = await this.#options.directory.all();
    const peers = replicas.filter(({ name }) => name !== this.#options.replica);
    const asked = await Promise.allSettled(peers.map((peer) => this.#call<Answer>(peer, question)));
    return {
      answers: asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])),
      unreachable: peers.flatMap(({ name }, at) =>
        asked[at]?.status === 'fulfilled' ? [] : [`replicas/${name}`],
      ),
    };
  }

  /** One of them; undefined where nobody has heard of it lately. Rejects with its refusal, or UNAVAILABLE. */
  async askOne<Answer>(replica: string, question: Question): Promise<Answer | undefined> {
    const replicas = await this.#options.directory.all();
    const peer = replicas.find(({ name }) => name === replica && name !== this.#options.replica);
    return peer && (await this.#call<Answer>(peer, question));
  }

  /** The same of a replica that there must be. */
  async require<Answer>(replica: string, question: Question): Promise<Answer> {
    const answer = await this.askOne<Answer>(replica, question);
    if (answer === undefined) throw notFound(`replica "${replica}"`);
    return answer;
  }

  async #call<Answer>(peer: KnownReplica, { method, request, admin }: Question): Promise<Answer> {
    const definition = ADMIN_SERVICE[method];
    if (definition === undefined) throw new Error(`the admin API has no method ${method}`);
    const channel = peerChannel(peer.address, this.#options.tls());
    if (channel === undefined) throw unreachable(peer);
    const client = new Client(peer.address, channel.credentials, channel.options);
    const metadata = new Metadata();
    metadata.set(REPLICA_METADATA, peer.name);
    if (channel.proven) assertAdmin(metadata, admin);
    else if (admin.authorization !== undefined) metadata.set('authorization', admin.authorization);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        client.makeUnaryRequest(
          definition.path,
          definition.requestSerialize,
          (bytes) => definition.responseDeserialize(bytes) as Answer,
          { ...request, localOnly: true },
          metadata,
          { deadline: Date.now() + PATIENCE_MS },
          (error, answer) => {
            if (error !== null) reject(toFault(error, peer));
            else if (answer !== undefined) resolve(answer);
          },
        );
      });
    } finally {
      client.close();
    }
  }
}

/** Whether a failure says that a peer could not be asked, and not what it said. */
export function isUnreachable(thrown: unknown): boolean {
  return thrown instanceof AdminFault && thrown.reason === 'PEER_UNREACHABLE';
}

const SILENCE: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
]);

function toFault({ code, details }: ServiceError, peer: KnownReplica): AdminFault {
  return SILENCE.has(code) ? unreachable(peer) : new AdminFault(code, 'PEER_REFUSED', details);
}

function unreachable({ name }: KnownReplica): AdminFault {
  const message = `The replica "${name}" could not be asked.`;
  return new AdminFault(status.UNAVAILABLE, 'PEER_UNREACHABLE', message);
}
