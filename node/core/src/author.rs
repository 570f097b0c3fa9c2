//! Writing own entries: signed at once, published only once they are durable.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_crdt::document::DocumentId;
use fedp2p_crdt::document::WriteError;
use fedp2p_protocols::claim::Reserved;
use fedp2p_protocols::codec::DecodeError;
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, LogEpochId, LogId, NodeId};
use fedp2p_protocols::limits::{MAX_DEPS, MAX_FUTURE, MAX_HEADER_BYTES, MAX_OP_BYTES};
use fedp2p_protocols::name::{AgentName, NoteName};
use fedp2p_protocols::op::{Header, Kind, NO_BACKLINK, Verified};
use fedp2p_protocols::payload::{self, Checkpoint, LogStart, Message};
use fedp2p_protocols::sync::LogKey;

use crate::Core;
use crate::commit::{Origin, Written};
use crate::doors::Glance;
use crate::effect::Effect;
use crate::store::{MessageIndex, OpWrite, Write};

/// How long after leaving a log because of the clock another is left, as each takes a place among this node's logs.
const LEAVE_AGAIN: Duration = Duration::from_secs(60);
/// How many numbers of claims a node may have given away in a log that is lost, as when its home comes from a backup.
const RESERVED: u64 = 1 << 16;
/// What an op has besides its header and payload.
const SIGNATURE_AND_LENGTH_BYTES: usize = 64 + 2;

/// Own entries and everything that is written with them.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) writes: Vec<Write>,
    pub(crate) written: Vec<Written>,
    /// What the own document said before these entries, to tell what is new once they are durable.
    pub(crate) before: Option<Glance>,
}

impl Core {
    /// Appends one entry to this node's log of a conversation, starting the log if it has none yet.
    ///
    /// # Errors
    /// If the entry is over a limit; then nothing has changed.
    pub(crate) fn append(
        &mut self,
        entries: &mut Entries,
        conversation: ConversationId,
        kind: Kind,
        agent: Option<&AgentName>,
        payload: &[u8],
    ) -> Result<Arc<Verified>, DecodeError> {
        check_size(payload)?;
        let key = self.own_log(&conversation);
        if kind != Kind::LogStart && self.logs.get(&key).is_none_or(|log| log.accepted.is_none()) {
            let start = LogStart { chain: self.chain.clone(), previous: self.previous_log(&conversation) };
            self.append(entries, conversation, Kind::LogStart, None, &start.encode())?;
        }
        let tip = self.logs.get(&key).and_then(|log| log.accepted);
        let latest_ms = self.latest_ms();
        // Also where the own log is ahead of that and cannot be left yet: in a log clocks never run backwards.
        let clock = self.logs.clock_until(&conversation, latest_ms).max(tip.map_or(Hlc::default(), |tip| tip.hlc));
        let is_loud = |author: &NodeId| self.quotas.is_loud(author, self.now.monotonic);
        let deps = self.logs.take_deps(&conversation, MAX_DEPS, latest_ms, is_loud);
        let header = Header {
            network: self.network,
            author: self.me(),
            log: key.log,
            seq: tip.map_or(1, |tip| tip.height + 1),
            backlink: tip.map_or(NO_BACKLINK, |tip| tip.head),
            conversation,
            deps,
            hlc: clock.next(self.now.wall_ms),
            kind,
            agent: agent.cloned(),
            payload_hash: [0; 32],
            payload_len: 0,
            floor: (kind == Kind::Checkpoint).then(|| tip.map_or(1, |tip| tip.height + 1)),
        };
        let op = Arc::new(self.key.sign(header, payload)?);
        self.logs.accept(op.id(), op.header());
        self.recent.insert_op(&op);
        let position = self.next_position();
        entries.writes.push(Write::Op(OpWrite {
            position,
            op: Arc::clone(&op),
            document_epoch: document_epoch(&op),
            message: message_index(&op),
            note: note_index(&op),
        }));
        entries.written.push(Written { op: Arc::clone(&op), position, origin: Origin::Own });
        Ok(op)
    }

