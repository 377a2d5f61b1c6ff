import * as $protobuf from "protobufjs";
/** Namespace outrigger. */
export namespace outrigger {

    /** Namespace mesh. */
    namespace mesh {

        /** Namespace v1. */
        namespace v1 {

            /** Properties of a SidecarFrames. */
            interface ISidecarFrames {

                /** SidecarFrames frames */
                frames?: (outrigger.mesh.v1.ISidecarFrame[]|null);
            }

            /** Represents a SidecarFrames. */
            class SidecarFrames implements ISidecarFrames {

                /**
                 * Constructs a new SidecarFrames.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ISidecarFrames);

                /** SidecarFrames frames. */
                public frames: outrigger.mesh.v1.ISidecarFrame[];

                /**
                 * Encodes the specified SidecarFrames message. Does not implicitly {@link outrigger.mesh.v1.SidecarFrames.verify|verify} messages.
                 * @param message SidecarFrames message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ISidecarFrames, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a SidecarFrames message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns SidecarFrames
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.SidecarFrames;
            }

            /** Properties of a ReplicaFrames. */
            interface IReplicaFrames {

                /** ReplicaFrames frames */
                frames?: (outrigger.mesh.v1.IReplicaFrame[]|null);
            }

            /** Represents a ReplicaFrames. */
            class ReplicaFrames implements IReplicaFrames {

                /**
                 * Constructs a new ReplicaFrames.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IReplicaFrames);

                /** ReplicaFrames frames. */
                public frames: outrigger.mesh.v1.IReplicaFrame[];

                /**
                 * Encodes the specified ReplicaFrames message. Does not implicitly {@link outrigger.mesh.v1.ReplicaFrames.verify|verify} messages.
                 * @param message ReplicaFrames message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IReplicaFrames, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a ReplicaFrames message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns ReplicaFrames
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.ReplicaFrames;
            }

            /** Properties of a SidecarFrame. */
            interface ISidecarFrame {

                /** SidecarFrame open */
                open?: (outrigger.mesh.v1.IOpen|null);

                /** SidecarFrame data */
                data?: (outrigger.mesh.v1.IData|null);

                /** SidecarFrame credit */
                credit?: (outrigger.mesh.v1.ICredit|null);

                /** SidecarFrame cancel */
                cancel?: (outrigger.mesh.v1.ICancel|null);

                /** SidecarFrame detach */
                detach?: (outrigger.mesh.v1.IDetach|null);

                /** SidecarFrame credential */
                credential?: (outrigger.mesh.v1.ICredential|null);

                /** SidecarFrame forget */
                forget?: (outrigger.mesh.v1.IForget|null);

                /** SidecarFrame hello */
                hello?: (outrigger.mesh.v1.IHello|null);

                /** SidecarFrame held */
                held?: (outrigger.mesh.v1.IHeld|null);

                /** SidecarFrame ack */
                ack?: (outrigger.mesh.v1.IAck|null);

                /** SidecarFrame nack */
                nack?: (outrigger.mesh.v1.INack|null);

                /** SidecarFrame active */
                active?: (outrigger.mesh.v1.IActive|null);
            }

            /** Represents a SidecarFrame. */
            class SidecarFrame implements ISidecarFrame {

                /**
                 * Constructs a new SidecarFrame.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ISidecarFrame);

                /** SidecarFrame open. */
                public open?: (outrigger.mesh.v1.IOpen|null);

                /** SidecarFrame data. */
                public data?: (outrigger.mesh.v1.IData|null);

                /** SidecarFrame credit. */
                public credit?: (outrigger.mesh.v1.ICredit|null);

                /** SidecarFrame cancel. */
                public cancel?: (outrigger.mesh.v1.ICancel|null);

                /** SidecarFrame detach. */
                public detach?: (outrigger.mesh.v1.IDetach|null);

                /** SidecarFrame credential. */
                public credential?: (outrigger.mesh.v1.ICredential|null);

                /** SidecarFrame forget. */
                public forget?: (outrigger.mesh.v1.IForget|null);

                /** SidecarFrame hello. */
                public hello?: (outrigger.mesh.v1.IHello|null);

                /** SidecarFrame held. */
                public held?: (outrigger.mesh.v1.IHeld|null);

