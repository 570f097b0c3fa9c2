//! The targets.

mod core;
mod gate;
mod messages;
mod note;
mod wire;

use crate::Target;

/// Every target.
pub const ALL: &[Target] = &[
    Target {
        name: "op",
        run: wire::op,
        seeds: wire::op_seeds,
        rounds: 20_000,
        depths: &["refused Truncated", "refused Invalid", "refused TooLarge", "refused Version", "decoded", "verified"],
    },
    Target {
        name: "frame",
        run: wire::frame,
        seeds: wire::frame_seeds,
        rounds: 30_000,
        depths: &[
            "Digest", "Have", "Want", "Ops", "Ack", "Push", "Stored", "Ping", "Pong", "Renew", "Renewed", "refused",
        ],
    },
    Target {
        name: "hello",
        run: wire::hello,
        seeds: wire::hello_seeds,
        rounds: 10_000,
        depths: &["knock", "welcome", "chain", "refused Signature", "refused Broken", "refused Decode"],
    },
    Target {
        name: "join",
        run: wire::join,
        seeds: wire::join_seeds,
        rounds: 1_500,
        depths: &["first refused", "second refused", "third refused", "request refused", "answer refused", "answered"],
    },
    Target {
        name: "ticket",
        run: messages::ticket,
        seeds: messages::ticket_seeds,
        rounds: 30_000,
        depths: &["ticket", "refused Damaged", "refused Prefix", "refused Decode"],
    },
    Target {
        name: "payload",
        run: messages::payload,
        seeds: messages::payload_seeds,
        rounds: 30_000,
        depths: &["Message", "Receipt", "Change", "Checkpoint", "LogStart", "Certificate", "ForkProof", "proven fork"],
    },
    Target {
        name: "socket",
        run: messages::socket,
        seeds: messages::socket_seeds,
        rounds: 20_000,
        depths: &["call", "not a call", "too large", "truncated", "ended"],
    },
    Target {
        name: "gate",
        run: gate::run,
        seeds: gate::seeds,
        rounds: 4_000,
        depths: &[
            "admitted",
            "Malformed",
            "ExtraBytes",
            "UnknownColumn",
            "Unsupported",
            "TooManyOps",
            "TooManyPreds",
            "NotNext",
            "UnknownActor",
            "WrongActor",
            "Sequence",
            "StartOp",
            "CounterTooHigh",
            "Time",
            "UnknownObject",
            "OutOfScope",
            "Predecessor",
            "Checksum",
            "NotCanonical",
        ],
    },
    Target {
        name: "note",
        run: note::run,
        seeds: note::seeds,
        rounds: 3_000,
        depths: &[
            "counts",
            "carried",
            "waits",
            "NotNext",
            "TooManyOps",
            "OtherObject",
            "UnknownCharacter",
            "Malformed",
            "ExtraBytes",
            "UnknownColumn",
            "Unsupported",
            "UnknownActor",
            "WrongActor",
            "Sequence",
            "StartOp",
            "Checksum",
            "NotCanonical",
        ],
    },
    Target {
        name: "core",
        run: core::run,
        seeds: core::seeds,
        rounds: 1_200,
        depths: &["quiet", "stored", "documents", "forked", "thrown out"],
    },
];
