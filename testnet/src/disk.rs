//! A node's store in memory. It honours the contract of `fedp2p_core::store`, and is the first to notice when what it
//! is told to write breaks an invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedp2p_core::input::{Stored, StoredFork, StoredLog, StoredTicket};
use fedp2p_core::pin::Pin;
use fedp2p_core::store::{
    Commit, HistoryFilter, NoteRow, OpWrite, Placed, Read, ReadOutcome, StoreError, Traced, Write,
};
use fedp2p_protocols::api::log_verify;
use fedp2p_protocols::id::{ConversationId, LogEpochId, NodeId, OpId, TicketId};
use fedp2p_protocols::name::{AgentName, NoteName};
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::sync::{LogKey, Want};
use fedp2p_protocols::vote::AgentId;

/// Everything that is durable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) ops: BTreeMap<u64, OpWrite>,
    pub(crate) by_id: BTreeMap<OpId, u64>,
    by_place: BTreeMap<(LogKey, u64), u64>,
    pub(crate) logs: BTreeMap<LogKey, StoredLog>,
    pub(crate) inbox: BTreeSet<(AgentName, u64)>,
    /// What was held and not handed out since, and whether it is held on.
    held: BTreeMap<(AgentName, u64), bool>,
    handed: BTreeMap<OpId, BTreeSet<AgentId>>,
    cursors: BTreeMap<AgentName, u64>,
    reaches: BTreeMap<(NodeId, LogKey), u64>,
    surfaced: BTreeMap<(AgentId, LogKey), u64>,
    acknowledged: BTreeMap<OpId, BTreeSet<AgentId>>,
    members: BTreeMap<NodeId, Vec<u8>>,
    tickets: BTreeMap<TicketId, StoredTicket>,
    pub(crate) own_chain: Option<Vec<u8>>,
    pin: Option<Pin>,
    pub(crate) forks: BTreeMap<(LogKey, u64), (StoredFork, Vec<u8>)>,
    documents: BTreeMap<(NodeId, ConversationId), u32>,
    pub(crate) epoch: Option<LogEpochId>,
    last_seen: BTreeMap<NodeId, u64>,
    /// Every commit, to go back to an earlier state.
    journal: Vec<Arc<Vec<Write>>>,
    /// How many of them no power cut takes away.
    flushed: usize,
    /// Commits of this generation and before are refused.
    refused: Option<u32>,
    /// What should never have been written.
    pub(crate) complaints: Vec<Complaint>,
    /// A planted fault: the op with this number is acknowledged and not kept.
    pub(crate) forgets: Option<u64>,
    written: u64,
}

/// A write that broke an invariant.
#[derive(Debug, Clone)]
pub(crate) enum Complaint {
    /// An op came before one that it depends on.
    Dep { op: OpId, dep: OpId },
    /// An entry is not the next of its log.
    Order(String),
    /// An op was written twice.
    Twice(String),
    /// Anything else.
    Other(String),
}

