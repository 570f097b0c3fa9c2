//! The op: one signed entry in one node's log. Everything that is shared travels as an op.
//!
//! An op is a header, a signature over it and a payload that the header names by hash. The id of an op is the BLAKE3
//! hash of its header, so a payload can be dropped later while the chain stays provable. `SPEC.md` in this folder
//! gives the layout byte by byte.
//!
//! The way in has two types: [`Op`] is what decoded and is well formed, [`Verified`] has passed [`verify`] or
//! [`verify_batch`]. Only a node's own signing and these functions make a [`Verified`].
//!
//! Signatures are Ed25519 by the rules of ZIP 215. Under those rules a signature that passes alone passes in a batch
//! and the reverse; under the older strict rules the two can differ, and a member could use that to split the mesh.

use std::collections::BTreeMap;

use ed25519_zebra::{Signature, SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_core::{CryptoRng, RngCore};

use crate::codec::{DecodeError, Reader, Writer};
use crate::hlc::Hlc;
use crate::id::{ConversationId, LogId, NetworkId, NodeId, OpId};
use crate::limits::{MAX_DEPS, MAX_HEADER_BYTES, MAX_OP_BYTES};
use crate::name::AgentName;

/// The version of the op format that this program writes.
pub const VERSION: u8 = 1;

const DOMAIN: &[u8] = b"fedp2p/op/v1";

/// What the payload of an op is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// First entry of a log: the author's certificate and the log that came before.
    LogStart,
    /// A renewed certificate of the author.
    Certificate,
    /// A message.
    Message,
    /// What an agent has been handed or has acknowledged.
    Receipt,
    /// One Automerge change.
    Change,
    /// The start of a document epoch.
    Checkpoint,
    /// Two headers that prove a fork.
    ForkProof,
    /// One Automerge change of a note.
    Note,
    /// A kind of a newer version: stored and passed on, not interpreted.
    Other(u16),
}

impl Kind {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::LogStart => 1,
            Self::Certificate => 2,
            Self::Message => 3,
            Self::Receipt => 4,
            Self::Change => 5,
            Self::Checkpoint => 6,
            Self::ForkProof => 7,
            Self::Note => 8,
            Self::Other(code) => code,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u16) -> Self {
        match code {
            1 => Self::LogStart,
            2 => Self::Certificate,
            3 => Self::Message,
            4 => Self::Receipt,
            5 => Self::Change,
            6 => Self::Checkpoint,
            7 => Self::ForkProof,
            8 => Self::Note,
            code => Self::Other(code),
        }
    }

    /// Whether ops of this kind go to every sync stream at once, besides gossip.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::ForkProof | Self::Certificate)
    }
}

/// The signed part of an op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The home network of the conversation.
    pub network: NetworkId,
    /// Who signed.
    pub author: NodeId,
    /// The log that this entry extends.
    pub log: LogId,
    /// Position in the log, from 1.
    pub seq: u64,
    /// The entry before; zero at position 1.
    pub backlink: OpId,
    /// The conversation that the log belongs to.
    pub conversation: ConversationId,
    /// Ops of other logs that the author had seen, sorted, each once, at most [`MAX_DEPS`].
    pub deps: Vec<OpId>,
    /// The author's hybrid logical clock.
    pub hlc: Hlc,
    /// What the payload is.
    pub kind: Kind,
    /// The agent of the author's node that speaks; absent for the node's own entries.
    pub agent: Option<AgentName>,
    /// BLAKE3 of the payload.
    pub payload_hash: [u8; 32],
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// In a checkpoint: document changes of this log before this position are no longer needed.
    pub floor: Option<u64>,
}

/// The backlink of a first entry.
pub const NO_BACKLINK: OpId = OpId::from_bytes([0; 32]);

impl Header {
    /// Returns the one encoding of this header.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION)
            .network_id(&self.network)
            .node_id(&self.author)
            .log_id(&self.log)
            .u64(self.seq)
            .op_id(&self.backlink)
            .conversation_id(&self.conversation)
            .count(self.deps.len());
        for dep in &self.deps {
            w.op_id(dep);
        }
        w.u64(self.hlc.to_u64())
            .u16(self.kind.code())
            .text(self.agent.as_ref().map_or("", AgentName::as_str))
            .raw(&self.payload_hash)
            .u32(self.payload_len)
            .flag(self.floor.is_some());
        if let Some(floor) = self.floor {
            w.u64(floor);
        }
        w.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let network = r.network_id()?;
        let author = r.node_id()?;
        let log = r.log_id()?;
        let seq = r.u64("seq")?;
        let backlink = r.op_id()?;
        let conversation = r.conversation_id()?;
        let count = r.count(MAX_DEPS, "number of deps")?;
        let deps = (0..count).map(|_| r.op_id()).collect::<Result<Vec<_>, _>>()?;
        if !deps.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid("deps"));
        }
        if seq == 0 || (seq == 1) != (backlink == NO_BACKLINK) {
            return Err(DecodeError::Invalid("seq"));
        }
        let hlc = Hlc::from_u64(r.u64("hlc")?);
        let kind = Kind::from_code(r.u16("kind")?);
        let agent = match r.text(crate::limits::MAX_NAME_BYTES, "agent")? {
            "" => None,
            name => Some(name.parse().map_err(|_| DecodeError::Invalid("agent"))?),
        };
        let payload_hash = r.array("payload hash")?;
        let payload_len = r.u32("payload length")?;
        let floor = r.flag("floor")?.then(|| r.u64("floor")).transpose()?;
        r.finish()?;
        Ok(Self {
            network,
            author,
            log,
            seq,
            backlink,
            conversation,
            deps,
            hlc,
            kind,
            agent,
            payload_hash,
            payload_len,
            floor,
        })
    }
}

