//! Taking others' entries, cheapest check first.
//!
//! An op passes: size and form, network and conversation, author, quota, duplicate, clock; then its signature, off
//! the loop and in batches; then chain and dependencies. Everything is the same whichever way the op came. What a
//! peer could not have passed on in good faith is a violation and ends the connection; what may be honest is
//! ignored or waits.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_protocols::codec::DecodeError;
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{NodeId, OpId};
use fedp2p_protocols::limits::{MAX_LOGS_PER_AUTHOR, PENDING_TIMEOUT};
use fedp2p_protocols::op::{Kind, Op, Verified};
use fedp2p_protocols::payload::{ForkProof, LogStart, Message, Receipt, decode_certificate};
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::author::{document_epoch, log_key, message_index, note_index};
use crate::commit::{InFlight, Origin, Written};
use crate::doors::Then;
use crate::effect::{Effect, Verdict};
use crate::input::{GossipId, VerifyToken};
use crate::pending::Need;
use crate::session::{MAX_UNACKNOWLEDGED, Session};
use crate::store::{OpWrite, Read, Write};

/// Which way ops came.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// By gossip.
    Gossip(GossipId),
    /// Pushed over a sync stream, unasked.
    Push(NodeId),
    /// Asked for: how many bytes, and whether these were the last.
    Fetch { peer: NodeId, bytes: u32, last: bool },
    /// Out of the waiting room.
    Waited(NodeId),
    /// Out of the waiting room, without what it waited for.
    Waived(NodeId),
}

impl Source {
    pub(crate) fn peer(&self) -> NodeId {
        match self {
            Self::Gossip(id) => id.from,
            Self::Push(peer) | Self::Fetch { peer, .. } | Self::Waited(peer) | Self::Waived(peer) => *peer,
        }
    }
}

/// Ops whose signatures are being checked.
#[derive(Debug)]
pub(crate) struct Batch {
    source: Source,
    ids: Vec<OpId>,
}

/// Most entries that are kept until they can be compared with what is on its way to the store.
pub(crate) const MAX_CONTESTED: usize = 64;
/// How long something may wait at most while a fork holds up what it waits for.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// What the cheap checks say of an op.
enum Look {
    /// Worth checking its signature.
    Good(Op),
    /// Known to be good: nothing to do.
    Known,
    /// Not for us to judge.
    Pass,
    /// Something before it is missing here.
    Gap,
    /// It would have to wait, and there is no room.
    NoRoom,
    /// At a position that is taken; whether it is the same entry must be looked up.
    Taken(Op),
    /// Not what an honest node passes on.
    Violation(String),
}

/// What came of placing a verified op.
enum Placing {
    Accepted(Arc<Verified>),
    Waits,
    /// It stands where its log no longer counts, or in one log too many: it exists, and that is all.
    Void(OpId, Hlc),
    /// It can never be accepted.
    Refused(&'static str),
    Known,
}

impl Core {
    pub(crate) fn gossip(&mut self, id: GossipId, data: Vec<u8>) {
        self.arrive(Source::Gossip(id), vec![data]);
    }

    /// Takes ops from any source through the cheap checks and sends the rest to have their signatures checked.
    pub(crate) fn arrive(&mut self, source: Source, ops: Vec<Vec<u8>>) {
        let mut good = Vec::new();
        let (mut gap, mut left) = (false, false);
        let mut idle = Verdict::Ignore;
        let mut violation = None;
        for bytes in ops {
            match self.look(&source, &bytes) {
                Look::Good(op) => good.push(op),
                Look::Pass => {}
                // It came another way first; those behind us may have no other.
                Look::Known => idle = Verdict::Accept,
                Look::Gap => gap = true,
                Look::NoRoom => left = true,
                Look::Taken(op) => self.look_up(op, source.peer()),
                Look::Violation(why) => {
                    violation = Some(why);
                    break;
                }
            }
        }
        if let Some(why) = violation {
            self.verdict(&source, Verdict::Reject);
            self.violation(source.peer(), why);
            return;
        }
        if gap {
            self.ask_soon(source.peer());
        } else if left {
            self.note_gap(source.peer());
        }
        if good.is_empty() {
            self.verdict(&source, idle);
            self.dealt_with(&source);
            return;
        }
        let ids: Vec<OpId> = good.iter().map(Op::id).collect();
        self.in_verification.extend(&ids);
        let token = VerifyToken(self.next_verify);
        self.next_verify += 1;
        self.verifying.insert(token, Batch { source, ids });
        self.effect(Effect::Verify(token, good));
    }

