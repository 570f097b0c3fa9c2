//! What the payloads of ops say.
//!
//! The first byte of a payload names how the rest is protected: 0 is clear. Encryption with a conversation's key and
//! sealing to single nodes have their numbers reserved (1 and 2). Messages and receipts are JSON behind that byte,
//! so that other programs and a plain SQL query can read them; the rest has a fixed binary form.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::certificate::{Chain, ChainError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{NodeId, OpId};
use crate::limits::{
    MAX_CARRIED_BYTES, MAX_CHANGE_BYTES, MAX_COVERS, MAX_DATA_BYTES, MAX_HEADER_BYTES, MAX_JOIN_BYTES, MAX_NAME_BYTES,
    MAX_RECIPIENTS, MAX_TEXT_BYTES,
};
use crate::name::NoteName;
use crate::sync::LogKey;
use crate::vote::AgentId;

const CLEAR: u8 = 0;

/// The payload of an op is not what its kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Protected in a way that this node cannot open.
    #[error("the payload is protected with scheme {0}, which this node cannot open")]
    Scheme(u8),
    /// Not the fixed form of its kind.
    #[error("the payload is not what its kind says")]
    Decode(#[from] DecodeError),
    /// Not the JSON of its kind.
    #[error("the payload is not the JSON of its kind")]
    Json,
    /// A field is over its limit.
    #[error("{what} has {found} bytes or entries, at most {limit} are allowed")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A certificate in it is not valid.
    #[error("a certificate in the payload is not valid")]
    Chain(#[from] ChainError),
}

fn open(payload: &[u8]) -> Result<&[u8], PayloadError> {
    match payload.split_first() {
        Some((&CLEAR, rest)) => Ok(rest),
        Some((&scheme, _)) => Err(PayloadError::Scheme(scheme)),
        None => Err(DecodeError::Truncated("payload").into()),
    }
}

fn clear() -> Writer {
    let mut w = Writer::new();
    w.u8(CLEAR);
    w
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![CLEAR];
    serde_json::to_writer(&mut bytes, value)
        .expect("payload types have string keys and writing to memory does not fail");
    bytes
}

fn from_json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(open(payload)?).map_err(|_| PayloadError::Json)
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), PayloadError> {
    if found > limit {
        return Err(PayloadError::TooLarge { what, found, limit });
    }
    Ok(())
}

/// What a message is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// Talk.
    #[default]
    Chat,
    /// Work for the recipient.
    Task,
    /// The outcome of a task.
    Result,
    /// News about work under way.
    Status,
    /// Something failed.
    Error,
    /// What was said is understood; it needs no answer.
    Ack,
    /// What other messages say, for those who come later.
    Summary,
}

impl MessageType {
    /// All types, in the order of help texts.
    pub const ALL: [Self; 7] =
        [Self::Chat, Self::Task, Self::Result, Self::Status, Self::Error, Self::Ack, Self::Summary];

    /// The name in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Task => "task",
            Self::Result => "result",
            Self::Status => "status",
            Self::Error => "error",
            Self::Ack => "ack",
            Self::Summary => "summary",
        }
    }
}

/// What a summary covers: one message, or all from one to another in the order of their clocks and ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cover {
    /// The message, or the first.
    pub from: OpId,
    /// The last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<OpId>,
}

/// A message from one agent to others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// For whom; empty means everybody in the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<AgentId>,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// The text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Structured data, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<OpId>,
    /// Ties together the messages of one piece of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Whether it may break through where a recipient lets it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// When it is not worth handing out any more, in milliseconds since 1970 by the author's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What a summary covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Cover>,
}

impl Message {
    /// Checks the limits.
    ///
    /// # Errors
    /// Names the first field that is over its limit.
    pub fn check(&self) -> Result<(), PayloadError> {
        at_most("recipients", self.to.len(), MAX_RECIPIENTS)?;
        at_most("what it covers", self.covers.len(), MAX_COVERS)?;
        at_most("text", self.text.len(), MAX_TEXT_BYTES)?;
        let correlation = self.correlation.as_ref().map_or(0, String::len);
        at_most("correlation id", correlation, 128)?;
        let data = self.data.as_ref().map_or(0, |data| data.to_string().len());
        at_most("data", data, MAX_DATA_BYTES)
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads a payload and checks its limits.
    ///
    /// # Errors
    /// If it is not a message or over a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let message: Self = from_json(payload)?;
        message.check()?;
        Ok(message)
    }

    /// Whether the message is for this agent. Its own author is not a recipient of a message to all.
    pub fn is_for(&self, agent: &AgentId, author: Option<&AgentId>) -> bool {
        if self.to.is_empty() { author != Some(agent) } else { self.to.contains(agent) }
    }
}

