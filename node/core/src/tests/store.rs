//! A store in memory that keeps what it is told, until it is told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::input::{Stored, StoredFork, StoredLog, StoredTicket};
use crate::store::{Commit, NoteRow, OpWrite, Placed, Read, ReadOutcome, Traced, Write};
use fedp2p_protocols::id::TicketId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

#[derive(Default, Clone)]
pub(super) struct Disk {
    pub(super) ops: BTreeMap<u64, OpWrite>,
    pub(super) by_id: BTreeMap<OpId, u64>,
    pub(super) logs: BTreeMap<LogKey, StoredLog>,
    inbox: BTreeSet<(AgentName, u64)>,
    held: BTreeSet<(AgentName, u64)>,
    let_through: BTreeSet<(AgentName, u64)>,
    urgent: BTreeSet<(AgentName, u64)>,
    expires: BTreeMap<(AgentName, u64), u64>,
    handed: BTreeMap<OpId, BTreeSet<AgentId>>,
    cursors: BTreeMap<AgentName, u64>,
    acknowledged: BTreeMap<OpId, BTreeSet<AgentId>>,
    surfaced: BTreeMap<(AgentId, LogKey), u64>,
    reaches: BTreeMap<(NodeId, LogKey), u64>,
    members: BTreeMap<NodeId, Vec<u8>>,
    tickets: BTreeMap<TicketId, StoredTicket>,
    documents: BTreeMap<NodeId, u32>,
    pub(super) forks: BTreeMap<LogKey, (StoredFork, Vec<u8>)>,
    pub(super) epoch: Option<LogEpochId>,
    pin: Option<crate::pin::Pin>,
    pub(super) full: bool,
    /// How many commits were to survive a power cut.
    pub(super) flushes: usize,
    refused: Option<u32>,
}