/// An op that is well formed: within the limits, canonical, and its payload is the one its header names.
///
/// Its signature has not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    id: OpId,
    header: Header,
    /// Header length (2 bytes), header, signature (64 bytes), payload.
    bytes: Vec<u8>,
    header_len: usize,
}

const SIGNATURE_BYTES: usize = 64;

impl Op {
    /// Reads an op.
    ///
    /// # Errors
    /// Any departure from the format, the limits or the one canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_OP_BYTES {
            return Err(DecodeError::TooLarge { what: "op", found: bytes.len(), limit: MAX_OP_BYTES });
        }
        let mut r = Reader::new(bytes);
        let header_len = r.count(MAX_HEADER_BYTES, "header length")?;
        let header_bytes = r.raw(header_len, "header")?;
        r.raw(SIGNATURE_BYTES, "signature")?;
        let payload = r.remaining();
        let header = Header::decode(header_bytes)?;
        if header.encode() != header_bytes {
            return Err(DecodeError::Invalid("encoding of the header"));
        }
        if header.payload_len as usize != payload.len() {
            return Err(DecodeError::Invalid("payload length"));
        }
        if header.payload_hash != *blake3::hash(payload).as_bytes() {
            return Err(DecodeError::Invalid("payload hash"));
        }
        Ok(Self {
            id: OpId::from_bytes(*blake3::hash(header_bytes).as_bytes()),
            header,
            bytes: bytes.to_vec(),
            header_len,
        })
    }

    /// The hash of the header.
    pub fn id(&self) -> OpId {
        self.id
    }

    /// The signed part.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole op as it travels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The header as it was signed.
    pub fn header_bytes(&self) -> &[u8] {
        &self.bytes[2..2 + self.header_len]
    }

    /// The signature.
    pub fn signature(&self) -> [u8; SIGNATURE_BYTES] {
        let start = 2 + self.header_len;
        <[u8; SIGNATURE_BYTES]>::try_from(&self.bytes[start..start + SIGNATURE_BYTES])
            .expect("decode and sign both lay out 64 bytes here")
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[2 + self.header_len + SIGNATURE_BYTES..]
    }

    /// Puts an op together from parts that were stored apart.
    ///
    /// # Errors
    /// As [`Op::decode`].
    pub fn from_parts(header: &[u8], signature: &[u8], payload: &[u8]) -> Result<Self, DecodeError> {
        if header.len() > MAX_HEADER_BYTES {
            return Err(DecodeError::Invalid("header length"));
        }
        Self::decode(&lay_out(header, signature, payload))
    }
}

fn lay_out(header: &[u8], signature: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.count(header.len()).raw(header).raw(signature).raw(payload);
    w.into_bytes()
}

/// An op whose signature is its author's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified(Op);

impl std::ops::Deref for Verified {
    type Target = Op;

    fn deref(&self) -> &Op {
        &self.0
    }
}

impl Verified {
    /// Takes an op that this node verified before it stored it.
    ///
    /// Only for ops read back from the node's own database.
    pub fn from_store(op: Op) -> Self {
        Self(op)
    }
}

/// A signature is not its author's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not its author's")]
#[non_exhaustive]
pub struct BadSignature;

fn signed_bytes(header: &[u8]) -> Vec<u8> {
    [DOMAIN, header].concat()
}

/// A node's secret key.
#[derive(Clone)]
pub struct NodeKey {
    signing: SigningKey,
    id: NodeId,
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey({})", self.id.short())
    }
}