                /** SidecarFrame ack. */
                public ack?: (outrigger.mesh.v1.IAck|null);

                /** SidecarFrame nack. */
                public nack?: (outrigger.mesh.v1.INack|null);

                /** SidecarFrame active. */
                public active?: (outrigger.mesh.v1.IActive|null);

                /** SidecarFrame frame. */
                public frame?: ("open"|"data"|"credit"|"cancel"|"detach"|"credential"|"forget"|"hello"|"held"|"ack"|"nack"|"active");

                /**
                 * Encodes the specified SidecarFrame message. Does not implicitly {@link outrigger.mesh.v1.SidecarFrame.verify|verify} messages.
                 * @param message SidecarFrame message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ISidecarFrame, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a SidecarFrame message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns SidecarFrame
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.SidecarFrame;
            }

            /** Properties of a ReplicaFrame. */
            interface IReplicaFrame {

                /** ReplicaFrame head */
                head?: (outrigger.mesh.v1.IHead|null);

                /** ReplicaFrame data */
                data?: (outrigger.mesh.v1.IData|null);

                /** ReplicaFrame credit */
                credit?: (outrigger.mesh.v1.ICredit|null);

                /** ReplicaFrame failure */
                failure?: (outrigger.mesh.v1.IFailure|null);

                /** ReplicaFrame accepted */
                accepted?: (outrigger.mesh.v1.IAccepted|null);

                /** ReplicaFrame refused */
                refused?: (outrigger.mesh.v1.IRefused|null);

                /** ReplicaFrame revoked */
                revoked?: (outrigger.mesh.v1.IRevoked|null);

                /** ReplicaFrame welcome */
                welcome?: (outrigger.mesh.v1.IWelcome|null);

                /** ReplicaFrame goAway */
                goAway?: (outrigger.mesh.v1.IGoAway|null);

                /** ReplicaFrame sessionEnded */
                sessionEnded?: (outrigger.mesh.v1.ISessionEnded|null);

                /** ReplicaFrame capabilitySet */
                capabilitySet?: (outrigger.mesh.v1.ICapabilitySet|null);

                /** ReplicaFrame grant */
                grant?: (outrigger.mesh.v1.IGrant|null);

                /** ReplicaFrame bookmark */
                bookmark?: (outrigger.mesh.v1.IBookmark|null);
            }

            /** Represents a ReplicaFrame. */
            class ReplicaFrame implements IReplicaFrame {

                /**
                 * Constructs a new ReplicaFrame.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IReplicaFrame);

                /** ReplicaFrame head. */
                public head?: (outrigger.mesh.v1.IHead|null);

                /** ReplicaFrame data. */
                public data?: (outrigger.mesh.v1.IData|null);

                /** ReplicaFrame credit. */
                public credit?: (outrigger.mesh.v1.ICredit|null);

                /** ReplicaFrame failure. */
                public failure?: (outrigger.mesh.v1.IFailure|null);

                /** ReplicaFrame accepted. */
                public accepted?: (outrigger.mesh.v1.IAccepted|null);

                /** ReplicaFrame refused. */
                public refused?: (outrigger.mesh.v1.IRefused|null);

                /** ReplicaFrame revoked. */
                public revoked?: (outrigger.mesh.v1.IRevoked|null);

                /** ReplicaFrame welcome. */
                public welcome?: (outrigger.mesh.v1.IWelcome|null);

                /** ReplicaFrame goAway. */
                public goAway?: (outrigger.mesh.v1.IGoAway|null);

                /** ReplicaFrame sessionEnded. */
                public sessionEnded?: (outrigger.mesh.v1.ISessionEnded|null);

                /** ReplicaFrame capabilitySet. */
                public capabilitySet?: (outrigger.mesh.v1.ICapabilitySet|null);

                /** ReplicaFrame grant. */
                public grant?: (outrigger.mesh.v1.IGrant|null);

                /** ReplicaFrame bookmark. */
                public bookmark?: (outrigger.mesh.v1.IBookmark|null);

                /** ReplicaFrame frame. */
                public frame?: ("head"|"data"|"credit"|"failure"|"accepted"|"refused"|"revoked"|"welcome"|"goAway"|"sessionEnded"|"capabilitySet"|"grant"|"bookmark");