impl Disk {
    /// Makes one commit durable, unless the disk is full or an earlier one of its generation failed.
    pub(crate) fn commit(&mut self, commit: Commit, full: bool) -> Result<(), StoreError> {
        let generation = commit.token.generation;
        if self.refused.is_some_and(|refused| generation <= refused) {
            return Err(StoreError::Superseded);
        }
        if full {
            self.refused = Some(generation);
            return Err(StoreError::Full);
        }
        let writes = Arc::new(commit.writes);
        for write in writes.iter() {
            self.write(write);
        }
        self.journal.push(writes);
        Ok(())
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> usize {
        self.journal.len()
    }

    /// How many commits are left of these after a power cut.
    pub(crate) fn left_of(&self, commits: usize) -> usize {
        commits.max(self.flushed)
    }

    /// The state after the first `commits` commits.
    pub(crate) fn back_to(&self, commits: usize) -> Self {
        let mut disk = Self::default();
        for writes in &self.journal[..commits] {
            for write in writes.iter() {
                disk.write(write);
            }
            disk.journal.push(Arc::clone(writes));
        }
        disk.epoch = disk.epoch.or(self.epoch);
        disk.own_chain = disk.own_chain.or_else(|| self.own_chain.clone());
        disk
    }

    /// The process is new, so it starts with generation 0.
    pub(crate) fn reopen(&mut self) {
        self.refused = None;
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Op(op) => self.write_op(op),
            // No client of the simulator sends anything that expires.
            Write::Inbox { agent, position, held, .. } => {
                if *held {
                    self.held.insert((agent.clone(), *position), true);
                }
                self.inbox.insert((agent.clone(), *position));
            }
            Write::Judged { agent, position, held } => {
                if let Some(known) = self.held.get_mut(&(agent.clone(), *position)) {
                    *known = *held;
                }
            }
            Write::Cursor { agent, position, held } => {
                self.held.retain(|(of, at), on| of != agent || at > position || (*on && !*held));
                let cursor = self.cursors.entry(agent.clone()).or_default();
                *cursor = (*cursor).max(*position);
            }
            Write::Reach { peer, key, height } => {
                self.reaches.insert((*peer, *key), *height);
            }
            Write::Surfaced { agent, key, seq } => {
                let level = self.surfaced.entry((agent.clone(), *key)).or_default();
                *level = (*level).max(*seq);
            }
            Write::Handed { agent, message } => {
                self.handed.entry(*message).or_default().insert(agent.clone());
            }
            Write::Acknowledged { agent, message } => {
                self.acknowledged.entry(*message).or_default().insert(agent.clone());
            }
            Write::Member { node, chain } => {
                self.members.insert(*node, chain.clone());
            }
            Write::Ticket { id, secret, expires, used_by } => {
                let ticket = StoredTicket { secret: *secret, expires: *expires, used_by: *used_by };
                self.tickets.insert(*id, ticket);
            }
            Write::Pin(pin) => self.pin = Some(pin.clone()),
            Write::OwnChain(chain) => self.own_chain = Some(chain.clone()),
            Write::Fork { key, conversation, seq, common, proof } => {
                let fork = StoredFork { key: *key, conversation: *conversation, seq: *seq, common: *common };
                self.forks.insert((*key, *seq), (fork, proof.clone()));
            }
            Write::Document { author, conversation, epoch } => {
                self.documents.insert((*author, *conversation), *epoch);
            }
            Write::Epoch(epoch) => self.epoch = Some(*epoch),
            Write::Flush => self.flushed = self.journal.len() + 1,
            Write::Peer { node, last_seen, .. } => {
                self.last_seen.insert(*node, *last_seen);
            }
            _ => self.complain("a write of an unknown kind".to_owned()),
        }
    }

    fn complain(&mut self, text: String) {
        self.complaints.push(Complaint::Other(text));
    }

    fn write_op(&mut self, write: &OpWrite) {
        self.written += 1;
        if self.forgets == Some(self.written) {
            return;
        }
        let (id, header) = (write.op.id(), write.op.header());
        let key = LogKey { author: header.author, log: header.log };
        let tip = self.logs.get(&key);
        let (height, head) = tip.map_or((0, None), |log| (log.height, Some(log.head)));
        if header.seq != height + 1 || head.is_some_and(|head| head != header.backlink) {
            self.complaints.push(Complaint::Order(format!(
                "entry {} of a log was written after entry {height}, or does not follow it",
                header.seq
            )));
        }
        if tip.is_some_and(|log| header.hlc.to_u64() <= log.hlc) {
            let text = format!("entry {} of a log has a clock that ran backwards", header.seq);
            self.complaints.push(Complaint::Order(text));
        }
        if self.ops.last_key_value().is_some_and(|(last, _)| write.position <= *last) {
            self.complain(format!("position {} was written after a later one", write.position));
        }
        if self.by_id.contains_key(&id) {
            self.complaints.push(Complaint::Twice(format!("op {} was written twice", id.short())));
        }
        for dep in header.deps.iter().filter(|dep| !self.by_id.contains_key(dep)) {
            self.complaints.push(Complaint::Dep { op: id, dep: *dep });
        }
        let log = StoredLog {
            key,
            conversation: header.conversation,
            height: header.seq,
            head: id,
            hlc: header.hlc.to_u64(),
        };
        self.logs.insert(key, log);
        self.by_id.insert(id, write.position);
        self.by_place.insert((key, header.seq), write.position);
        self.ops.insert(write.position, write.clone());
    }

    /// The latest clock of any entry, in milliseconds since 1970.
    pub(crate) fn latest_ms(&self) -> u64 {
        let clock = |log: &StoredLog| fedp2p_protocols::hlc::Hlc::from_u64(log.hlc).milliseconds();
        self.logs.values().map(clock).max().unwrap_or(0)
    }

    /// The entry of a log at one place.
    pub(crate) fn at(&self, key: LogKey, seq: u64) -> Option<OpId> {
        Some(self.ops.get(self.by_place.get(&(key, seq))?)?.op.id())
    }

