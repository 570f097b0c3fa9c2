//! Every log that this node knows: how far it goes, how much of that is durable, and where it was proven to fork.
//!
//! A log has two tips. The *accepted* one includes entries that are on their way to the store, so the next entry can
//! be checked against it at once. The *durable* one is what this node tells others it has. When a commit fails, the
//! accepted tips fall back to the durable ones.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, NodeId, OpId};
use fedp2p_protocols::limits::MAX_LOGS_LEFT_OUT;
use fedp2p_protocols::op::Header;
use fedp2p_protocols::sync::{self, Head, LogKey};

/// The last entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) height: u64,
    pub(crate) head: OpId,
    pub(crate) hlc: Hlc,
}

/// Where a log was proven to fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frozen {
    /// The first position that has two entries.
    pub(crate) seq: u64,
    /// The entry of this node before it.
    pub(crate) common: OpId,
}

#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) conversation: ConversationId,
    pub(crate) accepted: Option<Tip>,
    pub(crate) durable: Option<Tip>,
    pub(crate) frozen: Option<Frozen>,
}

impl Log {
    /// Whether the entry at `seq` counts.
    pub(crate) fn counts(&self, seq: u64) -> bool {
        self.frozen.is_none_or(|frozen| seq < frozen.seq)
    }

    /// What this node tells others of the log.
    fn head(&self, key: LogKey) -> Option<Head> {
        let tip = self.durable?;
        let (height, head) = match self.frozen {
            Some(frozen) if frozen.seq <= tip.height => (frozen.seq - 1, frozen.common),
            Some(_) | None => (tip.height, tip.head),
        };
        // A log of which nothing counts is not told, so that whoever has none of it says the same.
        (height > 0).then_some(Head { key, height, head, floor: 1 })
    }

    pub(crate) fn accepted_height(&self) -> u64 {
        self.accepted.map_or(0, |tip| tip.height)
    }

    pub(crate) fn durable_height(&self) -> u64 {
        self.durable.map_or(0, |tip| tip.height)
    }
}

/// All logs.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    logs: BTreeMap<LogKey, Log>,
    by_conversation: BTreeMap<ConversationId, BTreeSet<LogKey>>,
    /// Logs whose durable tip moved since this node last wrote in the conversation.
    advanced: BTreeMap<ConversationId, BTreeSet<LogKey>>,
    /// The latest clock value accepted in each conversation.
    clocks: BTreeMap<ConversationId, Hlc>,
    /// Digests that are still right.
    digests: BTreeMap<ConversationId, [u8; 32]>,
    /// Logs of which nothing is taken, as their author has too many.
    left_out: BTreeSet<LogKey>,
}

impl Logs {
    /// Takes over a log as it was stored.
    pub(crate) fn restore(&mut self, key: LogKey, conversation: ConversationId, tip: Tip) {
        let log = self.entry(key, conversation);
        log.accepted = Some(tip);
        log.durable = Some(tip);
        self.observe(conversation, tip.hlc);
    }

    fn entry(&mut self, key: LogKey, conversation: ConversationId) -> &mut Log {
        self.by_conversation.entry(conversation).or_default().insert(key);
        self.logs.entry(key).or_insert(Log { conversation, accepted: None, durable: None, frozen: None })
    }

    pub(crate) fn get(&self, key: &LogKey) -> Option<&Log> {
        self.logs.get(key)
    }

    pub(crate) fn of(&self, conversation: &ConversationId) -> impl Iterator<Item = (&LogKey, &Log)> {
        let keys = self.by_conversation.get(conversation).into_iter().flatten();
        keys.filter_map(|key| self.logs.get_key_value(key))
    }

    /// The author's own logs in a conversation.
    pub(crate) fn of_author(
        &self,
        conversation: &ConversationId,
        author: NodeId,
    ) -> impl Iterator<Item = (&LogKey, &Log)> {
        self.of(conversation).filter(move |(key, _)| key.author == author)
    }

    /// How many logs of an author were taken.
    pub(crate) fn taken(&self, conversation: &ConversationId, author: NodeId) -> usize {
        self.of_author(conversation, author).filter(|(_, log)| log.accepted.is_some()).count()
    }

    /// Leaves out a whole log: nothing in it counts, and nothing of it is asked for. Only so many are remembered.
    pub(crate) fn leave_out(&mut self, key: LogKey, conversation: ConversationId) {
        let others = self.left_out.iter().filter(|other| other.author == key.author).count();
        if others < MAX_LOGS_LEFT_OUT {
            self.left_out.insert(key);
            self.freeze(key, conversation, 1, OpId::from_bytes([0; 32]));
        }
    }