                /**
                 * Encodes the specified ReplicaFrame message. Does not implicitly {@link outrigger.mesh.v1.ReplicaFrame.verify|verify} messages.
                 * @param message ReplicaFrame message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IReplicaFrame, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a ReplicaFrame message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns ReplicaFrame
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.ReplicaFrame;
            }

            /** Properties of a Hello. */
            interface IHello {

                /** Hello node */
                node?: (string|null);

                /** Hello build */
                build?: (string|null);

                /** Hello virtualServer */
                virtualServer?: (string|null);

                /** Hello features */
                features?: (string[]|null);

                /** Hello workloadToken */
                workloadToken?: (string|null);
            }

            /** Represents a Hello. */
            class Hello implements IHello {

                /**
                 * Constructs a new Hello.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IHello);

                /** Hello node. */
                public node: string;

                /** Hello build. */
                public build: string;

                /** Hello virtualServer. */
                public virtualServer: string;

                /** Hello features. */
                public features: string[];

                /** Hello workloadToken. */
                public workloadToken: string;

                /**
                 * Encodes the specified Hello message. Does not implicitly {@link outrigger.mesh.v1.Hello.verify|verify} messages.
                 * @param message Hello message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IHello, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Hello message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Hello
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Hello;
            }

            /** Properties of a Welcome. */
            interface IWelcome {

                /** Welcome replica */
                replica?: (string|null);

                /** Welcome build */
                build?: (string|null);

                /** Welcome features */
                features?: (string[]|null);

                /** Welcome resource */
                resource?: (string|null);

                /** Welcome issuers */
                issuers?: (string[]|null);

                /** Welcome scopes */
                scopes?: (string[]|null);

                /** Welcome anonymous */
                anonymous?: (boolean|null);

                /** Welcome replaySafeTools */
                replaySafeTools?: (string[]|null);

                /** Welcome maxMessageBytes */
                maxMessageBytes?: (number|null);

                /** Welcome proofAlgorithms */
                proofAlgorithms?: (string[]|null);

                /** Welcome proofRequired */
                proofRequired?: (boolean|null);
            }

            /** Represents a Welcome. */
            class Welcome implements IWelcome {

                /**
                 * Constructs a new Welcome.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IWelcome);

                /** Welcome replica. */
                public replica: string;

                /** Welcome build. */
                public build: string;

                /** Welcome features. */
                public features: string[];

                /** Welcome resource. */
                public resource: string;

                /** Welcome issuers. */
                public issuers: string[];

                /** Welcome scopes. */
                public scopes: string[];

                /** Welcome anonymous. */
                public anonymous: boolean;

                /** Welcome replaySafeTools. */
                public replaySafeTools: string[];

                /** Welcome maxMessageBytes. */
                public maxMessageBytes: number;

                /** Welcome proofAlgorithms. */
                public proofAlgorithms: string[];

                /** Welcome proofRequired. */
                public proofRequired: boolean;

                /**
                 * Encodes the specified Welcome message. Does not implicitly {@link outrigger.mesh.v1.Welcome.verify|verify} messages.
                 * @param message Welcome message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IWelcome, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Welcome message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Welcome
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Welcome;
            }

            /** Properties of a Credential. */
            interface ICredential {

                /** Credential id */
                id?: (number|null);

                /** Credential authorization */
                authorization?: (string|null);
            }

            /** Represents a Credential. */
            class Credential implements ICredential {

                /**
                 * Constructs a new Credential.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ICredential);

                /** Credential id. */
                public id: number;

                /** Credential authorization. */
                public authorization: string;

                /**
                 * Encodes the specified Credential message. Does not implicitly {@link outrigger.mesh.v1.Credential.verify|verify} messages.
                 * @param message Credential message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ICredential, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Credential message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Credential
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Credential;
            }

            /** Properties of a Forget. */
            interface IForget {

                /** Forget id */
                id?: (number|null);
            }

            /** Represents a Forget. */
            class Forget implements IForget {

                /**
                 * Constructs a new Forget.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IForget);

                /** Forget id. */
                public id: number;

                /**
                 * Encodes the specified Forget message. Does not implicitly {@link outrigger.mesh.v1.Forget.verify|verify} messages.
                 * @param message Forget message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IForget, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Forget message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Forget
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Forget;
            }

            /** Properties of an Accepted. */
            interface IAccepted {