    /// What a core starts from.
    pub(crate) fn load(&self) -> Stored {
        Stored {
            logs: self.logs.values().cloned().collect(),
            position: self.ops.last_key_value().map_or(0, |(position, _)| *position),
            members: self.members.values().cloned().collect(),
            changes: self.changes_that_may_count(),
            tickets: self.tickets.values().cloned().collect(),
            pin: self.pin.clone(),
            reaches: self.reaches.iter().map(|((peer, key), height)| (*peer, *key, *height)).collect(),
            surfaced: self.surfaced.iter().map(|((agent, key), seq)| (agent.clone(), *key, *seq)).collect(),
            forks: self.forks.values().map(|(fork, _)| fork.clone()).collect(),
            last_seen: self.last_seen.iter().map(|(node, at)| (*node, *at)).collect(),
        }
    }

    fn changes_that_may_count(&self) -> Vec<Arc<Verified>> {
        let counts = |write: &&OpWrite| {
            let header = write.op.header();
            let from = self.documents.get(&(header.author, header.conversation)).copied().unwrap_or(0);
            write.document_epoch.is_some_and(|epoch| epoch >= from)
        };
        self.ops.values().filter(counts).map(|write| Arc::clone(&write.op)).collect()
    }

    fn placed(&self, position: u64) -> Option<Placed> {
        self.ops.get(&position).map(|write| Placed { position, op: Arc::clone(&write.op) })
    }

    pub(crate) fn read(&self, read: &Read) -> ReadOutcome {
        match read {
            Read::Range { conversation, wants, after, max_bytes } => {
                self.range(conversation, wants, *after, *max_bytes)
            }
            Read::At { key, seq } => {
                ReadOutcome::At(self.by_place.get(&(*key, *seq)).and_then(|position| self.placed(*position)))
            }
            Read::Proof { key, seq } => {
                ReadOutcome::Proof(self.forks.get(&(*key, *seq)).map(|(_, proof)| proof.clone()))
            }
            Read::Known(ids) => {
                let known = |id: &OpId| Some((*id, self.ops.get(self.by_id.get(id)?)?.op.header().hlc));
                ReadOutcome::Known(ids.iter().filter_map(known).collect())
            }
            Read::Inbox { agent, limit, held, .. } => {
                let waiting: Vec<u64> = self.waiting(agent, *held).collect();
                let all = self.waiting(agent, true).count();
                let messages = waiting.iter().take(*limit as usize).filter_map(|at| self.placed(*at)).collect();
                ReadOutcome::Inbox {
                    messages,
                    more: (waiting.len() as u64).saturating_sub(u64::from(*limit)),
                    held: (all - waiting.len()) as u64,
                }
            }
            Read::Held { agent, after, limit } => {
                let of = self.held.range((agent.clone(), after + 1)..=(agent.clone(), u64::MAX));
                let found = of.filter_map(|((_, position), on)| Some((self.placed(*position)?, *on)));
                ReadOutcome::Held(found.take(*limit as usize).collect())
            }
            Read::InboxUpTo { agent, position, held, .. } => {
                let mut surfaced = BTreeMap::new();
                for placed in self.waiting(agent, *held).filter(|at| at <= position).filter_map(|at| self.placed(at)) {
                    let header = placed.op.header();
                    surfaced.insert(LogKey { author: header.author, log: header.log }, header.seq);
                }
                let cursor = self.cursors.get(agent).copied().unwrap_or(0);
                ReadOutcome::InboxUpTo { surfaced: surfaced.into_iter().collect(), exact: Vec::new(), cursor }
            }
            Read::History(filter) => ReadOutcome::History(self.history(filter)),
            Read::Thread { message, limit } => ReadOutcome::History(self.thread(message, *limit)),
            Read::Find(prefixes) => ReadOutcome::Find(prefixes.iter().map(|prefix| self.find(prefix)).collect()),
            Read::Note { conversation, name } => {
                let of = self.notes(conversation).filter(|(of, _)| *of == name);
                ReadOutcome::Note(of.map(|(_, write)| Arc::clone(&write.op)).collect())
            }
            Read::Notes { conversation, after, limit } => {
                let mut rows: BTreeMap<&NoteName, NoteRow> = BTreeMap::new();
                for (name, write) in self.notes(conversation) {
                    let last = Placed { position: write.position, op: Arc::clone(&write.op) };
                    let edits = rows.get(name).map_or(0, |row| row.edits) + 1;
                    rows.insert(name, NoteRow { name: name.clone(), edits, last });
                }
                let page = rows.into_values().filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
                ReadOutcome::Notes(page.take(*limit as usize).collect())
            }
            Read::Verify => ReadOutcome::Verify(log_verify::Reply {
                ops: self.ops.len() as u64,
                logs: self.logs.len() as u64,
                broken: None,
                took_ms: 0,
            }),
            Read::Changes { author, conversation } => {
                let of = |write: &&OpWrite| {
                    let header = write.op.header();
                    write.document_epoch.is_some() && header.author == *author && header.conversation == *conversation
                };
                ReadOutcome::Changes(self.ops.values().filter(of).map(|write| Arc::clone(&write.op)).collect())
            }
            _ => ReadOutcome::Failed(StoreError::Other("a read of an unknown kind".to_owned())),
        }
    }