/// Everything up to one position of one log has been handed to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surfaced {
    /// Who wrote the log.
    pub author: NodeId,
    /// The log.
    pub log: crate::id::LogId,
    /// The position.
    pub seq: u64,
}

impl Surfaced {
    /// The log.
    pub fn key(&self) -> LogKey {
        LogKey { author: self.author, log: self.log }
    }
}

/// What the agent named in the op's header has been handed, and what it acknowledges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Handed out: every message for this agent in these logs up to these positions, but for those that expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaced: Vec<Surfaced>,
    /// Acknowledged by the agent itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acknowledged: Vec<OpId>,
    /// Handed out by themselves: they expire, or something before them in their log is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed: Vec<OpId>,
}

/// Most entries of each list of a [`Receipt`].
pub const MAX_RECEIPT_ENTRIES: usize = 256;

impl Receipt {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads a payload and checks its limits.
    ///
    /// # Errors
    /// If it is not a receipt or over a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let receipt: Self = from_json(payload)?;
        at_most("surfaced", receipt.surfaced.len(), MAX_RECEIPT_ENTRIES)?;
        at_most("handed", receipt.handed.len(), MAX_RECEIPT_ENTRIES)?;
        at_most("acknowledged", receipt.acknowledged.len(), MAX_RECEIPT_ENTRIES)?;
        Ok(receipt)
    }
}

/// The first entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStart {
    /// Who the author is.
    pub chain: Chain,
    /// The log of the same node and conversation that this one continues: the log, its height and head.
    pub previous: Option<(crate::id::LogId, u64, OpId)>,
}

impl LogStart {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = clear();
        w.bytes(&self.chain.encode()).flag(self.previous.is_some());
        if let Some((log, height, head)) = &self.previous {
            w.log_id(log).u64(*height).op_id(head);
        }
        w.into_bytes()
    }

    /// Reads a payload and checks the chain's signatures.
    ///
    /// # Errors
    /// If it is not the start of a log.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut r = Reader::new(open(payload)?);
        let chain = Chain::decode(r.bytes(MAX_JOIN_BYTES, "certificate chain")?)?;
        let previous = match r.flag("previous")? {
            false => None,
            true => Some((r.log_id()?, r.u64("height")?, r.op_id()?)),
        };
        r.finish()?;
        Ok(Self { chain, previous })
    }
}

/// Returns the payload of a [`Kind::Certificate`](crate::op::Kind::Certificate) op.
pub fn encode_certificate(chain: &Chain) -> Vec<u8> {
    let mut w = clear();
    w.raw(&chain.encode());
    w.into_bytes()
}

/// Reads the payload of a [`Kind::Certificate`](crate::op::Kind::Certificate) op.
///
/// # Errors
/// If the chain is not valid.
pub fn decode_certificate(payload: &[u8]) -> Result<Chain, PayloadError> {
    Ok(Chain::decode(open(payload)?)?)
}

/// Which kind of document a change belongs to: the author's own one of the conversation.
const STATE: u8 = 0;

/// One Automerge change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The document epoch.
    pub epoch: u32,
    /// The raw, uncompressed change.
    pub change: Vec<u8>,
}

impl Change {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = clear();
        w.u8(STATE).u32(self.epoch).raw(&self.change);
        w.into_bytes()
    }

    /// Reads a payload. The change itself is not looked at: that is the gate's.
    ///
    /// # Errors
    /// If it is not a change of a known kind of document or is too large.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut r = Reader::new(open(payload)?);
        if r.u8("document kind")? != STATE {
            return Err(DecodeError::Invalid("document kind").into());
        }
        let epoch = r.u32("document epoch")?;
        let change = r.remaining();
        at_most("change", change.len(), MAX_CHANGE_BYTES)?;
        Ok(Self { epoch, change: change.to_vec() })
    }
}

/// An entry about a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The note.
    pub name: NoteName,
    /// What it brings.
    pub brings: Brings,
}

/// What an entry brings to a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brings {
    /// A raw, uncompressed change by the author of the entry.
    Change(Vec<u8>),
    /// A whole op with a change of this note that does not count where it stands, as its log forked: its author's
    /// signature is in it, and it counts because this entry does.
    Carried(Vec<u8>),
}

const CHANGE: u8 = 0;
const CARRIED: u8 = 1;