                /** Accepted id */
                id?: (number|null);

                /** Accepted principal */
                principal?: (Uint8Array|null);
            }

            /** Represents an Accepted. */
            class Accepted implements IAccepted {

                /**
                 * Constructs a new Accepted.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IAccepted);

                /** Accepted id. */
                public id: number;

                /** Accepted principal. */
                public principal: Uint8Array;

                /**
                 * Encodes the specified Accepted message. Does not implicitly {@link outrigger.mesh.v1.Accepted.verify|verify} messages.
                 * @param message Accepted message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IAccepted, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes an Accepted message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Accepted
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Accepted;
            }

            /** Properties of a Refused. */
            interface IRefused {

                /** Refused id */
                id?: (number|null);

                /** Refused reason */
                reason?: (string|null);

                /** Refused detail */
                detail?: (string|null);
            }

            /** Represents a Refused. */
            class Refused implements IRefused {

                /**
                 * Constructs a new Refused.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IRefused);

                /** Refused id. */
                public id: number;

                /** Refused reason. */
                public reason: string;

                /** Refused detail. */
                public detail: string;

                /**
                 * Encodes the specified Refused message. Does not implicitly {@link outrigger.mesh.v1.Refused.verify|verify} messages.
                 * @param message Refused message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IRefused, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Refused message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Refused
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Refused;
            }

            /** Properties of a Revoked. */
            interface IRevoked {

                /** Revoked id */
                id?: (number|null);
            }

            /** Represents a Revoked. */
            class Revoked implements IRevoked {

                /**
                 * Constructs a new Revoked.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IRevoked);

                /** Revoked id. */
                public id: number;

                /**
                 * Encodes the specified Revoked message. Does not implicitly {@link outrigger.mesh.v1.Revoked.verify|verify} messages.
                 * @param message Revoked message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IRevoked, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Revoked message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Revoked
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Revoked;
            }

            /** Properties of an Open. */
            interface IOpen {

                /** Open exchange */
                exchange?: (number|null);

                /** Open kind */
                kind?: (outrigger.mesh.v1.Open.Kind|null);

                /** Open credential */
                credential?: (number|null);

                /** Open sessionId */
                sessionId?: (string|null);

                /** Open protocolVersion */
                protocolVersion?: (string|null);

                /** Open lastEventId */
                lastEventId?: (string|null);

                /** Open deadlineMs */
                deadlineMs?: (number|null);

                /** Open traceparent */
                traceparent?: (string|null);

                /** Open tracestate */
                tracestate?: (string|null);

                /** Open body */
                body?: (Uint8Array|null);

                /** Open more */
                more?: (boolean|null);

                /** Open follows */
                follows?: (boolean|null);

                /** Open proof */
                proof?: (outrigger.mesh.v1.IProof|null);

                /** Open requestId */
                requestId?: (string|null);
            }

            /** Represents an Open. */
            class Open implements IOpen {

                /**
                 * Constructs a new Open.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IOpen);

                /** Open exchange. */
                public exchange: number;

                /** Open kind. */
                public kind: outrigger.mesh.v1.Open.Kind;

                /** Open credential. */
                public credential: number;

                /** Open sessionId. */
                public sessionId: string;

                /** Open protocolVersion. */
                public protocolVersion: string;

                /** Open lastEventId. */
                public lastEventId: string;

                /** Open deadlineMs. */
                public deadlineMs: number;

                /** Open traceparent. */
                public traceparent: string;

                /** Open tracestate. */
                public tracestate: string;

                /** Open body. */
                public body: Uint8Array;

                /** Open more. */
                public more: boolean;

                /** Open follows. */
                public follows: boolean;

                /** Open proof. */
                public proof?: (outrigger.mesh.v1.IProof|null);

                /** Open requestId. */
                public requestId: string;

                /**
                 * Encodes the specified Open message. Does not implicitly {@link outrigger.mesh.v1.Open.verify|verify} messages.
                 * @param message Open message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IOpen, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes an Open message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Open
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Open;
            }

            namespace Open {

                /** Kind enum. */
                enum Kind {
                    MESSAGE = 0,
                    LISTEN = 1,
                    TERMINATE = 2
                }
            }