impl NodeKey {
    /// Makes the key of this 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let signing = SigningKey::from(seed);
        let id = NodeId::from_bytes(VerificationKeyBytes::from(&signing).into());
        Self { signing, id }
    }

    /// The public half.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The seed; handle it as the secret that it is.
    pub fn seed(&self) -> [u8; 32] {
        <[u8; 32]>::try_from(self.signing.as_ref()).expect("a seed has 32 bytes")
    }

    /// Signs raw bytes under a domain.
    pub fn sign_bytes(&self, domain: &[u8], bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.signing.sign(&[domain, bytes].concat()).to_bytes()
    }

    /// Signs a header with its payload.
    ///
    /// The caller sets every field of the header but the author and the two that describe the payload.
    ///
    /// # Errors
    /// If header or payload are over the limits or the header is not well formed.
    pub fn sign(&self, mut header: Header, payload: &[u8]) -> Result<Verified, DecodeError> {
        header.author = self.id;
        header.payload_hash = *blake3::hash(payload).as_bytes();
        header.payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header_bytes = header.encode();
        let signature = self.signing.sign(&signed_bytes(&header_bytes)).to_bytes();
        if header_bytes.len() > MAX_HEADER_BYTES {
            return Err(DecodeError::Invalid("header length"));
        }
        Op::decode(&lay_out(&header_bytes, &signature, payload)).map(Verified)
    }
}

/// Checks a signature that was made by [`NodeKey::sign_bytes`].
///
/// # Errors
/// If the key is none or the signature is not its.
pub fn verify_bytes(
    signer: &[u8; 32],
    domain: &[u8],
    bytes: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), BadSignature> {
    VerificationKey::try_from(*signer)
        .and_then(|key| key.verify(&Signature::from(*signature), &[domain, bytes].concat()))
        .map_err(|_| BadSignature)
}

/// Checks one op.
///
/// # Errors
/// If the signature is not the author's.
pub fn verify(op: Op) -> Result<Verified, BadSignature> {
    let signature = op.signature();
    verify_bytes(op.header.author.as_bytes(), DOMAIN, op.header_bytes(), &signature)?;
    Ok(Verified(op))
}

/// Checks that `header` decodes and that `signature` over it is its author's: the evidence of a fork proof.
///
/// # Errors
/// If either is not so.
pub fn verify_header(header: &[u8], signature: &[u8; 64]) -> Result<(OpId, Header), DecodeError> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(DecodeError::Invalid("header length"));
    }
    let decoded = Header::decode(header)?;
    if decoded.encode() != header {
        return Err(DecodeError::Invalid("encoding of the header"));
    }
    verify_bytes(decoded.author.as_bytes(), DOMAIN, header, signature)
        .map_err(|_| DecodeError::Invalid("signature"))?;
    Ok((OpId::from_bytes(*blake3::hash(header).as_bytes()), decoded))
}

/// Checks many ops together, at less than half the cost of one by one when all are good.
///
/// Returns one result for each op, in order.
pub fn verify_batch<R: RngCore + CryptoRng>(ops: Vec<Op>, rng: &mut R) -> Vec<Result<Verified, BadSignature>> {
    Verifier::default().verify(ops, rng)
}

/// Most authors whose keys a [`Verifier`] keeps; one more, and it starts over.
const MAX_KEYS: usize = 256;

/// Checks ops, and keeps the keys of their authors in the form in which they are used: making that takes a tenth of
/// what checking one op does.
#[derive(Debug, Default)]
pub struct Verifier {
    keys: BTreeMap<NodeId, VerificationKey>,
}

impl Verifier {
    /// As [`verify_batch`].
    pub fn verify<R: RngCore + CryptoRng>(&mut self, ops: Vec<Op>, rng: &mut R) -> Vec<Result<Verified, BadSignature>> {
        if ops.len() > 1 && is_good_batch(&ops, rng) {
            return ops.into_iter().map(|op| Ok(Verified(op))).collect();
        }
        ops.into_iter().map(|op| self.verify_one(op)).collect()
    }

    fn verify_one(&mut self, op: Op) -> Result<Verified, BadSignature> {
        let author = op.header.author;
        let key = match self.keys.get(&author) {
            Some(key) => *key,
            None => {
                let key = VerificationKey::try_from(*author.as_bytes()).map_err(|_| BadSignature)?;
                if self.keys.len() >= MAX_KEYS {
                    self.keys.clear();
                }
                self.keys.insert(author, key);
                key
            }
        };
        let signature = Signature::from(op.signature());
        key.verify(&signature, &signed_bytes(op.header_bytes())).map_err(|_| BadSignature)?;
        Ok(Verified(op))
    }
}

fn is_good_batch<R: RngCore + CryptoRng>(ops: &[Op], rng: &mut R) -> bool {
    let mut verifier = batch::Verifier::new();
    for op in ops {
        let key = VerificationKeyBytes::from(*op.header.author.as_bytes());
        let signature = Signature::from(op.signature());
        verifier.queue((key, signature, &signed_bytes(op.header_bytes())));
    }
    verifier.verify(rng).is_ok()
}

#[cfg(test)]
#[path = "op_tests.rs"]
mod tests;