    fn look(&mut self, source: &Source, bytes: &[u8]) -> Look {
        let op = match Op::decode(bytes) {
            Ok(op) => op,
            // A later version of the format may be honest.
            Err(DecodeError::Version(_)) => return Look::Pass,
            Err(error) => return Look::Violation(format!("sent an entry that is not well formed: {error}")),
        };
        let header = op.header();
        if header.network != self.network || header.conversation != self.lobby {
            return Look::Violation("sent an entry of another network".to_owned());
        }
        if self.members.get(&header.author).is_none() {
            match self.introduction(&op) {
                Ok(true) => {}
                Ok(false) => return Look::Gap,
                Err(why) => return Look::Violation(why),
            }
        }
        if self.recent.clock(&op.id()).is_some() {
            // The same header under another signature is nobody's to pass on.
            return if self.recent.is_same(&op) { Look::Known } else { Look::Pass };
        }
        if self.pending.contains(&op.id()) {
            return Look::Pass;
        }
        // Gossip is to be judged on its own: it may have to be passed on. What was asked for is acknowledged only once it
        // is stored, so it must not be let pass because it is on its way by another door.
        if self.in_verification.contains(&op.id()) && !matches!(source, Source::Gossip(_) | Source::Fetch { .. }) {
            return Look::Pass;
        }
        let asked = matches!(source, Source::Fetch { peer, .. } if self.is_fetching_from(peer));
        if !asked && !self.quotas.take(header.author, self.now.monotonic) {
            return Look::Pass;
        }
        let key = crate::key_of(&op);
        let next = self.logs.get(&key).map_or(0, |log| log.accepted_height()) + 1;
        if header.seq > next && !self.pending.would_fit(&op) {
            return Look::NoRoom;
        }
        if let Some(log) = self.logs.get(&key) {
            if !log.counts(header.seq) {
                // It is not taken; but somebody may have depended on it before the fork was known.
                return if self.pending.wait_for_ops() { Look::Good(op) } else { Look::Pass };
            }
            if header.seq <= log.accepted_height() {
                return Look::Taken(op);
            }
        }
        // Whoever answers an entry that was taken at the very edge must not be refused for it.
        let seen = self.logs.clock(&header.conversation).milliseconds();
        let latest = self.latest_ms().max(seen);
        if header.hlc.milliseconds() > latest {
            self.note_clock(header.author, header.hlc.milliseconds());
            return Look::Pass;
        }
        Look::Good(op)
    }

    /// Whether an op of an unknown author is the start of a log that proves who the author is.
    ///
    /// # Errors
    /// If it is the start of a log and proves nothing: no honest node took it, so none passes it on.
    fn introduction(&mut self, op: &Op) -> Result<bool, String> {
        if op.header().kind != Kind::LogStart {
            return Ok(false);
        }
        let start = LogStart::decode(op.payload()).map_err(|error| format!("sent a log of nobody: {error}"))?;
        // The chain proves itself by the organisation's signature, whoever carries it.
        let learnt = self.members.learn(op.header().author, start.chain);
        learnt.map_err(|error| format!("sent a log of a stranger: {error}"))?;
        Ok(true)
    }