            /** Properties of a Proof. */
            interface IProof {

                /** Proof jwt */
                jwt?: (string|null);

                /** Proof urls */
                urls?: (string[]|null);

                /** Proof request */
                request?: (string|null);
            }

            /** Represents a Proof. */
            class Proof implements IProof {

                /**
                 * Constructs a new Proof.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IProof);

                /** Proof jwt. */
                public jwt: string;

                /** Proof urls. */
                public urls: string[];

                /** Proof request. */
                public request: string;

                /**
                 * Encodes the specified Proof message. Does not implicitly {@link outrigger.mesh.v1.Proof.verify|verify} messages.
                 * @param message Proof message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IProof, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Proof message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Proof
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Proof;
            }

            /** Properties of a Data. */
            interface IData {

                /** Data exchange */
                exchange?: (number|null);

                /** Data body */
                body?: (Uint8Array|null);

                /** Data more */
                more?: (boolean|null);

                /** Data eventId */
                eventId?: (string|null);

                /** Data retryMs */
                retryMs?: (number|null);

                /** Data end */
                end?: (boolean|null);
            }

            /** Represents a Data. */
            class Data implements IData {

                /**
                 * Constructs a new Data.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IData);

                /** Data exchange. */
                public exchange: number;

                /** Data body. */
                public body: Uint8Array;

                /** Data more. */
                public more: boolean;

                /** Data eventId. */
                public eventId: string;

                /** Data retryMs. */
                public retryMs: number;

                /** Data end. */
                public end: boolean;

                /**
                 * Encodes the specified Data message. Does not implicitly {@link outrigger.mesh.v1.Data.verify|verify} messages.
                 * @param message Data message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IData, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Data message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Data
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Data;
            }

            /** Properties of a Head. */
            interface IHead {

                /** Head exchange */
                exchange?: (number|null);

                /** Head kind */
                kind?: (outrigger.mesh.v1.Head.Kind|null);

                /** Head sessionId */
                sessionId?: (string|null);

                /** Head body */
                body?: (Uint8Array|null);

                /** Head more */
                more?: (boolean|null);
            }

            /** Represents a Head. */
            class Head implements IHead {

                /**
                 * Constructs a new Head.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IHead);

                /** Head exchange. */
                public exchange: number;

                /** Head kind. */
                public kind: outrigger.mesh.v1.Head.Kind;

                /** Head sessionId. */
                public sessionId: string;

                /** Head body. */
                public body: Uint8Array;

                /** Head more. */
                public more: boolean;

                /**
                 * Encodes the specified Head message. Does not implicitly {@link outrigger.mesh.v1.Head.verify|verify} messages.
                 * @param message Head message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IHead, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Head message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Head
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Head;
            }

            namespace Head {

                /** Kind enum. */
                enum Kind {
                    JSON = 0,
                    ACCEPTED = 1,
                    STREAM = 2
                }
            }

            /** Properties of a Failure. */
            interface IFailure {

                /** Failure exchange */
                exchange?: (number|null);

                /** Failure reason */
                reason?: (string|null);

                /** Failure detail */
                detail?: (string|null);

                /** Failure retryAfterMs */
                retryAfterMs?: (number|null);

                /** Failure scope */
                scope?: (string|null);

                /** Failure backend */
                backend?: (string|null);
            }

            /** Represents a Failure. */
            class Failure implements IFailure {

                /**
                 * Constructs a new Failure.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IFailure);

                /** Failure exchange. */
                public exchange: number;

                /** Failure reason. */
                public reason: string;

                /** Failure detail. */
                public detail: string;

                /** Failure retryAfterMs. */
                public retryAfterMs: number;

                /** Failure scope. */
                public scope: string;

                /** Failure backend. */
                public backend: string;

                /**
                 * Encodes the specified Failure message. Does not implicitly {@link outrigger.mesh.v1.Failure.verify|verify} messages.
                 * @param message Failure message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IFailure, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Failure message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Failure
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Failure;
            }

            /** Properties of a Credit. */
            interface ICredit {

                /** Credit exchange */
                exchange?: (number|null);

                /** Credit bytes */
                bytes?: (number|null);
            }

            /** Represents a Credit. */
            class Credit implements ICredit {