    /// The own log of a conversation that was written before the present epoch: the longest one.
    pub(crate) fn previous_log(
        &self,
        conversation: &ConversationId,
    ) -> Option<(LogId, u64, fedp2p_protocols::id::OpId)> {
        let own = self.own_log(conversation);
        self.logs
            .of_author(conversation, self.me())
            .filter(|(key, _)| **key != own)
            .filter_map(|(key, log)| log.durable.map(|tip| (tip.hlc, key.log, tip)))
            .max_by_key(|(hlc, log, _)| (*hlc, *log))
            .map(|(_, log, tip)| (log, tip.height, tip.head))
    }

    /// Edits this node's own document and appends the entries that say so.
    ///
    /// # Errors
    /// If an edit is over a limit; then nothing has changed.
    pub(crate) fn edit(
        &mut self,
        entries: &mut Entries,
        conversation: ConversationId,
        agent: Option<&AgentName>,
        edits: &[Edit],
    ) -> Result<(), WriteError> {
        let log = self.own_log(&conversation);
        let own = DocumentId { node: self.me(), log: log.log, conversation, epoch: 0 };
        let before = self.documents.epoch(&conversation, &own.node);
        let edits = match self.reserve(&log, &conversation) {
            reserved if reserved.is_empty() => Cow::Borrowed(edits),
            reserved => Cow::Owned([edits, &reserved].concat()),
        };
        let drafts = self.documents.write(own, &edits, self.now.wall_ms)?;
        entries.writes.extend(self.document_write(conversation, own.node, before));
        let binds = |edit: &Edit| {
            let Edit::Put(entry) = edit else { return false };
            matches!(**entry, Entry::Claim(..) | Entry::Acknowledged(..) | Entry::Reserved(..))
        };
        entries.writes.extend(edits.iter().any(binds).then_some(Write::Flush));
        for draft in drafts {
            self.append(entries, conversation, draft.kind, agent, &draft.payload)
                .expect("a document's changes are bounded below the size of an op");
        }
        Ok(())
    }

    /// The edits that keep this node from giving numbers of claims again which it gave in a log that is lost, when it begins
    /// another log: nobody may know those numbers any more.
    fn reserve(&self, log: &LogKey, conversation: &ConversationId) -> Vec<Edit> {
        let begun = self.logs.get(log).is_some_and(|log| log.accepted.is_some());
        // Nothing is lost where only the clock was wrong.
        let clock = self.left_future_log == Some(self.now.monotonic);
        if begun || clock || self.previous_log(conversation).is_none() {
            Vec::new()
        } else {
            self.reserving(conversation)
        }
    }

    /// As [`Core::reserve`], whatever log it is.
    pub(crate) fn reserving(&self, conversation: &ConversationId) -> Vec<Edit> {
        let next = self.next_counter(&self.documents.claims(conversation));
        let known = &self.documents.content(conversation, &self.me()).reserved;
        let older = known.keys().map(|counter| Edit::Remove(Place::Reserved(*counter)));
        let reserved = Entry::Reserved(next + RESERVED, Reserved { at: self.now.wall_ms });
        older.chain([reserved.into()]).collect()
    }

    /// What is to be written when another epoch of a document counts than before.
    pub(crate) fn document_write(
        &self,
        conversation: ConversationId,
        author: NodeId,
        before: Option<u32>,
    ) -> Option<Write> {
        let epoch = self.documents.epoch(&conversation, &author).filter(|epoch| Some(*epoch) != before)?;
        Some(Write::Document { author, conversation, epoch })
    }

    /// The latest moment that other nodes take from an entry now, in milliseconds since 1970.
    pub(crate) fn latest_ms(&self) -> u64 {
        self.now.wall_ms.saturating_add(u64::try_from(MAX_FUTURE.as_millis()).unwrap_or(u64::MAX))
    }

