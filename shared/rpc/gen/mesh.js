/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars*/
import $protobuf from "protobufjs/minimal.js";

const $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;

const $root = $protobuf.roots["outrigger"] || ($protobuf.roots["outrigger"] = {});

export const outrigger = $root.outrigger = (() => {

    const outrigger = {};

    outrigger.mesh = (function() {

        const mesh = {};

        mesh.v1 = (function() {

            const v1 = {};

            v1.SidecarFrames = (function() {

                function SidecarFrames(properties) {
                    this.frames = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                SidecarFrames.prototype.frames = $util.emptyArray;

                SidecarFrames.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.frames != null && message.frames.length)
                        for (let i = 0; i < message.frames.length; ++i)
                            $root.outrigger.mesh.v1.SidecarFrame.encode(message.frames[i], writer.uint32(10).fork(), q + 1).ldelim();
                    return writer;
                };

                SidecarFrames.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.SidecarFrames();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                if (!(message.frames && message.frames.length))
                                    message.frames = [];
                                message.frames.push($root.outrigger.mesh.v1.SidecarFrame.decode(reader, reader.uint32(), undefined, long + 1));
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return SidecarFrames;
            })();

            v1.ReplicaFrames = (function() {

                function ReplicaFrames(properties) {
                    this.frames = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                ReplicaFrames.prototype.frames = $util.emptyArray;

                ReplicaFrames.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.frames != null && message.frames.length)
                        for (let i = 0; i < message.frames.length; ++i)
                            $root.outrigger.mesh.v1.ReplicaFrame.encode(message.frames[i], writer.uint32(10).fork(), q + 1).ldelim();
                    return writer;
                };

                ReplicaFrames.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.ReplicaFrames();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                if (!(message.frames && message.frames.length))
                                    message.frames = [];
                                message.frames.push($root.outrigger.mesh.v1.ReplicaFrame.decode(reader, reader.uint32(), undefined, long + 1));
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return ReplicaFrames;
            })();

            v1.SidecarFrame = (function() {

                function SidecarFrame(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                SidecarFrame.prototype.open = null;
                SidecarFrame.prototype.data = null;
                SidecarFrame.prototype.credit = null;
                SidecarFrame.prototype.cancel = null;
                SidecarFrame.prototype.detach = null;
                SidecarFrame.prototype.credential = null;
                SidecarFrame.prototype.forget = null;
                SidecarFrame.prototype.hello = null;
                SidecarFrame.prototype.held = null;
                SidecarFrame.prototype.ack = null;
                SidecarFrame.prototype.nack = null;
                SidecarFrame.prototype.active = null;

                let $oneOfFields;

                Object.defineProperty(SidecarFrame.prototype, "frame", {
                    get: $util.oneOfGetter($oneOfFields = ["open", "data", "credit", "cancel", "detach", "credential", "forget", "hello", "held", "ack", "nack", "active"]),
                    set: $util.oneOfSetter($oneOfFields)
                });

                SidecarFrame.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.open != null && Object.hasOwnProperty.call(message, "open"))
                        $root.outrigger.mesh.v1.Open.encode(message.open, writer.uint32(10).fork(), q + 1).ldelim();
                    if (message.data != null && Object.hasOwnProperty.call(message, "data"))
                        $root.outrigger.mesh.v1.Data.encode(message.data, writer.uint32(18).fork(), q + 1).ldelim();
                    if (message.credit != null && Object.hasOwnProperty.call(message, "credit"))
                        $root.outrigger.mesh.v1.Credit.encode(message.credit, writer.uint32(26).fork(), q + 1).ldelim();
                    if (message.cancel != null && Object.hasOwnProperty.call(message, "cancel"))
                        $root.outrigger.mesh.v1.Cancel.encode(message.cancel, writer.uint32(34).fork(), q + 1).ldelim();
                    if (message.detach != null && Object.hasOwnProperty.call(message, "detach"))
                        $root.outrigger.mesh.v1.Detach.encode(message.detach, writer.uint32(42).fork(), q + 1).ldelim();
                    if (message.credential != null && Object.hasOwnProperty.call(message, "credential"))
                        $root.outrigger.mesh.v1.Credential.encode(message.credential, writer.uint32(50).fork(), q + 1).ldelim();
                    if (message.forget != null && Object.hasOwnProperty.call(message, "forget"))
                        $root.outrigger.mesh.v1.Forget.encode(message.forget, writer.uint32(58).fork(), q + 1).ldelim();
                    if (message.hello != null && Object.hasOwnProperty.call(message, "hello"))
                        $root.outrigger.mesh.v1.Hello.encode(message.hello, writer.uint32(66).fork(), q + 1).ldelim();
                    if (message.held != null && Object.hasOwnProperty.call(message, "held"))
                        $root.outrigger.mesh.v1.Held.encode(message.held, writer.uint32(74).fork(), q + 1).ldelim();
                    if (message.ack != null && Object.hasOwnProperty.call(message, "ack"))
                        $root.outrigger.mesh.v1.Ack.encode(message.ack, writer.uint32(82).fork(), q + 1).ldelim();
                    if (message.nack != null && Object.hasOwnProperty.call(message, "nack"))
                        $root.outrigger.mesh.v1.Nack.encode(message.nack, writer.uint32(90).fork(), q + 1).ldelim();
                    if (message.active != null && Object.hasOwnProperty.call(message, "active"))
                        $root.outrigger.mesh.v1.Active.encode(message.active, writer.uint32(98).fork(), q + 1).ldelim();
                    return writer;
                };

                SidecarFrame.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.SidecarFrame();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.open = $root.outrigger.mesh.v1.Open.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 2: {
                                message.data = $root.outrigger.mesh.v1.Data.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 3: {
                                message.credit = $root.outrigger.mesh.v1.Credit.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 4: {
                                message.cancel = $root.outrigger.mesh.v1.Cancel.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 5: {
                                message.detach = $root.outrigger.mesh.v1.Detach.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 6: {
                                message.credential = $root.outrigger.mesh.v1.Credential.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 7: {
                                message.forget = $root.outrigger.mesh.v1.Forget.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 8: {
                                message.hello = $root.outrigger.mesh.v1.Hello.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 9: {
                                message.held = $root.outrigger.mesh.v1.Held.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 10: {
                                message.ack = $root.outrigger.mesh.v1.Ack.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 11: {
                                message.nack = $root.outrigger.mesh.v1.Nack.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 12: {
                                message.active = $root.outrigger.mesh.v1.Active.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return SidecarFrame;
            })();

            v1.ReplicaFrame = (function() {

                function ReplicaFrame(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                ReplicaFrame.prototype.head = null;
                ReplicaFrame.prototype.data = null;
                ReplicaFrame.prototype.credit = null;
                ReplicaFrame.prototype.failure = null;
                ReplicaFrame.prototype.accepted = null;
                ReplicaFrame.prototype.refused = null;
                ReplicaFrame.prototype.revoked = null;
                ReplicaFrame.prototype.welcome = null;
                ReplicaFrame.prototype.goAway = null;
                ReplicaFrame.prototype.sessionEnded = null;
                ReplicaFrame.prototype.capabilitySet = null;
                ReplicaFrame.prototype.grant = null;
                ReplicaFrame.prototype.bookmark = null;

                let $oneOfFields;

                Object.defineProperty(ReplicaFrame.prototype, "frame", {
                    get: $util.oneOfGetter($oneOfFields = ["head", "data", "credit", "failure", "accepted", "refused", "revoked", "welcome", "goAway", "sessionEnded", "capabilitySet", "grant", "bookmark"]),
                    set: $util.oneOfSetter($oneOfFields)
                });

                ReplicaFrame.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.head != null && Object.hasOwnProperty.call(message, "head"))
                        $root.outrigger.mesh.v1.Head.encode(message.head, writer.uint32(10).fork(), q + 1).ldelim();
                    if (message.data != null && Object.hasOwnProperty.call(message, "data"))
                        $root.outrigger.mesh.v1.Data.encode(message.data, writer.uint32(18).fork(), q + 1).ldelim();
                    if (message.credit != null && Object.hasOwnProperty.call(message, "credit"))
                        $root.outrigger.mesh.v1.Credit.encode(message.credit, writer.uint32(26).fork(), q + 1).ldelim();
                    if (message.failure != null && Object.hasOwnProperty.call(message, "failure"))
                        $root.outrigger.mesh.v1.Failure.encode(message.failure, writer.uint32(34).fork(), q + 1).ldelim();
                    if (message.accepted != null && Object.hasOwnProperty.call(message, "accepted"))
                        $root.outrigger.mesh.v1.Accepted.encode(message.accepted, writer.uint32(42).fork(), q + 1).ldelim();
                    if (message.refused != null && Object.hasOwnProperty.call(message, "refused"))
                        $root.outrigger.mesh.v1.Refused.encode(message.refused, writer.uint32(50).fork(), q + 1).ldelim();
                    if (message.revoked != null && Object.hasOwnProperty.call(message, "revoked"))
                        $root.outrigger.mesh.v1.Revoked.encode(message.revoked, writer.uint32(58).fork(), q + 1).ldelim();
                    if (message.welcome != null && Object.hasOwnProperty.call(message, "welcome"))
                        $root.outrigger.mesh.v1.Welcome.encode(message.welcome, writer.uint32(66).fork(), q + 1).ldelim();
                    if (message.goAway != null && Object.hasOwnProperty.call(message, "goAway"))
                        $root.outrigger.mesh.v1.GoAway.encode(message.goAway, writer.uint32(74).fork(), q + 1).ldelim();
                    if (message.sessionEnded != null && Object.hasOwnProperty.call(message, "sessionEnded"))
                        $root.outrigger.mesh.v1.SessionEnded.encode(message.sessionEnded, writer.uint32(82).fork(), q + 1).ldelim();
                    if (message.capabilitySet != null && Object.hasOwnProperty.call(message, "capabilitySet"))
                        $root.outrigger.mesh.v1.CapabilitySet.encode(message.capabilitySet, writer.uint32(90).fork(), q + 1).ldelim();
                    if (message.grant != null && Object.hasOwnProperty.call(message, "grant"))
                        $root.outrigger.mesh.v1.Grant.encode(message.grant, writer.uint32(98).fork(), q + 1).ldelim();
                    if (message.bookmark != null && Object.hasOwnProperty.call(message, "bookmark"))
                        $root.outrigger.mesh.v1.Bookmark.encode(message.bookmark, writer.uint32(106).fork(), q + 1).ldelim();
                    return writer;
                };

                ReplicaFrame.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.ReplicaFrame();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.head = $root.outrigger.mesh.v1.Head.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 2: {
                                message.data = $root.outrigger.mesh.v1.Data.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 3: {
                                message.credit = $root.outrigger.mesh.v1.Credit.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 4: {
                                message.failure = $root.outrigger.mesh.v1.Failure.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 5: {
                                message.accepted = $root.outrigger.mesh.v1.Accepted.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 6: {
                                message.refused = $root.outrigger.mesh.v1.Refused.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 7: {
                                message.revoked = $root.outrigger.mesh.v1.Revoked.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 8: {
                                message.welcome = $root.outrigger.mesh.v1.Welcome.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 9: {
                                message.goAway = $root.outrigger.mesh.v1.GoAway.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 10: {
                                message.sessionEnded = $root.outrigger.mesh.v1.SessionEnded.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 11: {
                                message.capabilitySet = $root.outrigger.mesh.v1.CapabilitySet.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 12: {
                                message.grant = $root.outrigger.mesh.v1.Grant.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 13: {
                                message.bookmark = $root.outrigger.mesh.v1.Bookmark.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return ReplicaFrame;
            })();

            v1.Hello = (function() {

                function Hello(properties) {
                    this.features = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Hello.prototype.node = "";
                Hello.prototype.build = "";
                Hello.prototype.virtualServer = "";
                Hello.prototype.features = $util.emptyArray;
                Hello.prototype.workloadToken = "";

                Hello.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.node != null && Object.hasOwnProperty.call(message, "node"))
                        writer.uint32(10).string(message.node);
                    if (message.build != null && Object.hasOwnProperty.call(message, "build"))
                        writer.uint32(18).string(message.build);
                    if (message.virtualServer != null && Object.hasOwnProperty.call(message, "virtualServer"))
                        writer.uint32(26).string(message.virtualServer);
                    if (message.features != null && message.features.length)
                        for (let i = 0; i < message.features.length; ++i)
                            writer.uint32(34).string(message.features[i]);
                    if (message.workloadToken != null && Object.hasOwnProperty.call(message, "workloadToken"))
                        writer.uint32(42).string(message.workloadToken);
                    return writer;
                };

                Hello.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Hello();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.node = reader.string();
                                break;
                            }
                        case 2: {
                                message.build = reader.string();
                                break;
                            }
                        case 3: {
                                message.virtualServer = reader.string();
                                break;
                            }
                        case 4: {
                                if (!(message.features && message.features.length))
                                    message.features = [];
                                message.features.push(reader.string());
                                break;
                            }
                        case 5: {
                                message.workloadToken = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Hello;
            })();

            v1.Welcome = (function() {

                function Welcome(properties) {
                    this.features = [];
                    this.issuers = [];
                    this.scopes = [];
                    this.replaySafeTools = [];
                    this.proofAlgorithms = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Welcome.prototype.replica = "";
                Welcome.prototype.build = "";
                Welcome.prototype.features = $util.emptyArray;
                Welcome.prototype.resource = "";
                Welcome.prototype.issuers = $util.emptyArray;
                Welcome.prototype.scopes = $util.emptyArray;
                Welcome.prototype.anonymous = false;
                Welcome.prototype.replaySafeTools = $util.emptyArray;
                Welcome.prototype.maxMessageBytes = 0;
                Welcome.prototype.proofAlgorithms = $util.emptyArray;
                Welcome.prototype.proofRequired = false;

                Welcome.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.replica != null && Object.hasOwnProperty.call(message, "replica"))
                        writer.uint32(10).string(message.replica);
                    if (message.build != null && Object.hasOwnProperty.call(message, "build"))
                        writer.uint32(18).string(message.build);
                    if (message.features != null && message.features.length)
                        for (let i = 0; i < message.features.length; ++i)
                            writer.uint32(26).string(message.features[i]);
                    if (message.resource != null && Object.hasOwnProperty.call(message, "resource"))
                        writer.uint32(34).string(message.resource);
                    if (message.issuers != null && message.issuers.length)
                        for (let i = 0; i < message.issuers.length; ++i)
                            writer.uint32(42).string(message.issuers[i]);
                    if (message.scopes != null && message.scopes.length)
                        for (let i = 0; i < message.scopes.length; ++i)
                            writer.uint32(50).string(message.scopes[i]);
                    if (message.anonymous != null && Object.hasOwnProperty.call(message, "anonymous"))
                        writer.uint32(56).bool(message.anonymous);
                    if (message.replaySafeTools != null && message.replaySafeTools.length)
                        for (let i = 0; i < message.replaySafeTools.length; ++i)
                            writer.uint32(66).string(message.replaySafeTools[i]);
                    if (message.maxMessageBytes != null && Object.hasOwnProperty.call(message, "maxMessageBytes"))
                        writer.uint32(72).uint32(message.maxMessageBytes);
                    if (message.proofAlgorithms != null && message.proofAlgorithms.length)
                        for (let i = 0; i < message.proofAlgorithms.length; ++i)
                            writer.uint32(82).string(message.proofAlgorithms[i]);
                    if (message.proofRequired != null && Object.hasOwnProperty.call(message, "proofRequired"))
                        writer.uint32(88).bool(message.proofRequired);
                    return writer;
                };

                Welcome.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Welcome();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.replica = reader.string();
                                break;
                            }
                        case 2: {
                                message.build = reader.string();
                                break;
                            }
                        case 3: {
                                if (!(message.features && message.features.length))
                                    message.features = [];
                                message.features.push(reader.string());
                                break;
                            }
                        case 4: {
                                message.resource = reader.string();
                                break;
                            }
                        case 5: {
                                if (!(message.issuers && message.issuers.length))
                                    message.issuers = [];
                                message.issuers.push(reader.string());
                                break;
                            }
                        case 6: {
                                if (!(message.scopes && message.scopes.length))
                                    message.scopes = [];
                                message.scopes.push(reader.string());
                                break;
                            }
                        case 7: {
                                message.anonymous = reader.bool();
                                break;
                            }
                        case 8: {
                                if (!(message.replaySafeTools && message.replaySafeTools.length))
                                    message.replaySafeTools = [];
                                message.replaySafeTools.push(reader.string());
                                break;
                            }
                        case 9: {
                                message.maxMessageBytes = reader.uint32();
                                break;
                            }
                        case 10: {
                                if (!(message.proofAlgorithms && message.proofAlgorithms.length))
                                    message.proofAlgorithms = [];
                                message.proofAlgorithms.push(reader.string());
                                break;
                            }
                        case 11: {
                                message.proofRequired = reader.bool();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Welcome;
            })();

            v1.Credential = (function() {

                function Credential(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Credential.prototype.id = 0;
                Credential.prototype.authorization = "";

                Credential.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                        writer.uint32(8).uint32(message.id);
                    if (message.authorization != null && Object.hasOwnProperty.call(message, "authorization"))
                        writer.uint32(18).string(message.authorization);
                    return writer;
                };

                Credential.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Credential();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.id = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.authorization = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Credential;
            })();

            v1.Forget = (function() {

                function Forget(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Forget.prototype.id = 0;

                Forget.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                        writer.uint32(8).uint32(message.id);
                    return writer;
                };

                Forget.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Forget();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.id = reader.uint32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Forget;
            })();

            v1.Accepted = (function() {

                function Accepted(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Accepted.prototype.id = 0;
                Accepted.prototype.principal = $util.newBuffer([]);

                Accepted.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                        writer.uint32(8).uint32(message.id);
                    if (message.principal != null && Object.hasOwnProperty.call(message, "principal"))
                        writer.uint32(18).bytes(message.principal);
                    return writer;
                };

                Accepted.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Accepted();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.id = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.principal = reader.bytes();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Accepted;
            })();

            v1.Refused = (function() {

                function Refused(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Refused.prototype.id = 0;
                Refused.prototype.reason = "";
                Refused.prototype.detail = "";

                Refused.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                        writer.uint32(8).uint32(message.id);
                    if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                        writer.uint32(18).string(message.reason);
                    if (message.detail != null && Object.hasOwnProperty.call(message, "detail"))
                        writer.uint32(26).string(message.detail);
                    return writer;
                };

                Refused.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Refused();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.id = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.reason = reader.string();
                                break;
                            }
                        case 3: {
                                message.detail = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Refused;
            })();

            v1.Revoked = (function() {

                function Revoked(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Revoked.prototype.id = 0;

                Revoked.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.id != null && Object.hasOwnProperty.call(message, "id"))
                        writer.uint32(8).uint32(message.id);
                    return writer;
                };

                Revoked.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Revoked();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.id = reader.uint32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Revoked;
            })();

            v1.Open = (function() {

                function Open(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Open.prototype.exchange = 0;
                Open.prototype.kind = 0;
                Open.prototype.credential = 0;
                Open.prototype.sessionId = "";
                Open.prototype.protocolVersion = "";
                Open.prototype.lastEventId = "";
                Open.prototype.deadlineMs = 0;
                Open.prototype.traceparent = "";
                Open.prototype.tracestate = "";
                Open.prototype.body = $util.newBuffer([]);
                Open.prototype.more = false;
                Open.prototype.follows = false;
                Open.prototype.proof = null;
                Open.prototype.requestId = "";

                Open.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.kind != null && Object.hasOwnProperty.call(message, "kind"))
                        writer.uint32(16).int32(message.kind);
                    if (message.credential != null && Object.hasOwnProperty.call(message, "credential"))
                        writer.uint32(24).uint32(message.credential);
                    if (message.sessionId != null && Object.hasOwnProperty.call(message, "sessionId"))
                        writer.uint32(34).string(message.sessionId);
                    if (message.protocolVersion != null && Object.hasOwnProperty.call(message, "protocolVersion"))
                        writer.uint32(42).string(message.protocolVersion);
                    if (message.lastEventId != null && Object.hasOwnProperty.call(message, "lastEventId"))
                        writer.uint32(50).string(message.lastEventId);
                    if (message.deadlineMs != null && Object.hasOwnProperty.call(message, "deadlineMs"))
                        writer.uint32(56).uint32(message.deadlineMs);
                    if (message.traceparent != null && Object.hasOwnProperty.call(message, "traceparent"))
                        writer.uint32(66).string(message.traceparent);
                    if (message.tracestate != null && Object.hasOwnProperty.call(message, "tracestate"))
                        writer.uint32(74).string(message.tracestate);
                    if (message.body != null && Object.hasOwnProperty.call(message, "body"))
                        writer.uint32(82).bytes(message.body);
                    if (message.more != null && Object.hasOwnProperty.call(message, "more"))
                        writer.uint32(88).bool(message.more);
                    if (message.follows != null && Object.hasOwnProperty.call(message, "follows"))
                        writer.uint32(96).bool(message.follows);
                    if (message.proof != null && Object.hasOwnProperty.call(message, "proof"))
                        $root.outrigger.mesh.v1.Proof.encode(message.proof, writer.uint32(106).fork(), q + 1).ldelim();
                    if (message.requestId != null && Object.hasOwnProperty.call(message, "requestId"))
                        writer.uint32(114).string(message.requestId);
                    return writer;
                };

                Open.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Open();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.kind = reader.int32();
                                break;
                            }
                        case 3: {
                                message.credential = reader.uint32();
                                break;
                            }
                        case 4: {
                                message.sessionId = reader.string();
                                break;
                            }
                        case 5: {
                                message.protocolVersion = reader.string();
                                break;
                            }
                        case 6: {
                                message.lastEventId = reader.string();
                                break;
                            }
                        case 7: {
                                message.deadlineMs = reader.uint32();
                                break;
                            }
                        case 8: {
                                message.traceparent = reader.string();
                                break;
                            }
                        case 9: {
                                message.tracestate = reader.string();
                                break;
                            }
                        case 10: {
                                message.body = reader.bytes();
                                break;
                            }
                        case 11: {
                                message.more = reader.bool();
                                break;
                            }
                        case 12: {
                                message.follows = reader.bool();
                                break;
                            }
                        case 13: {
                                message.proof = $root.outrigger.mesh.v1.Proof.decode(reader, reader.uint32(), undefined, long + 1);
                                break;
                            }
                        case 14: {
                                message.requestId = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                Open.Kind = (function() {
                    const valuesById = {}, values = Object.create(valuesById);
                    values[valuesById[0] = "MESSAGE"] = 0;
                    values[valuesById[1] = "LISTEN"] = 1;
                    values[valuesById[2] = "TERMINATE"] = 2;
                    return values;
                })();

                return Open;
            })();

            v1.Proof = (function() {

                function Proof(properties) {
                    this.urls = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Proof.prototype.jwt = "";
                Proof.prototype.urls = $util.emptyArray;
                Proof.prototype.request = "";

                Proof.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.jwt != null && Object.hasOwnProperty.call(message, "jwt"))
                        writer.uint32(10).string(message.jwt);
                    if (message.urls != null && message.urls.length)
                        for (let i = 0; i < message.urls.length; ++i)
                            writer.uint32(18).string(message.urls[i]);
                    if (message.request != null && Object.hasOwnProperty.call(message, "request"))
                        writer.uint32(26).string(message.request);
                    return writer;
                };

                Proof.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Proof();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.jwt = reader.string();
                                break;
                            }
                        case 2: {
                                if (!(message.urls && message.urls.length))
                                    message.urls = [];
                                message.urls.push(reader.string());
                                break;
                            }
                        case 3: {
                                message.request = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Proof;
            })();

            v1.Data = (function() {

                function Data(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Data.prototype.exchange = 0;
                Data.prototype.body = $util.newBuffer([]);
                Data.prototype.more = false;
                Data.prototype.eventId = "";
                Data.prototype.retryMs = 0;
                Data.prototype.end = false;

                Data.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.body != null && Object.hasOwnProperty.call(message, "body"))
                        writer.uint32(18).bytes(message.body);
                    if (message.more != null && Object.hasOwnProperty.call(message, "more"))
                        writer.uint32(24).bool(message.more);
                    if (message.eventId != null && Object.hasOwnProperty.call(message, "eventId"))
                        writer.uint32(34).string(message.eventId);
                    if (message.retryMs != null && Object.hasOwnProperty.call(message, "retryMs"))
                        writer.uint32(40).uint32(message.retryMs);
                    if (message.end != null && Object.hasOwnProperty.call(message, "end"))
                        writer.uint32(48).bool(message.end);
                    return writer;
                };

                Data.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Data();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.body = reader.bytes();
                                break;
                            }
                        case 3: {
                                message.more = reader.bool();
                                break;
                            }
                        case 4: {
                                message.eventId = reader.string();
                                break;
                            }
                        case 5: {
                                message.retryMs = reader.uint32();
                                break;
                            }
                        case 6: {
                                message.end = reader.bool();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Data;
            })();

            v1.Head = (function() {

                function Head(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Head.prototype.exchange = 0;
                Head.prototype.kind = 0;
                Head.prototype.sessionId = "";
                Head.prototype.body = $util.newBuffer([]);
                Head.prototype.more = false;

                Head.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.kind != null && Object.hasOwnProperty.call(message, "kind"))
                        writer.uint32(16).int32(message.kind);
                    if (message.sessionId != null && Object.hasOwnProperty.call(message, "sessionId"))
                        writer.uint32(26).string(message.sessionId);
                    if (message.body != null && Object.hasOwnProperty.call(message, "body"))
                        writer.uint32(34).bytes(message.body);
                    if (message.more != null && Object.hasOwnProperty.call(message, "more"))
                        writer.uint32(40).bool(message.more);
                    return writer;
                };

                Head.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Head();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.kind = reader.int32();
                                break;
                            }
                        case 3: {
                                message.sessionId = reader.string();
                                break;
                            }
                        case 4: {
                                message.body = reader.bytes();
                                break;
                            }
                        case 5: {
                                message.more = reader.bool();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                Head.Kind = (function() {
                    const valuesById = {}, values = Object.create(valuesById);
                    values[valuesById[0] = "JSON"] = 0;
                    values[valuesById[1] = "ACCEPTED"] = 1;
                    values[valuesById[2] = "STREAM"] = 2;
                    return values;
                })();

                return Head;
            })();

            v1.Failure = (function() {

                function Failure(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Failure.prototype.exchange = 0;
                Failure.prototype.reason = "";
                Failure.prototype.detail = "";
                Failure.prototype.retryAfterMs = 0;
                Failure.prototype.scope = "";
                Failure.prototype.backend = "";

                Failure.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                        writer.uint32(18).string(message.reason);
                    if (message.detail != null && Object.hasOwnProperty.call(message, "detail"))
                        writer.uint32(26).string(message.detail);
                    if (message.retryAfterMs != null && Object.hasOwnProperty.call(message, "retryAfterMs"))
                        writer.uint32(32).uint32(message.retryAfterMs);
                    if (message.scope != null && Object.hasOwnProperty.call(message, "scope"))
                        writer.uint32(42).string(message.scope);
                    if (message.backend != null && Object.hasOwnProperty.call(message, "backend"))
                        writer.uint32(50).string(message.backend);
                    return writer;
                };

                Failure.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Failure();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.reason = reader.string();
                                break;
                            }
                        case 3: {
                                message.detail = reader.string();
                                break;
                            }
                        case 4: {
                                message.retryAfterMs = reader.uint32();
                                break;
                            }
                        case 5: {
                                message.scope = reader.string();
                                break;
                            }
                        case 6: {
                                message.backend = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Failure;
            })();

            v1.Credit = (function() {

                function Credit(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Credit.prototype.exchange = 0;
                Credit.prototype.bytes = 0;

                Credit.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.bytes != null && Object.hasOwnProperty.call(message, "bytes"))
                        writer.uint32(16).uint32(message.bytes);
                    return writer;
                };

                Credit.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Credit();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.bytes = reader.uint32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Credit;
            })();

            v1.Cancel = (function() {

                function Cancel(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Cancel.prototype.exchange = 0;
                Cancel.prototype.reason = 0;

                Cancel.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                        writer.uint32(16).int32(message.reason);
                    return writer;
                };

                Cancel.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Cancel();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.reason = reader.int32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                Cancel.Reason = (function() {
                    const valuesById = {}, values = Object.create(valuesById);
                    values[valuesById[0] = "CANCELLED"] = 0;
                    values[valuesById[1] = "DEADLINE"] = 1;
                    values[valuesById[2] = "SHUTDOWN"] = 2;
                    return values;
                })();

                return Cancel;
            })();

            v1.Detach = (function() {

                function Detach(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Detach.prototype.exchange = 0;

                Detach.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.exchange != null && Object.hasOwnProperty.call(message, "exchange"))
                        writer.uint32(8).uint32(message.exchange);
                    return writer;
                };

                Detach.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Detach();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.exchange = reader.uint32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Detach;
            })();

            v1.GoAway = (function() {

                function GoAway(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                GoAway.prototype.lastExchange = 0;
                GoAway.prototype.reconnectAfterMs = 0;
                GoAway.prototype.reason = "";

                GoAway.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.lastExchange != null && Object.hasOwnProperty.call(message, "lastExchange"))
                        writer.uint32(8).uint32(message.lastExchange);
                    if (message.reconnectAfterMs != null && Object.hasOwnProperty.call(message, "reconnectAfterMs"))
                        writer.uint32(16).uint32(message.reconnectAfterMs);
                    if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                        writer.uint32(26).string(message.reason);
                    return writer;
                };

                GoAway.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.GoAway();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.lastExchange = reader.uint32();
                                break;
                            }
                        case 2: {
                                message.reconnectAfterMs = reader.uint32();
                                break;
                            }
                        case 3: {
                                message.reason = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return GoAway;
            })();

            v1.SessionEnded = (function() {

                function SessionEnded(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                SessionEnded.prototype.sessionId = "";

                SessionEnded.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.sessionId != null && Object.hasOwnProperty.call(message, "sessionId"))
                        writer.uint32(10).string(message.sessionId);
                    return writer;
                };

                SessionEnded.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.SessionEnded();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.sessionId = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return SessionEnded;
            })();

            v1.Held = (function() {

                function Held(properties) {
                    this.sets = [];
                    this.items = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Held.prototype.sets = $util.emptyArray;
                Held.prototype.items = $util.emptyArray;

                Held.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.sets != null && message.sets.length)
                        for (let i = 0; i < message.sets.length; ++i)
                            writer.uint32(10).bytes(message.sets[i]);
                    if (message.items != null && message.items.length)
                        for (let i = 0; i < message.items.length; ++i)
                            writer.uint32(18).bytes(message.items[i]);
                    return writer;
                };

                Held.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Held();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                if (!(message.sets && message.sets.length))
                                    message.sets = [];
                                message.sets.push(reader.bytes());
                                break;
                            }
                        case 2: {
                                if (!(message.items && message.items.length))
                                    message.items = [];
                                message.items.push(reader.bytes());
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Held;
            })();

            v1.CapabilitySet = (function() {

                function CapabilitySet(properties) {
                    this.items = [];
                    this.bodies = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                CapabilitySet.prototype.set = $util.newBuffer([]);
                CapabilitySet.prototype.head = $util.newBuffer([]);
                CapabilitySet.prototype.items = $util.emptyArray;
                CapabilitySet.prototype.bodies = $util.emptyArray;
                CapabilitySet.prototype.more = false;

                CapabilitySet.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.set != null && Object.hasOwnProperty.call(message, "set"))
                        writer.uint32(10).bytes(message.set);
                    if (message.head != null && Object.hasOwnProperty.call(message, "head"))
                        writer.uint32(18).bytes(message.head);
                    if (message.items != null && message.items.length)
                        for (let i = 0; i < message.items.length; ++i)
                            writer.uint32(26).bytes(message.items[i]);
                    if (message.bodies != null && message.bodies.length)
                        for (let i = 0; i < message.bodies.length; ++i)
                            writer.uint32(34).bytes(message.bodies[i]);
                    if (message.more != null && Object.hasOwnProperty.call(message, "more"))
                        writer.uint32(40).bool(message.more);
                    return writer;
                };

                CapabilitySet.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.CapabilitySet();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.set = reader.bytes();
                                break;
                            }
                        case 2: {
                                message.head = reader.bytes();
                                break;
                            }
                        case 3: {
                                if (!(message.items && message.items.length))
                                    message.items = [];
                                message.items.push(reader.bytes());
                                break;
                            }
                        case 4: {
                                if (!(message.bodies && message.bodies.length))
                                    message.bodies = [];
                                message.bodies.push(reader.bytes());
                                break;
                            }
                        case 5: {
                                message.more = reader.bool();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return CapabilitySet;
            })();

            v1.Ack = (function() {

                function Ack(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Ack.prototype.set = $util.newBuffer([]);

                Ack.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.set != null && Object.hasOwnProperty.call(message, "set"))
                        writer.uint32(10).bytes(message.set);
                    return writer;
                };

                Ack.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Ack();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.set = reader.bytes();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Ack;
            })();

            v1.Nack = (function() {

                function Nack(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Nack.prototype.set = $util.newBuffer([]);
                Nack.prototype.reason = "";

                Nack.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.set != null && Object.hasOwnProperty.call(message, "set"))
                        writer.uint32(10).bytes(message.set);
                    if (message.reason != null && Object.hasOwnProperty.call(message, "reason"))
                        writer.uint32(18).string(message.reason);
                    return writer;
                };

                Nack.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Nack();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.set = reader.bytes();
                                break;
                            }
                        case 2: {
                                message.reason = reader.string();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Nack;
            })();

            v1.Grant = (function() {

                function Grant(properties) {
                    this.sets = {};
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Grant.prototype.sessionId = "";
                Grant.prototype.credential = 0;
                Grant.prototype.sets = $util.emptyObject;
                Grant.prototype.validForMs = 0;

                Grant.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.sessionId != null && Object.hasOwnProperty.call(message, "sessionId"))
                        writer.uint32(10).string(message.sessionId);
                    if (message.credential != null && Object.hasOwnProperty.call(message, "credential"))
                        writer.uint32(16).uint32(message.credential);
                    if (message.sets != null && Object.hasOwnProperty.call(message, "sets"))
                        for (let keys = Object.keys(message.sets), i = 0; i < keys.length; ++i)
                            writer.uint32(26).fork().uint32(10).string(keys[i]).uint32(18).bytes(message.sets[keys[i]]).ldelim();
                    if (message.validForMs != null && Object.hasOwnProperty.call(message, "validForMs"))
                        writer.uint32(32).uint32(message.validForMs);
                    return writer;
                };

                Grant.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message, key, value;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Grant();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                message.sessionId = reader.string();
                                break;
                            }
                        case 2: {
                                message.credential = reader.uint32();
                                break;
                            }
                        case 3: {
                                if (message.sets === $util.emptyObject)
                                    message.sets = {};
                                let end2 = reader.uint32() + reader.pos;
                                if (end2 > reader.len)
                                    throw RangeError("index out of range");
                                reader.len = end2;
                                key = "";
                                value = [];
                                while (reader.pos < end2) {
                                    let tag2 = reader.uint32();
                                    switch (tag2 >>> 3) {
                                    case 1:
                                        key = reader.string();
                                        break;
                                    case 2:
                                        value = reader.bytes();
                                        break;
                                    default:
                                        reader.skipType(tag2 & 7, long);
                                        break;
                                    }
                                }
                                if (reader.pos !== end2)
                                    throw RangeError("index out of range");
                                reader.len = end;
                                if (key === "__proto__")
                                    $util.makeProp(message.sets, key);
                                message.sets[key] = value;
                                break;
                            }
                        case 4: {
                                message.validForMs = reader.uint32();
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Grant;
            })();

            v1.Bookmark = (function() {

                function Bookmark(properties) {
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Bookmark.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    return writer;
                };

                Bookmark.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Bookmark();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Bookmark;
            })();

            v1.Active = (function() {

                function Active(properties) {
                    this.sessions = [];
                    if (properties)
                        for (let keys = Object.keys(properties), i = 0; i < keys.length; ++i)
                            if (properties[keys[i]] != null && keys[i] !== "__proto__")
                                this[keys[i]] = properties[keys[i]];
                }

                Active.prototype.sessions = $util.emptyArray;

                Active.encode = function encode(message, writer, q) {
                    if (!writer)
                        writer = $Writer.create();
                    if (q === undefined)
                        q = 0;
                    if (q > $util.recursionLimit)
                        throw Error("max depth exceeded");
                    if (message.sessions != null && message.sessions.length)
                        for (let i = 0; i < message.sessions.length; ++i)
                            writer.uint32(10).string(message.sessions[i]);
                    return writer;
                };

                Active.decode = function decode(reader, length, error, long) {
                    if (!(reader instanceof $Reader))
                        reader = $Reader.create(reader);
                    if (long === undefined)
                        long = 0;
                    if (long > $Reader.recursionLimit)
                        throw Error("maximum nesting depth exceeded");
                    let end, message;
                    if (length === undefined)
                        end = reader.len;
                    else {
                        end = reader.pos + length;
                        if (end > reader.len)
                            throw RangeError("index out of range");
                        length = reader.len;
                        reader.len = end;
                    }
                    message = new $root.outrigger.mesh.v1.Active();
                    while (reader.pos < end) {
                        let tag = reader.uint32();
                        if (tag === error)
                            break;
                        switch (tag >>> 3) {
                        case 1: {
                                if (!(message.sessions && message.sessions.length))
                                    message.sessions = [];
                                message.sessions.push(reader.string());
                                break;
                            }
                        default:
                            reader.skipType(tag & 7, long);
                            break;
                        }
                    }
                    if (length !== undefined) {
                        if (reader.pos !== end)
                            throw RangeError("index out of range");
                        reader.len = length;
                    }
                    return message;
                };

                return Active;
            })();

            return v1;
        })();

        return mesh;
    })();

    return outrigger;
})();

export { $root as default };