impl Note {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = clear();
        w.bytes(self.name.as_str().as_bytes());
        match &self.brings {
            Brings::Change(change) => w.u8(CHANGE).raw(change),
            Brings::Carried(op) => w.u8(CARRIED).raw(op),
        };
        w.into_bytes()
    }

    /// Reads a payload. Neither the change nor the op is looked at.
    ///
    /// # Errors
    /// If it names no note, or what it brings is unknown or too large.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut r = Reader::new(open(payload)?);
        let name = std::str::from_utf8(r.bytes(MAX_NAME_BYTES, "name of a note")?).ok();
        let name = name.and_then(|name| name.parse().ok()).ok_or(DecodeError::Invalid("name of a note"))?;
        let brings = match r.u8("what an entry brings to a note")? {
            CHANGE => Brings::Change(rest("change", r, MAX_CHANGE_BYTES)?),
            CARRIED => Brings::Carried(rest("carried op", r, MAX_CARRIED_BYTES)?),
            _ => return Err(DecodeError::Invalid("what an entry brings to a note").into()),
        };
        Ok(Self { name, brings })
    }
}

/// Takes what is left of a payload.
fn rest(what: &'static str, mut r: Reader<'_>, limit: usize) -> Result<Vec<u8>, PayloadError> {
    let bytes = r.remaining();
    at_most(what, bytes.len(), limit)?;
    Ok(bytes.to_vec())
}

/// The start of a document epoch. The next `changes` changes of the log restate the document; until all of them are
/// there, the epoch before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The epoch that starts.
    pub epoch: u32,
    /// How many changes restate the document.
    pub changes: u32,
}

impl Checkpoint {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = clear();
        w.u8(STATE).u32(self.epoch).u32(self.changes);
        w.into_bytes()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is not a checkpoint of a known kind of document.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut r = Reader::new(open(payload)?);
        if r.u8("document kind")? != STATE {
            return Err(DecodeError::Invalid("document kind").into());
        }
        let checkpoint = Self { epoch: r.u32("document epoch")?, changes: r.u32("number of changes")? };
        r.finish()?;
        Ok(checkpoint)
    }
}

/// Two headers with one author, log and position: the proof that a node contradicted itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkProof {
    /// One header as it was signed, and its signature.
    pub one: (Vec<u8>, [u8; 64]),
    /// The other.
    pub other: (Vec<u8>, [u8; 64]),
}

impl ForkProof {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = clear();
        for (header, signature) in [&self.one, &self.other] {
            w.bytes(header).raw(signature);
        }
        w.into_bytes()
    }

    /// Reads a payload. [`ForkProof::check`] says whether it proves anything.
    ///
    /// # Errors
    /// If it is not two headers.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut r = Reader::new(open(payload)?);
        let mut side = || -> Result<_, DecodeError> {
            let header = r.bytes(MAX_HEADER_BYTES, "header")?.to_vec();
            Ok((header, r.array("signature")?))
        };
        let proof = Self { one: side()?, other: side()? };
        r.finish()?;
        Ok(proof)
    }

    /// Returns the log and the position at which its author contradicted itself.
    ///
    /// # Errors
    /// If the two headers are not two signed entries for one position.
    pub fn check(&self) -> Result<(LogKey, u64), DecodeError> {
        let (one_id, one) = crate::op::verify_header(&self.one.0, &self.one.1)?;
        let (other_id, other) = crate::op::verify_header(&self.other.0, &self.other.1)?;
        let same_place = one.author == other.author && one.log == other.log && one.seq == other.seq;
        if !same_place || one_id == other_id {
            return Err(DecodeError::Invalid("fork proof"));
        }
        let key = LogKey { author: one.author, log: one.log };
        Ok((key, one.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            to: vec![],
            kind: MessageType::Task,
            text: "Please review".to_owned(),
            data: Some(serde_json::json!({"file": "auth.py"})),
            reply_to: None,
            correlation: Some("auth".to_owned()),
            ..Message::default()
        }
    }

    #[test]
    fn a_message_reads_back() {
        assert_eq!(Message::decode(&message().encode()), Ok(message()));
    }

    #[test]
    fn a_field_over_its_limit_is_named() {
        let mut long = message();
        long.text = "x".repeat(MAX_TEXT_BYTES + 1);
        let error = Message::decode(&long.encode()).unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge { what: "text", .. }));
    }

    #[test]
    fn a_protected_payload_is_told_from_a_broken_one() {
        assert_eq!(Message::decode(&[1, 2, 3]), Err(PayloadError::Scheme(1)));
        assert_eq!(Message::decode(b"\0{"), Err(PayloadError::Json));
        assert!(Message::decode(&[]).is_err());
    }

    #[test]
    fn binary_payloads_read_back() {
        let change = Change { epoch: 3, change: vec![1, 2, 3] };
        assert_eq!(Change::decode(&change.encode()), Ok(change));
        for brings in [Brings::Change(vec![1, 2]), Brings::Carried(vec![3])] {
            let note = Note { name: "plan".parse().unwrap(), brings };
            assert_eq!(Note::decode(&note.encode()), Ok(note));
        }
        let checkpoint = Checkpoint { epoch: 4, changes: 2 };
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }
}