    fn verdict(&mut self, source: &Source, verdict: Verdict) {
        if let Source::Gossip(id) = source {
            self.effect(Effect::Judge(id.clone(), verdict));
        }
    }

    /// Tells a peer that its ops were dealt with, when none of them is on its way to the store.
    fn dealt_with(&mut self, source: &Source) {
        if let Source::Fetch { peer, bytes, last } = *source {
            let looks_up =
                |session: &&mut Session| session.looking_up > 0 && session.unacknowledged.len() < MAX_UNACKNOWLEDGED;
            if let Some(session) = self.sessions.get_mut(&peer).filter(looks_up) {
                // Some of it waits for the disk. The next part comes when that is known, or it would fall out.
                session.unacknowledged.push((bytes, last));
            } else if self.in_flight.is_empty() {
                self.fetched(peer, bytes, last);
            } else {
                // In order: whatever is on its way is acknowledged first.
                let fetched = Some((peer, bytes, last));
                self.commit(Vec::new(), InFlight { fetched, ..InFlight::default() });
            }
        }
    }

    pub(crate) fn verified(&mut self, token: VerifyToken, ops: Vec<Option<Verified>>) {
        let Some(batch) = self.verifying.remove(&token) else { return };
        for id in &batch.ids {
            self.in_verification.remove(id);
        }
        if ops.iter().any(Option::is_none) {
            self.verdict(&batch.source, Verdict::Reject);
            self.violation(batch.source.peer(), "sent an entry with a bad signature".to_owned());
            return;
        }
        self.verdict(&batch.source, Verdict::Accept);
        let ops: Vec<Verified> = ops.into_iter().flatten().collect();
        let proofs = ops.iter().filter(|op| op.header().kind == Kind::ForkProof);
        let proofs: Vec<ForkProof> = proofs.filter_map(|op| ForkProof::decode(op.payload()).ok()).collect();
        self.place_all(batch.source, ops);
        for proof in proofs {
            // A proof proves itself, even while the entry that carries it waits: perhaps for what the fork holds up.
            self.fork_proven(&proof);
        }
    }

    /// Accepts what fits, lets the rest wait, and commits what was accepted.
    pub(crate) fn place_all(&mut self, mut source: Source, ops: Vec<Verified>) {
        let peer = source.peer();
        let mut queue: VecDeque<Verified> = ops.into();
        let (mut writes, mut written) = (Vec::new(), Vec::new());
        while let Some(op) = queue.pop_front() {
            match self.place(op, &source) {
                Placing::Accepted(op) => {
                    queue.extend(self.pending.release(Need::Op(op.id())));
                    let this = Need::Entry(log_key(&op), op.header().seq);
                    queue.extend(self.pending.release(this));
                    let position = self.next_position();
                    self.write_op(&mut writes, &op, position);
                    written.push(Written { op, position, origin: Origin::From(peer) });
                }
                Placing::Refused(why) => {
                    self.notice(format!("refused an entry from {}: {why}", self.members.display(&peer)));
                }
                Placing::Void(id, hlc) => {
                    self.recent.insert(id, hlc);
                    queue.extend(self.pending.release(Need::Op(id)));
                }
                Placing::Waits | Placing::Known => {}
            }
            // What is released by an entry that did not have to wait any longer has to wait like any other.
            if let Source::Waived(peer) = source {
                source = Source::Waited(peer);
            }
        }
        let fetched = match source {
            Source::Fetch { peer, bytes, last } => Some((peer, bytes, last)),
            Source::Gossip(_) | Source::Push(_) | Source::Waited(_) | Source::Waived(_) => None,
        };
        if writes.is_empty() {
            self.dealt_with(&source);
        } else {
            if self.was_asked_for(&source) {
                self.progressed(&peer, written.iter().map(|written| written.op.bytes().len()).sum());
            }
            self.commit(writes, InFlight { written, fetched, ..InFlight::default() });
        }
        if std::mem::take(&mut self.epoch_due) {
            self.lost_shown();
        }
    }