    /// The logs that are left out.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &LogKey> {
        self.left_out.iter()
    }

    fn observe(&mut self, conversation: ConversationId, hlc: Hlc) {
        let clock = self.clocks.entry(conversation).or_default();
        *clock = (*clock).max(hlc);
    }

    pub(crate) fn clock(&self, conversation: &ConversationId) -> Hlc {
        self.clocks.get(conversation).copied().unwrap_or_default()
    }

    /// The latest clock value accepted in a conversation that is not beyond `latest_ms`, milliseconds since 1970.
    pub(crate) fn clock_until(&self, conversation: &ConversationId, latest_ms: u64) -> Hlc {
        let clock = self.clock(conversation);
        if clock.milliseconds() <= latest_ms {
            return clock;
        }
        // Some clock was far ahead: then the logs that were written by it are left out.
        let clocks = self.of(conversation).filter_map(|(_, log)| log.accepted).map(|tip| tip.hlc);
        clocks.filter(|clock| clock.milliseconds() <= latest_ms).max().unwrap_or_default()
    }

    /// Moves the accepted tip of a log to this entry.
    pub(crate) fn accept(&mut self, id: OpId, header: &Header) {
        let key = LogKey { author: header.author, log: header.log };
        let tip = Tip { height: header.seq, head: id, hlc: header.hlc };
        self.entry(key, header.conversation).accepted = Some(tip);
        self.observe(header.conversation, header.hlc);
    }

    /// Moves the durable tip of a log to this entry.
    pub(crate) fn commit(&mut self, id: OpId, header: &Header, own: bool) {
        let key = LogKey { author: header.author, log: header.log };
        let tip = Tip { height: header.seq, head: id, hlc: header.hlc };
        let log = self.entry(key, header.conversation);
        log.durable = Some(tip);
        if let Some(frozen) = &mut log.frozen
            && frozen.seq == header.seq + 1
        {
            frozen.common = id;
        }
        self.digests.remove(&header.conversation);
        if !own {
            self.advanced.entry(header.conversation).or_default().insert(key);
        }
    }

    /// Lets every accepted tip fall back to the durable one. Returns whether any moved.
    pub(crate) fn roll_back(&mut self) {
        self.logs.retain(|_, log| {
            log.accepted = log.durable;
            log.durable.is_some() || log.frozen.is_some()
        });
        let logs = &self.logs;
        for keys in self.by_conversation.values_mut() {
            keys.retain(|key| logs.contains_key(key));
        }
    }

    /// Freezes a log before `seq`, unless it is frozen there or earlier. Returns whether that was news.
    pub(crate) fn freeze(&mut self, key: LogKey, conversation: ConversationId, seq: u64, common: OpId) -> bool {
        let log = self.entry(key, conversation);
        if log.frozen.is_some_and(|frozen| frozen.seq <= seq) {
            return false;
        }
        log.frozen = Some(Frozen { seq, common });
        self.digests.remove(&conversation);
        true
    }

    /// Names the entry of this node before the place where a log forked, if that is still where it is frozen.
    pub(crate) fn set_common(&mut self, key: &LogKey, seq: u64, common: OpId) {
        if let Some(log) = self.logs.get_mut(key)
            && let Some(frozen) = &mut log.frozen
            && frozen.seq == seq
        {
            frozen.common = common;
            self.digests.remove(&log.conversation);
        }
    }

    /// What the next own entry should depend on: the heads that moved since the last one, the rest next time. What
    /// was written by a clock beyond `latest_ms` has to wait, as an entry is never earlier than what it depends on. So has
    /// what a loud author wrote, or others would wait for that before they could take ours.
    pub(crate) fn take_deps(
        &mut self,
        conversation: &ConversationId,
        most: usize,
        latest_ms: u64,
        is_loud: impl Fn(&NodeId) -> bool,
    ) -> Vec<OpId> {
        let Some(advanced) = self.advanced.get_mut(conversation) else {
            return Vec::new();
        };
        let (mut deps, mut waiting) = (Vec::new(), Vec::new());
        while deps.len() < most {
            let Some(key) = advanced.pop_first() else { break };
            // Not everybody has the same entries of a log that forked.
            let log = self.logs.get(&key).filter(|log| log.frozen.is_none());
            let tip = log.and_then(|log| log.durable);
            if tip.is_some_and(|tip| tip.hlc.milliseconds() > latest_ms) || is_loud(&key.author) {
                waiting.push(key);
                continue;
            }
            let head = log.and_then(|log| log.head(key));
            deps.extend(head.map(|head| head.head));
        }
        advanced.extend(waiting);
        deps.sort();
        deps
    }

    /// What this node tells others of a conversation.
    pub(crate) fn heads(&self, conversation: &ConversationId) -> Vec<Head> {
        self.of(conversation).filter_map(|(key, log)| log.head(*key)).collect()
    }

    pub(crate) fn head(&self, key: &LogKey) -> Option<Head> {
        self.logs.get(key).and_then(|log| log.head(*key))
    }

    pub(crate) fn digest(&mut self, conversation: &ConversationId) -> [u8; 32] {
        if let Some(digest) = self.digests.get(conversation) {
            return *digest;
        }
        let digest = sync::digest(&self.heads(conversation));
        self.digests.insert(*conversation, digest);
        digest
    }
}