    /// Leaves a log that was written while this machine's clock was far ahead: what came after its entries would be
    /// refused elsewhere until their time has come. Those entries are taken then; what is written from now on is at once.
    pub(crate) fn leave_future_log(&mut self) {
        let lobby = self.lobby;
        let tip = self.logs.get(&self.own_log(&lobby)).and_then(|log| log.accepted);
        let ahead = tip.is_some_and(|tip| tip.hlc.milliseconds() > self.latest_ms());
        let since = self.left_future_log.map(|at| self.now.monotonic.saturating_sub(at));
        let lately = since.is_some_and(|since| since < LEAVE_AGAIN);
        if !ahead || lately || self.is_silent() {
            return;
        }
        self.left_future_log = Some(self.now.monotonic);
        self.start_log_epoch(
            "this machine's clock was ahead, and other nodes refuse what follows until its time has come",
        );
    }

    /// From now on this node writes other logs: its present ones were found to be written elsewhere too.
    pub(crate) fn start_log_epoch(&mut self, why: &str) {
        self.epoch = LogEpochId::from_bytes(self.random());
        self.notice(format!("started a new log epoch: {why}"));
        let mut entries = Entries { writes: vec![Write::Epoch(self.epoch)], ..Entries::default() };
        self.restate(&mut entries, self.lobby, &[]);
        self.commit_entries(entries);
    }

    /// Hands an own, durable entry to everybody who should have it.
    pub(crate) fn publish(&mut self, op: &Verified) {
        let conversation = op.header().conversation;
        if conversation != self.lobby {
            return;
        }
        self.push(op);
        if self.gossip_needed() {
            let topic = topic(&self.network, &conversation);
            self.effect(Effect::Publish { topic, data: op.bytes().to_vec() });
        }
    }
}

/// Checks that a payload fits into an entry, whatever its header says.
///
/// # Errors
/// If it does not.
pub(crate) fn check_size(payload: &[u8]) -> Result<(), DecodeError> {
    let limit = MAX_OP_BYTES - MAX_HEADER_BYTES - SIGNATURE_AND_LENGTH_BYTES;
    if payload.len() > limit {
        return Err(DecodeError::TooLarge { what: "payload", found: payload.len(), limit });
    }
    Ok(())
}

/// The gossip topic of a conversation; it tells an outsider nothing.
pub(crate) fn topic(network: &fedp2p_protocols::id::NetworkId, conversation: &ConversationId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 topic");
    hasher.update(network.as_bytes()).update(conversation.as_bytes());
    let hash = fedp2p_protocols::id::base32(&hasher.finalize().as_bytes()[..16]);
    format!("{}{hash}", crate::TOPICS)
}

pub(crate) fn document_epoch(op: &Verified) -> Option<u32> {
    match op.header().kind {
        Kind::Checkpoint => Checkpoint::decode(op.payload()).ok().map(|checkpoint| checkpoint.epoch),
        Kind::Change => fedp2p_protocols::payload::Change::decode(op.payload()).ok().map(|change| change.epoch),
        Kind::LogStart
        | Kind::Certificate
        | Kind::Message
        | Kind::Receipt
        | Kind::ForkProof
        | Kind::Note
        | Kind::Other(_) => None,
    }
}

pub(crate) fn message_index(op: &Verified) -> Option<MessageIndex> {
    if op.header().kind != Kind::Message {
        return None;
    }
    let message = Message::decode(op.payload()).ok()?;
    Some(MessageIndex {
        to: message.to,
        kind: message.kind,
        correlation: message.correlation,
        reply_to: message.reply_to,
    })
}

/// The note that an op edits.
pub(crate) fn note_index(op: &Verified) -> Option<NoteName> {
    let note = (op.header().kind == Kind::Note).then(|| payload::Note::decode(op.payload()));
    Some(note?.ok()?.name)
}

/// Names the log of an op.
pub(crate) fn log_key(op: &Verified) -> LogKey {
    crate::key_of(op)
}