                /**
                 * Constructs a new Credit.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ICredit);

                /** Credit exchange. */
                public exchange: number;

                /** Credit bytes. */
                public bytes: number;

                /**
                 * Encodes the specified Credit message. Does not implicitly {@link outrigger.mesh.v1.Credit.verify|verify} messages.
                 * @param message Credit message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ICredit, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Credit message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Credit
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Credit;
            }

            /** Properties of a Cancel. */
            interface ICancel {

                /** Cancel exchange */
                exchange?: (number|null);

                /** Cancel reason */
                reason?: (outrigger.mesh.v1.Cancel.Reason|null);
            }

            /** Represents a Cancel. */
            class Cancel implements ICancel {

                /**
                 * Constructs a new Cancel.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ICancel);

                /** Cancel exchange. */
                public exchange: number;

                /** Cancel reason. */
                public reason: outrigger.mesh.v1.Cancel.Reason;

                /**
                 * Encodes the specified Cancel message. Does not implicitly {@link outrigger.mesh.v1.Cancel.verify|verify} messages.
                 * @param message Cancel message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ICancel, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Cancel message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Cancel
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Cancel;
            }

            namespace Cancel {

                /** Reason enum. */
                enum Reason {
                    CANCELLED = 0,
                    DEADLINE = 1,
                    SHUTDOWN = 2
                }
            }

            /** Properties of a Detach. */
            interface IDetach {

                /** Detach exchange */
                exchange?: (number|null);
            }

            /** Represents a Detach. */
            class Detach implements IDetach {

                /**
                 * Constructs a new Detach.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IDetach);

                /** Detach exchange. */
                public exchange: number;

                /**
                 * Encodes the specified Detach message. Does not implicitly {@link outrigger.mesh.v1.Detach.verify|verify} messages.
                 * @param message Detach message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IDetach, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Detach message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Detach
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Detach;
            }

            /** Properties of a GoAway. */
            interface IGoAway {

                /** GoAway lastExchange */
                lastExchange?: (number|null);

                /** GoAway reconnectAfterMs */
                reconnectAfterMs?: (number|null);

                /** GoAway reason */
                reason?: (string|null);
            }

            /** Represents a GoAway. */
            class GoAway implements IGoAway {

                /**
                 * Constructs a new GoAway.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IGoAway);

                /** GoAway lastExchange. */
                public lastExchange: number;

                /** GoAway reconnectAfterMs. */
                public reconnectAfterMs: number;

                /** GoAway reason. */
                public reason: string;

                /**
                 * Encodes the specified GoAway message. Does not implicitly {@link outrigger.mesh.v1.GoAway.verify|verify} messages.
                 * @param message GoAway message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IGoAway, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a GoAway message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns GoAway
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.GoAway;
            }

            /** Properties of a SessionEnded. */
            interface ISessionEnded {

                /** SessionEnded sessionId */
                sessionId?: (string|null);
            }

            /** Represents a SessionEnded. */
            class SessionEnded implements ISessionEnded {

                /**
                 * Constructs a new SessionEnded.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ISessionEnded);

                /** SessionEnded sessionId. */
                public sessionId: string;

                /**
                 * Encodes the specified SessionEnded message. Does not implicitly {@link outrigger.mesh.v1.SessionEnded.verify|verify} messages.
                 * @param message SessionEnded message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ISessionEnded, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a SessionEnded message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns SessionEnded
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.SessionEnded;
            }

            /** Properties of a Held. */
            interface IHeld {

                /** Held sets */
                sets?: (Uint8Array[]|null);

                /** Held items */
                items?: (Uint8Array[]|null);
            }

            /** Represents a Held. */
            class Held implements IHeld {

                /**
                 * Constructs a new Held.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IHeld);

                /** Held sets. */
                public sets: Uint8Array[];

                /** Held items. */
                public items: Uint8Array[];

                /**
                 * Encodes the specified Held message. Does not implicitly {@link outrigger.mesh.v1.Held.verify|verify} messages.
                 * @param message Held message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IHeld, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Held message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Held
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Held;
            }

            /** Properties of a CapabilitySet. */
            interface ICapabilitySet {

                /** CapabilitySet set */
                set?: (Uint8Array|null);

                /** CapabilitySet head */
                head?: (Uint8Array|null);