    /// Whether ops were fetched: also where they waited for the disk to say whether what they depend on is known.
    fn was_asked_for(&self, source: &Source) -> bool {
        let waits = |peer| {
            let session = self.sessions.get(peer);
            session.is_some_and(|session| session.looking_up > 0 || !session.unacknowledged.is_empty())
        };
        match source {
            Source::Fetch { .. } => true,
            Source::Waited(peer) | Source::Waived(peer) => waits(peer),
            Source::Gossip(_) | Source::Push(_) => false,
        }
    }

    fn place(&mut self, op: Verified, source: &Source) -> Placing {
        let peer = source.peer();
        let header = op.header();
        let key = log_key(&op);
        let log = self.logs.get(&key);
        if log.is_some_and(|log| !log.counts(header.seq)) {
            return Placing::Void(op.id(), header.hlc);
        }
        let height = log.map_or(0, |log| log.accepted_height());
        if header.author == self.me() && key == self.own_log(&header.conversation) && header.seq > height {
            // Somebody holds more of our own log than we do: this database was restored or copied.
            self.epoch_due = true;
        }
        if header.seq <= height {
            let (seq, id) = (header.seq, op.id());
            let durable = self.logs.get(&key).map_or(0, |log| log.durable_height());
            if self.recent.clock(&id).is_some() {
                return Placing::Known;
            }
            if seq <= durable {
                self.read(Read::At { key, seq }, Then::Compare { op: Box::new(op), peer });
            } else if self.contested.len() < MAX_CONTESTED {
                self.contested.push((op, peer));
            }
            return Placing::Known;
        }
        if header.seq > height + 1 {
            // Each waits for the one before it, so that one that comes wakes one, and not all that wait in its log.
            let before = header.seq - 1;
            return self.wait(op, Need::Entry(key, before), peer);
        }
        if (header.seq == 1) != (header.kind == Kind::LogStart) {
            return Placing::Refused("a log begins with its start, once");
        }
        let Some(tip) = self.logs.get(&key).and_then(|log| log.accepted) else {
            return self.place_start(op, source);
        };
        if header.backlink != tip.head {
            self.diverged(&op, peer);
            return Placing::Known;
        }
        if header.hlc <= tip.hlc {
            return Placing::Refused("its clock ran backwards");
        }
        if self.logs.get(&key).is_some_and(|log| log.conversation != header.conversation) {
            return Placing::Refused("it changes the conversation of its log");
        }
        self.place_deps(op, source)
    }

    fn place_start(&mut self, op: Verified, source: &Source) -> Placing {
        let header = op.header();
        if self.logs.taken(&header.conversation, header.author) >= MAX_LOGS_PER_AUTHOR {
            self.logs.leave_out(log_key(&op), header.conversation);
            let name = self.members.display(&header.author);
            self.notice(format!("left out one more log of {name}, who has too many"));
            // Others may have taken this one and refused another, and what they write depends on it: it exists.
            return Placing::Void(op.id(), header.hlc);
        }
        let Ok(start) = LogStart::decode(op.payload()) else {
            return Placing::Refused("the start of a log has no valid certificate");
        };
        if self.members.learn(header.author, start.chain).is_err() {
            return Placing::Refused("the certificate in the start of a log is of another node or organisation");
        }
        self.place_deps(op, source)
    }