    fn notes<'a>(&'a self, conversation: &'a ConversationId) -> impl Iterator<Item = (&'a NoteName, &'a OpWrite)> {
        let of = |write: &'a OpWrite| Some((write.note.as_ref()?, write));
        self.ops.values().filter(|write| write.op.header().conversation == *conversation).filter_map(of)
    }

    fn waiting(&self, agent: &AgentName, held: bool) -> impl Iterator<Item = u64> {
        let after = self.cursors.get(agent).copied().unwrap_or(0);
        let of = self.inbox.range((agent.clone(), 0)..=(agent.clone(), u64::MAX));
        let waits = move |place: &&(AgentName, u64)| match self.held.get(*place) {
            Some(on) => held || !on,
            None => place.1 > after,
        };
        of.filter(waits).map(|(_, position)| *position)
    }

    fn range(&self, conversation: &ConversationId, wants: &[Want], after: u64, max_bytes: usize) -> ReadOutcome {
        let wants: BTreeMap<LogKey, u64> = wants.iter().map(|want| (want.key, want.from)).collect();
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for (position, write) in self.ops.range(after + 1..) {
            let header = write.op.header();
            let key = LogKey { author: header.author, log: header.log };
            if header.conversation != *conversation || wants.get(&key).is_none_or(|from| header.seq < *from) {
                continue;
            }
            let size = write.op.bytes().len();
            if bytes + size > max_bytes && !ops.is_empty() {
                return ReadOutcome::Range { ops, complete: false };
            }
            bytes += size;
            ops.push(Placed { position: *position, op: Arc::clone(&write.op) });
        }
        ReadOutcome::Range { ops, complete: true }
    }

    fn find(&self, prefix: &str) -> Vec<Placed> {
        let fits =
            |write: &&OpWrite| write.op.header().kind == Kind::Message && write.op.id().to_string().starts_with(prefix);
        self.ops.values().filter(fits).take(2).filter_map(|write| self.placed(write.position)).collect()
    }

    fn traced(&self, position: u64) -> Option<Traced> {
        let placed = self.placed(position)?;
        let of =
            |map: &BTreeMap<OpId, BTreeSet<AgentId>>| map.get(&placed.op.id()).into_iter().flatten().cloned().collect();
        Some(Traced { acknowledged: of(&self.acknowledged), handed: of(&self.handed), placed })
    }

    /// The messages that answer each other, one of them this one; the newest.
    fn thread(&self, message: &OpId, limit: u32) -> Vec<Traced> {
        let mut thread = BTreeSet::from([*message]);
        let mut before = 0;
        while thread.len() > before {
            before = thread.len();
            for write in self.ops.values() {
                let (id, answers) = (write.op.id(), write.message.as_ref().and_then(|message| message.reply_to));
                if let Some(answers) = answers.filter(|answers| thread.contains(answers) || thread.contains(&id)) {
                    thread.extend([id, answers]);
                }
            }
        }
        let of = self.ops.values().filter(|write| write.message.is_some() && thread.contains(&write.op.id()));
        let mut rows: Vec<Traced> = of.filter_map(|write| self.traced(write.position)).collect();
        rows.drain(..rows.len().saturating_sub(limit as usize));
        rows
    }

    fn history(&self, filter: &HistoryFilter) -> Vec<Traced> {
        let fits = |write: &&OpWrite| {
            let header = write.op.header();
            let Some(message) = &write.message else { return false };
            let author = header.agent.clone().map(|name| AgentId { node: header.author, name });
            filter.from.as_ref().is_none_or(|from| author.as_ref() == Some(from))
                && filter.to.as_ref().is_none_or(|to| message.to.is_empty() || message.to.contains(to))
                && filter.kind.is_none_or(|kind| kind == message.kind)
                && filter.conversation.is_none_or(|conversation| conversation == header.conversation)
                && filter
                    .correlation
                    .as_ref()
                    .is_none_or(|correlation| message.correlation.as_ref() == Some(correlation))
                && filter.id.is_none_or(|id| id == write.op.id())
                && filter.since_ms.is_none_or(|since| header.hlc.milliseconds() >= since)
                && filter.until_ms.is_none_or(|until| header.hlc.milliseconds() < until)
                && filter.before.is_none_or(|before| write.position < before)
        };
        let newest = self.ops.values().rev().filter(fits).take(filter.limit as usize);
        let mut rows: Vec<_> = newest.filter_map(|write| self.traced(write.position)).collect();
        rows.reverse();
        rows
    }
}