                /** CapabilitySet items */
                items?: (Uint8Array[]|null);

                /** CapabilitySet bodies */
                bodies?: (Uint8Array[]|null);

                /** CapabilitySet more */
                more?: (boolean|null);
            }

            /** Represents a CapabilitySet. */
            class CapabilitySet implements ICapabilitySet {

                /**
                 * Constructs a new CapabilitySet.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.ICapabilitySet);

                /** CapabilitySet set. */
                public set: Uint8Array;

                /** CapabilitySet head. */
                public head: Uint8Array;

                /** CapabilitySet items. */
                public items: Uint8Array[];

                /** CapabilitySet bodies. */
                public bodies: Uint8Array[];

                /** CapabilitySet more. */
                public more: boolean;

                /**
                 * Encodes the specified CapabilitySet message. Does not implicitly {@link outrigger.mesh.v1.CapabilitySet.verify|verify} messages.
                 * @param message CapabilitySet message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.ICapabilitySet, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a CapabilitySet message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns CapabilitySet
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.CapabilitySet;
            }

            /** Properties of an Ack. */
            interface IAck {

                /** Ack set */
                set?: (Uint8Array|null);
            }

            /** Represents an Ack. */
            class Ack implements IAck {

                /**
                 * Constructs a new Ack.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IAck);

                /** Ack set. */
                public set: Uint8Array;

                /**
                 * Encodes the specified Ack message. Does not implicitly {@link outrigger.mesh.v1.Ack.verify|verify} messages.
                 * @param message Ack message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IAck, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes an Ack message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Ack
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Ack;
            }

            /** Properties of a Nack. */
            interface INack {

                /** Nack set */
                set?: (Uint8Array|null);

                /** Nack reason */
                reason?: (string|null);
            }

            /** Represents a Nack. */
            class Nack implements INack {

                /**
                 * Constructs a new Nack.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.INack);

                /** Nack set. */
                public set: Uint8Array;

                /** Nack reason. */
                public reason: string;

                /**
                 * Encodes the specified Nack message. Does not implicitly {@link outrigger.mesh.v1.Nack.verify|verify} messages.
                 * @param message Nack message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.INack, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Nack message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Nack
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Nack;
            }

            /** Properties of a Grant. */
            interface IGrant {

                /** Grant sessionId */
                sessionId?: (string|null);

                /** Grant credential */
                credential?: (number|null);

                /** Grant sets */
                sets?: ({ [k: string]: Uint8Array }|null);

                /** Grant validForMs */
                validForMs?: (number|null);
            }

            /** Represents a Grant. */
            class Grant implements IGrant {

                /**
                 * Constructs a new Grant.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IGrant);

                /** Grant sessionId. */
                public sessionId: string;

                /** Grant credential. */
                public credential: number;

                /** Grant sets. */
                public sets: { [k: string]: Uint8Array };

                /** Grant validForMs. */
                public validForMs: number;

                /**
                 * Encodes the specified Grant message. Does not implicitly {@link outrigger.mesh.v1.Grant.verify|verify} messages.
                 * @param message Grant message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IGrant, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Grant message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Grant
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Grant;
            }

            /** Properties of a Bookmark. */
            interface IBookmark {
            }

            /** Represents a Bookmark. */
            class Bookmark implements IBookmark {

                /**
                 * Constructs a new Bookmark.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IBookmark);

                /**
                 * Encodes the specified Bookmark message. Does not implicitly {@link outrigger.mesh.v1.Bookmark.verify|verify} messages.
                 * @param message Bookmark message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IBookmark, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a Bookmark message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Bookmark
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Bookmark;
            }

            /** Properties of an Active. */
            interface IActive {

                /** Active sessions */
                sessions?: (string[]|null);
            }

            /** Represents an Active. */
            class Active implements IActive {

                /**
                 * Constructs a new Active.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: outrigger.mesh.v1.IActive);

                /** Active sessions. */
                public sessions: string[];

                /**
                 * Encodes the specified Active message. Does not implicitly {@link outrigger.mesh.v1.Active.verify|verify} messages.
                 * @param message Active message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                public static encode(message: outrigger.mesh.v1.IActive, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes an Active message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns Active
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                public static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): outrigger.mesh.v1.Active;
            }
        }
    }
}
