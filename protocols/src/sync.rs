//! The frames of `/fedp2p/sync/1`, the protocol that makes sure.
//!
//! Gossip may lose anything; sync finds out and mends it. A frame is a 32-bit length and at most
//! [`MAX_FRAME_BYTES`] of content, whose first byte is its type. The machine that
//! decides what to send is in the core; this module is the shape of what it says.

use crate::certificate::{Chain, ChainError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{ConversationId, LogId, NodeId, OpId};
use crate::limits::{MAX_FRAME_BYTES, MAX_FRAME_LOGS, MAX_JOIN_BYTES, MAX_OP_BYTES};

/// Name of the stream protocol.
pub const PROTOCOL: &str = "/fedp2p/sync/1";

/// The first byte of [`Frame::Digest`].
pub const DIGEST: u8 = 1;
/// The first byte of [`Frame::Have`].
pub const HAVE: u8 = 2;
/// The first byte of [`Frame::Want`].
pub const WANT: u8 = 3;
/// The first byte of [`Frame::Ops`].
pub const OPS: u8 = 4;
/// The first byte of [`Frame::Push`].
pub const PUSH: u8 = 6;

/// Names one log everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    /// Who writes it.
    pub author: NodeId,
    /// Which of the author's.
    pub log: LogId,
}

/// How far a log goes at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The log.
    pub key: LogKey,
    /// Position of its last entry.
    pub height: u64,
    /// Id of that entry: equal heights with different heads are a fork.
    pub head: OpId,
    /// The first position that the node can still hand out.
    pub floor: u64,
}

/// A request for everything of one log from a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// The log.
    pub key: LogKey,
    /// The first position that is missing.
    pub from: u64,
}