impl Disk {
    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let generation = commit.token.generation;
        if self.refused.is_some_and(|refused| generation <= refused) {
            return Err(StoreError::Superseded);
        }
        if self.full {
            self.refused = Some(generation);
            return Err(StoreError::Full);
        }
        commit.writes.into_iter().for_each(|write| self.write(write));
        Ok(())
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Op(write) => self.write_op(write),
            Write::Inbox { agent, position, held, urgent, expires } => {
                if held {
                    self.held.insert((agent.clone(), position));
                }
                if urgent {
                    self.urgent.insert((agent.clone(), position));
                }
                self.expires.extend(expires.map(|expires| ((agent.clone(), position), expires)));
                self.inbox.insert((agent, position));
            }
            Write::Judged { agent, position, held } => {
                let place = (agent, position);
                if self.held.remove(&place) | self.let_through.remove(&place) {
                    let of = if held { &mut self.held } else { &mut self.let_through };
                    of.insert(place);
                }
            }
            Write::Cursor { agent, position, held } => {
                self.let_through.retain(|(of, at)| *of != agent || *at > position);
                self.held.retain(|(of, at)| !held || *of != agent || *at > position);
                let cursor = self.cursors.entry(agent).or_default();
                *cursor = (*cursor).max(position);
            }
            Write::Handed { agent, message } => {
                self.handed.entry(message).or_default().insert(agent);
            }
            Write::Reach { peer, key, height } => drop(self.reaches.insert((peer, key), height)),
            Write::Surfaced { agent, key, seq } => drop(self.surfaced.insert((agent, key), seq)),
            Write::Acknowledged { agent, message } => {
                self.acknowledged.entry(message).or_default().insert(agent);
            }
            Write::Member { node, chain } => drop(self.members.insert(node, chain)),
            Write::Ticket { id, secret, expires, used_by } => {
                self.tickets.insert(id, StoredTicket { secret, expires, used_by });
            }
            Write::Fork { key, conversation, seq, common, proof } => {
                self.forks.insert(key, (StoredFork { key, conversation, seq, common }, proof));
            }
            Write::Document { author, epoch, .. } => drop(self.documents.insert(author, epoch)),
            Write::Epoch(epoch) => self.epoch = Some(epoch),
            Write::Pin(pin) => self.pin = Some(pin),
            Write::Flush => self.flushes += 1,
            Write::OwnChain(_) | Write::Peer { .. } => {}
        }
    }

    fn write_op(&mut self, write: OpWrite) {
        let header = write.op.header();
        let key = LogKey { author: header.author, log: header.log };
        let tip = self.logs.get(&key).map_or((0, fedp2p_protocols::op::NO_BACKLINK), |log| (log.height, log.head));
        assert_eq!((header.seq, header.backlink), (tip.0 + 1, tip.1), "a log has a gap");
        assert!(self.ops.keys().next_back().is_none_or(|last| *last < write.position), "positions go up");
        let log = StoredLog {
            key,
            conversation: header.conversation,
            height: header.seq,
            head: write.op.id(),
            hlc: header.hlc.to_u64(),
        };
        self.logs.insert(key, log);
        self.by_id.insert(write.op.id(), write.position);
        self.ops.insert(write.position, write);
    }

    pub(super) fn load(&mut self) -> Stored {
        self.refused = None;
        let counts = |write: &&OpWrite| {
            let from = self.documents.get(&write.op.header().author).copied().unwrap_or(0);
            write.document_epoch.is_some_and(|epoch| epoch >= from)
        };
        Stored {
            logs: self.logs.values().cloned().collect(),
            position: self.ops.keys().next_back().copied().unwrap_or(0),
            members: self.members.values().cloned().collect(),
            changes: self.ops.values().filter(counts).map(|write| Arc::clone(&write.op)).collect(),
            tickets: self.tickets.values().cloned().collect(),
            pin: self.pin.clone(),
            reaches: self.reaches.iter().map(|((peer, key), height)| (*peer, *key, *height)).collect(),
            surfaced: self.surfaced.iter().map(|((agent, key), seq)| (agent.clone(), *key, *seq)).collect(),
            forks: self.forks.values().map(|(fork, _)| fork.clone()).collect(),
            last_seen: Vec::new(),
        }
    }

    fn placed(&self, position: u64) -> Placed {
        Placed { position, op: Arc::clone(&self.ops[&position].op) }
    }

    fn all(&self, fits: impl Fn(&OpWrite) -> bool) -> Vec<Placed> {
        self.ops.values().filter(|write| fits(write)).map(|write| self.placed(write.position)).collect()
    }

    fn waiting(&self, agent: &AgentName, held: bool, now_ms: u64) -> Vec<u64> {
        let after = self.cursors.get(agent).copied().unwrap_or(0);
        let of = self.inbox.iter().filter(|(name, _)| name == agent);
        let fits = |place: &&(AgentName, u64)| {
            let through = self.let_through.contains(*place);
            let waits = if self.held.contains(*place) { held } else { through || place.1 > after };
            waits && self.expires.get(*place).is_none_or(|expires| *expires > now_ms)
        };
        of.filter(fits).map(|(_, at)| *at).collect()
    }

    /// Splits what was handed out into the last of each log and the rest, as the contract says.
    fn handed_out(&self, agent: &AgentName, position: u64, held: bool, now_ms: u64) -> (Vec<(LogKey, u64)>, Vec<OpId>) {
        let place = |at: u64| {
            let header = self.ops[&at].op.header();
            (LogKey { author: header.author, log: header.log }, header.seq)
        };
        let mut low: BTreeMap<LogKey, u64> = BTreeMap::new();
        let on = self.held.iter().filter(|(of, at)| of == agent && !(held && *at <= position));
        let later = self.let_through.iter().filter(|(of, at)| of == agent && *at > position);
        for (_, at) in on.chain(later) {
            let (key, seq) = place(*at);
            low.entry(key).and_modify(|low| *low = (*low).min(seq)).or_insert(seq);
        }
        let (mut levels, mut exact) = (BTreeMap::new(), Vec::new());
        for at in self.waiting(agent, held, now_ms).into_iter().filter(|at| *at <= position) {
            let (key, seq) = place(at);
            let by_itself =
                self.expires.contains_key(&(agent.clone(), at)) || low.get(&key).is_some_and(|low| seq > *low);
            if by_itself {
                exact.push(self.ops[&at].op.id())
            } else {
                levels.insert(key, seq);
            }
        }
        (levels.into_iter().collect(), exact)
    }

    fn traced(&self, placed: Placed) -> Traced {
        let of =
            |map: &BTreeMap<OpId, BTreeSet<AgentId>>| map.get(&placed.op.id()).into_iter().flatten().cloned().collect();
        Traced { acknowledged: of(&self.acknowledged), handed: of(&self.handed), placed }
    }

    /// The messages of a thread, in order of position.
    fn thread(&self, message: &OpId) -> Vec<Placed> {
        let mut thread = BTreeSet::from([*message]);
        loop {
            let before = thread.len();
            for write in self.ops.values() {
                let Some(reply_to) = write.message.as_ref().and_then(|message| message.reply_to) else { continue };
                if thread.contains(&write.op.id()) || thread.contains(&reply_to) {
                    thread.extend([write.op.id(), reply_to]);
                }
            }
            if thread.len() == before {
                return self.all(|write| write.message.is_some() && thread.contains(&write.op.id()));
            }
        }
    }

    pub(super) fn read(&self, read: &Read) -> ReadOutcome {
        let place = |write: &OpWrite| {
            let header = write.op.header();
            (LogKey { author: header.author, log: header.log }, header.seq)
        };
        match read {
            Read::Range { wants, after, max_bytes, .. } => {
                let wanted = |write: &OpWrite| {
                    let (key, seq) = place(write);
                    write.position > *after && wants.iter().any(|want| want.key == key && want.from <= seq)
                };
                let (mut ops, mut bytes) = (self.all(wanted), 0);
                let all = ops.len();
                ops.retain(|placed| {
                    bytes += placed.op.bytes().len();
                    bytes <= *max_bytes
                });
                ReadOutcome::Range { complete: ops.len() == all, ops }
            }
            Read::At { key, seq } => ReadOutcome::At(self.all(|write| place(write) == (*key, *seq)).pop()),
            Read::Proof { key, seq } => {
                let found = self.forks.values().find(|(fork, _)| (fork.key, fork.seq) == (*key, *seq));
                ReadOutcome::Proof(found.map(|(_, proof)| proof.clone()))
            }
            Read::Known(ids) => {
                let known =
                    ids.iter().filter_map(|id| self.by_id.get(id).map(|at| (*id, self.ops[at].op.header().hlc)));
                ReadOutcome::Known(known.collect())
            }
            Read::Thread { message, limit } => {
                let mut rows: Vec<Traced> =
                    self.thread(message).into_iter().map(|placed| self.traced(placed)).collect();
                rows.drain(..rows.len().saturating_sub(*limit as usize));
                ReadOutcome::History(rows)
            }
            Read::Inbox { agent, limit, held, urgent, now_ms } => {
                let is_urgent = |at: &u64| !urgent || self.urgent.contains(&(agent.clone(), *at));
                let mut waiting = self.waiting(agent, *held, *now_ms);
                waiting.retain(is_urgent);
                let all = self.waiting(agent, true, *now_ms).iter().filter(|at| is_urgent(at)).count();
                let messages: Vec<Placed> = waiting.iter().take(*limit as usize).map(|at| self.placed(*at)).collect();
                ReadOutcome::Inbox {
                    more: (waiting.len() - messages.len()) as u64,
                    held: (all - waiting.len()) as u64,
                    messages,
                }
            }
            Read::Held { agent, after, limit } => {
                let all = self.held.iter().map(|place| (place, true));
                let all = all.chain(self.let_through.iter().map(|place| (place, false)));
                let of = all.filter(|((of, at), _)| of == agent && at > after);
                let of: BTreeMap<u64, bool> = of.map(|((_, at), held)| (*at, held)).collect();
                ReadOutcome::Held(
                    of.into_iter().take(*limit as usize).map(|(at, held)| (self.placed(at), held)).collect(),
                )
            }
            Read::InboxUpTo { agent, position, held, now_ms } => {
                let (surfaced, exact) = self.handed_out(agent, *position, *held, *now_ms);
                let cursor = self.cursors.get(agent).copied().unwrap_or(0);
                ReadOutcome::InboxUpTo { surfaced, exact, cursor }
            }
            Read::History(filter) => {
                let rows = self.all(|write| {
                    let kind = write.message.as_ref().map(|message| message.kind);
                    let fits = filter.kind.is_none_or(|wanted| kind == Some(wanted));
                    kind.is_some() && fits && filter.id.is_none_or(|id| id == write.op.id())
                });
                ReadOutcome::History(rows.into_iter().map(|placed| self.traced(placed)).collect())
            }
            Read::Find(prefixes) => {
                let find = |prefix: &String| {
                    self.all(|write| write.message.is_some() && write.op.id().to_string().starts_with(prefix))
                };
                ReadOutcome::Find(prefixes.iter().map(find).collect())
            }
            Read::Note { name, .. } => {
                let of = self.all(|write| write.note.as_ref() == Some(name));
                ReadOutcome::Note(of.into_iter().map(|placed| placed.op).collect())
            }
            Read::Notes { after, limit, .. } => {
                let names: BTreeSet<_> = self.ops.values().filter_map(|write| write.note.clone()).collect();
                let row = |name: fedp2p_protocols::name::NoteName| {
                    let mut of = self.all(|write| write.note.as_ref() == Some(&name));
                    NoteRow { edits: of.len() as u32, last: of.pop().unwrap(), name }
                };
                let page = names.into_iter().filter(|name| after.as_ref().is_none_or(|after| name > after));
                ReadOutcome::Notes(page.take(*limit as usize).map(row).collect())
            }
            Read::Verify => ReadOutcome::Failed(StoreError::Other("not here".to_owned())),
            Read::Changes { author, .. } => {
                let of = |write: &OpWrite| write.document_epoch.is_some() && write.op.header().author == *author;
                ReadOutcome::Changes(self.all(of).into_iter().map(|placed| placed.op).collect())
            }
        }
    }
}