    /// Accepts an op that fits its log, if everything it depends on is here.
    fn place_deps(&mut self, op: Verified, source: &Source) -> Placing {
        let peer = source.peer();
        let unknown: Vec<OpId> =
            op.header().deps.iter().filter(|dep| self.recent.clock(dep).is_none()).copied().collect();
        let waiting = unknown.iter().find(|dep| self.pending.contains(dep));
        if let Some(first) = waiting.or(unknown.first()).copied()
            && (waiting.is_some() || !matches!(source, Source::Waived(_)))
        {
            // The store may know them: they can be older than what is kept at hand.
            let waits = self.wait(op, Need::Op(first), peer);
            let fetched = matches!(source, Source::Fetch { .. });
            if let Some(session) = self.sessions.get_mut(&peer).filter(|_| fetched) {
                session.looking_up += 1;
            }
            self.read(Read::Known(unknown.clone()), Then::Known { peer, asked: unknown, fetched });
            return waits;
        }
        // Its clock is not compared with those of its deps: not everybody has them where a log forked, and what some
        // refuse that others take would keep them apart for good.
        self.logs.accept(op.id(), op.header());
        self.recent.insert_op(&op);
        Placing::Accepted(Arc::new(op))
    }

    fn wait(&mut self, op: Verified, need: Need, peer: NodeId) -> Placing {
        let fits = self.pending.insert(op, need, self.now.monotonic);
        if matches!(need, Need::Entry(..)) || !fits {
            self.note_gap(peer);
        }
        Placing::Waits
    }

    /// The store has said which of the ops that others depend on it knows.
    pub(crate) fn known_read(&mut self, known: Vec<(OpId, Hlc)>, asked: &[OpId], peer: NodeId) {
        let found: BTreeSet<OpId> = known.iter().map(|(id, _)| *id).collect();
        let mut released = Vec::new();
        for (id, hlc) in known {
            self.recent.insert(id, hlc);
            released.extend(self.pending.release(Need::Op(id)));
        }
        if asked.iter().any(|id| !found.contains(id) && self.recent.clock(id).is_none()) {
            self.note_gap(peer);
        }
        if !released.is_empty() {
            self.place_all(Source::Waited(peer), released);
        }
    }

    /// The store has answered which ops it knows that an entry depends on which was asked for, or failed to.
    pub(crate) fn looked_up(&mut self, peer: NodeId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.looking_up = session.looking_up.saturating_sub(1);
        if session.looking_up == 0 {
            for (bytes, last) in std::mem::take(&mut session.unacknowledged) {
                self.dealt_with(&Source::Fetch { peer, bytes, last });
            }
        }
    }

    /// An op came for a position that is taken: is it the same entry?
    fn look_up(&mut self, op: Op, peer: NodeId) {
        let token = VerifyToken(self.next_verify);
        self.next_verify += 1;
        self.in_verification.insert(op.id());
        let batch = Batch { source: Source::Waited(peer), ids: vec![op.id()] };
        self.verifying.insert(token, batch);
        self.effect(Effect::Verify(token, vec![op]));
    }

    pub(crate) fn compare_read(&mut self, op: &Verified, ours: &Verified, peer: NodeId) {
        if ours.id() == op.id() {
            self.recent.insert(op.id(), op.header().hlc);
        } else {
            self.found_fork(ours, op, peer);
        }
    }

    /// Lets go of what has waited too long; it is fetched again. But where a log has forked, an entry of somebody else
    /// may depend on a part of it that nobody in reach has any more, or on a log that is left out. Such an entry is taken as it is, and what waits
    /// for it waits on.
    pub(crate) fn pending_due(&mut self) {
        let now = self.now.monotonic;
        let mut dropped = 0;
        for id in self.pending.overdue(now) {
            let Some((op, need, since)) = self.pending.get(&id) else { continue };
            let forked = !self.forks.is_empty() || self.logs.left_out().next().is_some();
            let author = op.header().author;
            let in_turn = op.header().deps.iter().any(|dep| self.pending.contains(dep));
            if forked && !in_turn && matches!(need, Need::Op(_)) {
                let op = self.pending.remove(&id);
                self.place_all(Source::Waived(author), op.into_iter().collect());
            } else if forked && now < since + MOST_PATIENCE {
                self.pending.postpone(&id, now + PENDING_TIMEOUT / 6);
            } else {
                self.pending.remove(&id);
                dropped += 1;
            }
        }
        if dropped > 0 {
            self.notice(format!(
                "{dropped} entries waited too long for what they depend on; they will be fetched again"
            ));
        }
    }