/// Returns the digest of one conversation: BLAKE3 over its heads, sorted.
pub fn digest<'a>(heads: impl IntoIterator<Item = &'a Head>) -> [u8; 32] {
    let mut sorted: Vec<&Head> = heads.into_iter().collect();
    sorted.sort();
    let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 conversation digest");
    for head in sorted {
        hasher
            .update(head.key.author.as_bytes())
            .update(head.key.log.as_bytes())
            .update(&head.height.to_be_bytes())
            .update(head.head.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The type of [`Frame::Ping`].
const PING: u8 = 8;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The state of every conversation that the sender shares with the receiver.
    Digest(Vec<(ConversationId, [u8; 32])>),
    /// The heads of one conversation, in one or more frames.
    Have {
        /// The conversation.
        conversation: ConversationId,
        /// Whether more frames of this list follow.
        more: bool,
        /// The heads.
        heads: Vec<Head>,
    },
    /// A request for missing ops, in one or more frames.
    Want {
        /// The conversation.
        conversation: ConversationId,
        /// Whether more frames of this request follow.
        more: bool,
        /// What is missing.
        wants: Vec<Want>,
    },
    /// Ops that were asked for, in an order in which every op comes after those it depends on.
    Ops {
        /// The conversation.
        conversation: ConversationId,
        /// Whether this answers the request to its end.
        last: bool,
        /// The ops, as they travel.
        ops: Vec<Vec<u8>>,
    },
    /// The receiver has dealt with this many bytes of [`Frame::Ops`]; what was good is durable.
    Ack {
        /// Bytes of ops.
        bytes: u32,
    },
    /// Ops that the receiver did not ask for: new ones, and urgent ones.
    Push {
        /// The ops, as they travel.
        ops: Vec<Vec<u8>>,
    },
    /// These logs are durable at the sender up to these positions.
    Stored {
        /// The conversation.
        conversation: ConversationId,
        /// The heads.
        heads: Vec<Head>,
    },
    /// Asks for a sign of life.
    Ping(u64),
    /// Gives it, with the number that was sent.
    Pong(u64),
    /// Asks a node that may admit for a certificate with a later expiry.
    Renew,
    /// The renewed certificate.
    Renewed(Box<Chain>),
}

/// A frame is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not a frame.
    #[error("not a sync frame")]
    Decode(#[from] DecodeError),
    /// It carries a certificate chain that is not valid.
    #[error("a certificate in a frame is not valid")]
    Chain(#[from] ChainError),
}

fn read_list<T>(
    r: &mut Reader<'_>,
    limit: usize,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = r.count(limit, "entries of a frame")?;
    (0..count).map(|_| item(r)).collect()
}

fn read_key(r: &mut Reader<'_>) -> Result<LogKey, DecodeError> {
    Ok(LogKey { author: r.node_id()?, log: r.log_id()? })
}

fn read_head(r: &mut Reader<'_>) -> Result<Head, DecodeError> {
    Ok(Head { key: read_key(r)?, height: r.u64("height")?, head: r.op_id()?, floor: r.u64("floor")? })
}

fn read_ops(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    read_list(r, MAX_FRAME_BYTES, |r| r.bytes(MAX_OP_BYTES, "op").map(<[u8]>::to_vec))
}

fn write_heads(w: &mut Writer, heads: &[Head]) {
    w.count(heads.len());
    for head in heads {
        w.node_id(&head.key.author).log_id(&head.key.log).u64(head.height).op_id(&head.head).u64(head.floor);
    }
}

fn write_ops(w: &mut Writer, ops: &[Vec<u8>]) {
    w.count(ops.len());
    for op in ops {
        w.bytes(op);
    }
}

impl Frame {
    /// Whether an encoded frame is a [`Frame::Ping`], to which every node answers at once.
    pub fn is_ping(frame: &[u8]) -> bool {
        frame.first() == Some(&PING)
    }

    /// Several frames that say the same as a [`Frame::Push`], each with at most so many ops. What is no such frame, or
    /// none that can be read, stays as it is.
    pub fn parts(frame: Vec<u8>, most: usize) -> Vec<Vec<u8>> {
        match Self::decode(&frame) {
            Ok(Self::Push { ops }) if ops.len() > most => {
                ops.chunks(most).map(|ops| Self::Push { ops: ops.to_vec() }.encode()).collect()
            }
            Ok(_) | Err(_) => vec![frame],
        }
    }

    /// The content of the frame, without its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Digest(entries) => {
                w.u8(DIGEST).count(entries.len());
                for (conversation, digest) in entries {
                    w.conversation_id(conversation).raw(digest);
                }
            }
            Self::Have { conversation, more, heads } => {
                w.u8(HAVE).conversation_id(conversation).flag(*more);
                write_heads(&mut w, heads);
            }
            Self::Want { conversation, more, wants } => {
                w.u8(WANT).conversation_id(conversation).flag(*more).count(wants.len());
                for want in wants {
                    w.node_id(&want.key.author).log_id(&want.key.log).u64(want.from);
                }
            }
            Self::Ops { conversation, last, ops } => {
                w.u8(OPS).conversation_id(conversation).flag(*last);
                write_ops(&mut w, ops);
            }
            Self::Ack { bytes } => {
                w.u8(5).u32(*bytes);
            }
            Self::Push { ops } => {
                w.u8(PUSH);
                write_ops(&mut w, ops);
            }
            Self::Stored { conversation, heads } => {
                w.u8(7).conversation_id(conversation);
                write_heads(&mut w, heads);
            }
            Self::Ping(number) => {
                w.u8(PING).u64(*number);
            }
            Self::Pong(number) => {
                w.u8(9).u64(*number);
            }
            Self::Renew => {
                w.u8(10);
            }
            Self::Renewed(chain) => {
                w.u8(11).bytes(&chain.encode());
            }
        }
        w.into_bytes()
    }

    /// Reads the content of a frame.
    ///
    /// # Errors
    /// Any departure from the format or its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(FrameError::Decode(DecodeError::TooLarge {
                what: "frame",
                found: bytes.len(),
                limit: MAX_FRAME_BYTES,
            }));
        }
        let mut r = Reader::new(bytes);
        let frame = match r.u8("frame type")? {
            DIGEST => {
                Self::Digest(read_list(&mut r, MAX_FRAME_LOGS, |r| Ok((r.conversation_id()?, r.array("digest")?)))?)
            }
            HAVE => Self::Have {
                conversation: r.conversation_id()?,
                more: r.flag("more")?,
                heads: read_list(&mut r, MAX_FRAME_LOGS, read_head)?,
            },
            WANT => Self::Want {
                conversation: r.conversation_id()?,
                more: r.flag("more")?,
                wants: read_list(&mut r, MAX_FRAME_LOGS, |r| Ok(Want { key: read_key(r)?, from: r.u64("position")? }))?,
            },
            OPS => Self::Ops { conversation: r.conversation_id()?, last: r.flag("last")?, ops: read_ops(&mut r)? },
            5 => Self::Ack { bytes: r.u32("bytes")? },
            PUSH => Self::Push { ops: read_ops(&mut r)? },
            7 => Self::Stored {
                conversation: r.conversation_id()?,
                heads: read_list(&mut r, MAX_FRAME_LOGS, read_head)?,
            },
            PING => Self::Ping(r.u64("number")?),
            9 => Self::Pong(r.u64("number")?),
            10 => Self::Renew,
            11 => Self::Renewed(Box::new(Chain::decode(r.bytes(MAX_JOIN_BYTES, "certificate chain")?)?)),
            _ => return Err(FrameError::Decode(DecodeError::Invalid("frame type"))),
        };
        r.finish()?;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(n: u8) -> Head {
        Head {
            key: LogKey { author: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([n; 16]) },
            height: u64::from(n),
            head: OpId::from_bytes([n; 32]),
            floor: 1,
        }
    }

    #[test]
    fn every_frame_reads_back() {
        let conversation = ConversationId::from_bytes([1; 16]);
        let frames = [
            Frame::Digest(vec![(conversation, [2; 32])]),
            Frame::Have { conversation, more: true, heads: vec![head(1), head(2)] },
            Frame::Want { conversation, more: false, wants: vec![Want { key: head(3).key, from: 9 }] },
            Frame::Ops { conversation, last: true, ops: vec![vec![1, 2], vec![]] },
            Frame::Ack { bytes: 7 },
            Frame::Push { ops: vec![vec![3]] },
            Frame::Stored { conversation, heads: vec![head(4)] },
            Frame::Ping(1),
            Frame::Pong(2),
            Frame::Renew,
        ];
        for frame in frames {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn a_push_of_many_is_parted_and_anything_else_left_whole() {
        let ops: Vec<Vec<u8>> = (0..7).map(|n| vec![n]).collect();
        let parts = Frame::parts(Frame::Push { ops: ops.clone() }.encode(), 3);
        let read = parts.iter().map(|part| match Frame::decode(part) {
            Ok(Frame::Push { ops }) => ops,
            other => panic!("{other:?}"),
        });
        assert_eq!(read.collect::<Vec<_>>(), ops.chunks(3).map(<[Vec<u8>]>::to_vec).collect::<Vec<_>>());
        let broken = vec![PUSH, 9, 9, 9, 9, 9];
        for frame in [Frame::Ping(1).encode(), Frame::Push { ops: ops[..3].to_vec() }.encode(), broken] {
            assert_eq!(Frame::parts(frame.clone(), 3), [frame]);
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_order_and_notices_a_fork() {
        let (a, b) = (head(1), head(2));
        assert_eq!(digest([&a, &b]), digest([&b, &a]));
        let mut fork = b;
        fork.head = OpId::from_bytes([9; 32]);
        assert_ne!(digest([&a, &b]), digest([&a, &fork]));
    }

    #[test]
    fn a_full_list_of_heads_fits_a_frame() {
        let heads = vec![head(1); MAX_FRAME_LOGS];
        let conversation = ConversationId::from_bytes([1; 16]);
        let frame = Frame::Have { conversation, more: false, heads };
        assert!(frame.encode().len() <= MAX_FRAME_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(frame.encode(), bytes);
            }
        }
    }
}