    /// Everything that is written with one foreign entry.
    fn write_op(&mut self, writes: &mut Vec<Write>, op: &Arc<Verified>, position: u64) {
        let header = op.header();
        writes.push(Write::Op(OpWrite {
            position,
            op: Arc::clone(op),
            document_epoch: document_epoch(op),
            message: message_index(op),
            note: note_index(op),
        }));
        match header.kind {
            Kind::LogStart | Kind::Certificate => self.write_member(writes, op),
            Kind::Message => self.write_inbox(writes, op, position),
            Kind::Receipt => write_receipt(writes, op, &self.me()),
            Kind::ForkProof => self.proof_held(op),
            Kind::Change | Kind::Checkpoint | Kind::Note | Kind::Other(_) => {}
        }
    }

    fn write_member(&mut self, writes: &mut Vec<Write>, op: &Verified) {
        let chain = if op.header().kind == Kind::LogStart {
            LogStart::decode(op.payload()).ok().map(|start| start.chain)
        } else {
            decode_certificate(op.payload()).ok()
        };
        let Some(chain) = chain else { return };
        let node = op.header().author;
        if self.members.learn(node, chain).is_err() {
            return;
        }
        // What is kept is the chain that is good longest, whichever order they came in.
        let Some(chain) = self.members.get(&node) else { return };
        writes.push(Write::Member { node, chain: chain.encode() });
        if chain.is_current(self.now.wall_ms) && node != self.me() {
            self.effect(Effect::Admit { peer: node, addresses: Vec::new() });
        }
    }

    /// Puts a message into the inboxes of this node's agents that it is for.
    pub(crate) fn write_inbox(&mut self, writes: &mut Vec<Write>, op: &Verified, position: u64) {
        let Ok(message) = Message::decode(op.payload()) else { return };
        for agent in self.local_recipients(op, &message) {
            let held = self.is_held(op, &message, &agent);
            writes.push(Write::Inbox { agent, position, held, urgent: message.urgent, expires: message.expires });
        }
    }

    /// The agents of this node that a message is for.
    pub(crate) fn local_recipients(&self, op: &Verified, message: &Message) -> Vec<fedp2p_protocols::name::AgentName> {
        let me = self.me();
        if !message.to.is_empty() {
            let mine: BTreeSet<_> = message.to.iter().filter(|to| to.node == me).map(|to| to.name.clone()).collect();
            return mine.into_iter().collect();
        }
        let author = op.header().agent.clone().map(|name| AgentId { node: op.header().author, name });
        let agents = self.documents.content(&op.header().conversation, &me).agents.keys();
        agents.filter(|name| author.as_ref() != Some(&AgentId { node: me, name: (*name).clone() })).cloned().collect()
    }
}

/// What a receipt says, for the rows that deliveries are read from.
///
/// How far logs were handed out is only looked up for messages of this node, and for whether its agents read anything.
pub(crate) fn write_receipt(writes: &mut Vec<Write>, op: &Verified, me: &NodeId) {
    let (Ok(receipt), Some(name)) = (Receipt::decode(op.payload()), &op.header().agent) else {
        return;
    };
    let agent = AgentId { node: op.header().author, name: name.clone() };
    for surfaced in receipt.surfaced.iter().filter(|surfaced| surfaced.author == *me || agent.node == *me) {
        writes.push(Write::Surfaced { agent: agent.clone(), key: surfaced.key(), seq: surfaced.seq });
    }
    for message in &receipt.handed {
        writes.push(Write::Handed { agent: agent.clone(), message: *message });
    }
    for message in &receipt.acknowledged {
        writes.push(Write::Acknowledged { agent: agent.clone(), message: *message });
    }
}
