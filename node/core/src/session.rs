//! Connected nodes: whether they are there, and what each is owed.
//!
//! Presence is judged here, by this node alone. It is never written to the log: what an agent *says* is its pulse.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fedp2p_protocols::api::{Presence, watch};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::sync::{Frame, Head, LogKey, Want};

use crate::Core;
use crate::author::{Entries, log_key};
use crate::effect::Effect;
use crate::store::Write;
use crate::sync::Serve;

/// How often a sign of life is asked for.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How soon it is asked for when nothing comes after something was sent that is worth an answer.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// After how much silence a connected node is suspect.
const SUSPECT_AFTER: Duration = Duration::from_secs(12);
/// After how much silence a node is gone.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// How long receipts of storage are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(10);
/// How long the heights of others are gathered before they are written.
const GATHER_REACH: Duration = Duration::from_millis(500);
/// How soon a digest may follow another that was asked for by a gap.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long what an entry waits for may be on its way before it is asked for: another connection may bring it.
const GRACE: Duration = Duration::from_millis(100);
/// How long that is put off at most while this node has not dealt with what came.
const MOST_GRACE: Duration = Duration::from_secs(1);
/// How soon others are shown what was fetched, and whoever it came from is looked at again.
const SPREAD: Duration = Duration::from_millis(200);
/// How long a node is not asked for anything after it sent nothing of what it was asked for.
pub(crate) const FRUITLESS: Duration = Duration::from_secs(20);
/// First interval between digests; it doubles while nothing differs.
pub(crate) const DIGEST_EVERY: Duration = Duration::from_secs(5);
/// Longest interval between digests.
const DIGEST_AT_MOST: Duration = Duration::from_secs(30);
/// Most parts of what one node was asked for that are acknowledged later.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 1024;
/// Up to this many connected nodes, new entries go straight to each of them.
pub(crate) const SMALL_MESH: usize = 12;

/// One connected node.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) address: String,
    heard: Duration,
    pub(crate) rtt: Option<Duration>,
    ping_at: Duration,
    pinged: Option<Duration>,
    /// Since when nothing has come, after something that is worth an answer.
    awaits: Option<Duration>,
    digest_at: Duration,
    digest_every: Duration,
    asked: Option<Duration>,
    /// Since when something waits that came from it.
    gap: Option<Duration>,
    /// When it is asked for what is missing.
    gap_at: Option<Duration>,
    /// Its digest differed from ours when it last came.
    pub(crate) differs: bool,
    /// A digest went to it that it has not answered with heads.
    pub(crate) compared: bool,
    /// The heads of a list that is not complete yet.
    pub(crate) heads: Vec<Head>,
    /// The wants of a request that is not complete yet.
    pub(crate) wants: Vec<Want>,
    pub(crate) serves: VecDeque<Serve>,
    /// How often the store is being asked what it knows of what entries depend on that it was asked for.
    pub(crate) looking_up: usize,
    /// Whether it was asked for the other side of a fork.
    pub(crate) probed: bool,
    /// Parts of what it was asked for that are acknowledged after that: how many bytes, and whether they were the last.
    pub(crate) unacknowledged: Vec<(u32, bool)>,
    /// Logs of this node of which it is to hear how far they are stored.
    owed: BTreeSet<LogKey>,
    owed_at: Option<Duration>,
    /// Its heights that are to be written.
    reach: BTreeMap<LogKey, u64>,
    reach_at: Option<Duration>,
    clock_noted: bool,
    /// When its certificate was renewed by this node.
    pub(crate) renewed: Option<Duration>,
    /// Until when it is not asked for anything: what it was asked for last brought nothing.
    pub(crate) fruitless_until: Duration,
    /// When it may be asked again for what does not count.
    pub(crate) void_asked: Duration,
    /// How many times in a row that was so.
    pub(crate) fruitless: u32,
}

impl Session {
    fn new(address: String, now: Duration) -> Self {
        Self {
            address,
            heard: now,
            rtt: None,
            ping_at: now,
            pinged: None,
            awaits: None,
            digest_at: now + DIGEST_EVERY,
            digest_every: DIGEST_EVERY,
            asked: None,
            gap: None,
            gap_at: None,
            differs: false,
            compared: false,
            heads: Vec::new(),
            wants: Vec::new(),
            serves: VecDeque::new(),
            looking_up: 0,
            probed: false,
            unacknowledged: Vec::new(),
            owed: BTreeSet::new(),
            owed_at: None,
            reach: BTreeMap::new(),
            reach_at: None,
            clock_noted: false,
            renewed: None,
            fruitless_until: Duration::ZERO,
            void_asked: Duration::ZERO,
            fruitless: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        let due = self.ping_at.min(self.digest_at);
        let probe = self.awaits.map(|since| since + PROBE_AFTER);
        let others = self.owed_at.into_iter().chain(self.reach_at).chain(self.gap_at).chain(probe);
        others.fold(due, Duration::min)
    }

    fn presence(&self, now: Duration) -> Presence {
        match now.saturating_sub(self.heard) {
            silence if silence < SUSPECT_AFTER => Presence::Reachable,
            silence if silence < GONE_AFTER => Presence::Suspect,
            _ => Presence::Gone,
        }
    }
}

/// When a node was last there.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) wall_ms: u64,
    lost: Option<Duration>,
    pub(crate) presence: Presence,
}

impl Seen {
    /// A node that was seen before this daemon started.
    pub(crate) fn long_ago(wall_ms: u64) -> Self {
        Self { wall_ms, lost: None, presence: Presence::Gone }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.lost.map(|lost| lost + GONE_AFTER)
    }
}

impl Core {
    pub(crate) fn connected(&mut self, peer: NodeId, address: String) {
        let now = self.now.monotonic;
        let addresses = Vec::new();
        self.sessions.insert(peer, Session::new(address, now));
        self.seen.insert(peer, Seen { wall_ms: self.now.wall_ms, lost: None, presence: Presence::Gone });
        self.set_presence(peer, Presence::Reachable);
        let write = Write::Peer { node: peer, addresses, last_seen: self.now.wall_ms };
        self.commit_entries(Entries { writes: vec![write], ..Entries::default() });
        self.send_digest(peer);
    }

    pub(crate) fn disconnected(&mut self, peer: NodeId) {
        let Some(session) = self.sessions.remove(&peer) else {
            return;
        };
        self.abandon_fetches_of(&peer);
        // It counts from the last sign of life: that a dead connection is noticed later makes nobody live longer.
        let silence = self.now.monotonic.saturating_sub(session.heard);
        if let Some(seen) = self.seen.get_mut(&peer) {
            seen.lost = Some(session.heard);
        }
        self.set_presence(peer, if silence < GONE_AFTER { Presence::Suspect } else { Presence::Gone });
        let last_seen = self.seen.get(&peer).map_or(self.now.wall_ms, |seen| seen.wall_ms);
        let write = Write::Peer { node: peer, addresses: Vec::new(), last_seen };
        self.commit_entries(Entries { writes: vec![write], ..Entries::default() });
    }

    fn set_presence(&mut self, peer: NodeId, presence: Presence) {
        let Some(seen) = self.seen.get_mut(&peer) else { return };
        if seen.presence == presence {
            return;
        }
        seen.presence = presence;
        self.claims_changed();
        let name = self.members.display(&peer);
        self.tell(watch::Event::Peer { name, presence });
    }

    /// Whether a node can be reached, as this node judges it.
    pub(crate) fn presence(&self, node: &NodeId) -> Presence {
        if *node == self.me() {
            return Presence::Reachable;
        }
        self.seen.get(node).map_or(Presence::Gone, |seen| seen.presence)
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&mut self, peer: NodeId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.heard = self.now.monotonic;
        session.awaits = None;
        if let Some(seen) = self.seen.get_mut(&peer) {
            seen.wall_ms = self.now.wall_ms;
        }
        self.set_presence(peer, Presence::Reachable);
    }

    pub(crate) fn presence_due(&mut self) {
        let now = self.now.monotonic;
        let mut changes = Vec::new();
        for (peer, session) in &self.sessions {
            changes.push((*peer, session.presence(now)));
        }
        for (peer, seen) in &mut self.seen {
            if seen.deadline().is_some_and(|deadline| deadline <= now) {
                seen.lost = None;
                if !self.sessions.contains_key(peer) {
                    changes.push((*peer, Presence::Gone));
                }
            }
        }
        for (peer, presence) in changes {
            self.set_presence(peer, presence);
        }
    }

    pub(crate) fn sessions_due(&mut self) {
        let now = self.now.monotonic;
        let due: Vec<NodeId> =
            self.sessions.iter().filter(|(_, session)| session.deadline() <= now).map(|(peer, _)| *peer).collect();
        for peer in due {
            self.session_due(peer, now);
        }
        for peer in self.stalled() {
            // Others first, for a while.
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.fruitless_until = now + FRUITLESS;
            }
            self.abandon_fetches_of(&peer);
        }
    }

    fn session_due(&mut self, peer: NodeId, now: Duration) {
        if !self.members.get(&peer).is_some_and(|chain| chain.is_current(self.now.wall_ms)) {
            self.violation(peer, "has a certificate that has expired".to_owned());
        }
        let jitter = Duration::from_millis(u64::from(self.random::<1>()[0]) * 4);
        let wall_ms = self.now.wall_ms;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let mut frames = Vec::new();
        // Also when an answer is out already: what came since may have been on its way before.
        let probe = session.awaits.take_if(|since| *since + PROBE_AFTER <= now).is_some();
        if session.ping_at <= now || probe {
            session.ping_at = now + PING_EVERY;
            session.pinged = Some(now);
            frames.push(Frame::Ping(wall_ms));
        }
        let digest = session.digest_at <= now;
        if digest {
            session.digest_every = (session.digest_every * 2).min(DIGEST_AT_MOST);
            session.digest_at = now + session.digest_every + jitter;
        }
        let owed = match session.owed_at {
            Some(at) if at <= now => {
                session.owed_at = None;
                std::mem::take(&mut session.owed)
            }
            Some(_) | None => BTreeSet::new(),
        };
        let reach = match session.reach_at {
            Some(at) if at <= now => {
                session.reach_at = None;
                std::mem::take(&mut session.reach)
            }
            Some(_) | None => BTreeMap::new(),
        };
        let heads: Vec<Head> = owed.iter().filter_map(|key| self.logs.head(key)).collect();
        if !heads.is_empty() {
            frames.push(Frame::Stored { conversation: self.lobby, heads });
        }
        for frame in frames {
            self.send(peer, &frame);
        }
        if digest {
            self.send_digest(peer);
        }
        self.gap_due(peer, digest);
        let writes = reach.into_iter().map(|(key, height)| Write::Reach { peer, key, height }).collect();
        self.commit_entries(Entries { writes, ..Entries::default() });
    }

    pub(crate) fn send(&mut self, peer: NodeId, frame: &Frame) {
        if matches!(frame, Frame::Have { .. } | Frame::Want { .. } | Frame::Ops { .. }) {
            self.await_answer(peer);
        }
        self.effect(Effect::Send { peer, frame: frame.encode() });
    }

    /// Something was sent to a node that makes it send something back: if it does not, the node is asked whether it is
    /// there, so that a dead connection is found out by the first who needs it.
    fn await_answer(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.awaits.get_or_insert(now);
        }
    }

    /// Sends a new own entry straight to connected nodes: to all in a small mesh, and if it is urgent.
    pub(crate) fn push(&mut self, op: &Verified) {
        if self.sessions.len() > SMALL_MESH && !op.header().kind.is_urgent() {
            return;
        }
        let frame = Frame::Push { ops: vec![op.bytes().to_vec()] }.encode();
        let peers: Vec<NodeId> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.effect(Effect::Send { peer, frame: frame.clone() });
            self.await_answer(peer);
        }
    }

    /// Whether entries must be gossiped too: the mesh is large, or a member may be reachable only through others.
    pub(crate) fn gossip_needed(&self) -> bool {
        self.sessions.len() > SMALL_MESH
            || self.members.iter().any(|(node, _)| *node != self.me() && !self.sessions.contains_key(node))
    }

    /// The author of a stored entry is to hear that it is stored here.
    pub(crate) fn owe_stored(&mut self, _from: NodeId, op: &Verified) {
        let at = self.now.monotonic + GATHER;
        if let Some(session) = self.sessions.get_mut(&op.header().author) {
            session.owed.insert(log_key(op));
            session.owed_at.get_or_insert(at);
        }
    }

    /// A node holds one of our own logs up to this height.
    pub(crate) fn reached(&mut self, peer: NodeId, key: LogKey, height: u64) {
        if key.author != self.me() {
            return;
        }
        let ours = self.logs.get(&key).map_or(0, |log| log.durable_height());
        let height = height.min(ours);
        if height == 0 {
            // Of a log that is not there nothing is kept: a peer could name any number of them.
            return;
        }
        let known = self.reaches.entry((peer, key)).or_default();
        if height <= *known {
            return;
        }
        *known = height;
        let at = self.now.monotonic + GATHER_REACH;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.reach.insert(key, height);
            session.reach_at.get_or_insert(at);
        }
    }

    pub(crate) fn ping(&mut self, peer: NodeId, theirs_ms: u64) {
        self.send(peer, &Frame::Pong(theirs_ms));
        self.note_clock(peer, theirs_ms);
    }

    pub(crate) fn pong(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        if let Some(session) = self.sessions.get_mut(&peer)
            && let Some(pinged) = session.pinged.take()
        {
            session.rtt = Some(now.saturating_sub(pinged));
        }
    }

    /// Tells people, once for each connection, that a node's clock and ours are far apart.
    pub(crate) fn note_clock(&mut self, peer: NodeId, theirs_ms: u64) {
        let ours_ms = self.now.wall_ms;
        let apart = Duration::from_millis(theirs_ms.abs_diff(ours_ms));
        if apart < Duration::from_secs(60) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if std::mem::replace(&mut session.clock_noted, true) {
            return;
        }
        let name = self.members.display(&peer);
        let way = if theirs_ms > ours_ms { "ahead of" } else { "behind" };
        self.notice(format!(
            "the clock of {name} is {} s {way} ours; entries more than 120 s ahead are not taken until then: set both clocks",
            apart.as_secs()
        ));
    }

    /// An entry from this peer waits for something: the peer is asked for it, unless it comes by itself.
    pub(crate) fn note_gap(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.gap.get_or_insert(now);
            session.gap_at.get_or_insert(now + GRACE);
        }
    }

    /// Asks a peer for what is still missing, unless it was asked just now.
    fn gap_due(&mut self, peer: NodeId, asked: bool) {
        let now = self.now.monotonic;
        let busy = !self.verifying.is_empty() || !self.in_flight.is_empty();
        let oldest = self.pending.oldest();
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.gap_at.is_none_or(|at| at > now) {
            return;
        }
        let first = session.gap.unwrap_or(now);
        let Some(oldest) = oldest.filter(|_| !asked) else {
            (session.gap, session.gap_at) = (None, None);
            return;
        };
        // What waits now may have come since.
        let since = first.max(oldest);
        let until = since + if busy { MOST_GRACE } else { GRACE };
        if until > now {
            session.gap_at = Some(until.min(now + GRACE));
            return;
        }
        (session.gap, session.gap_at) = (None, None);
        self.ask_soon(peer);
    }

    /// A digest goes to this peer now, unless one just went.
    pub(crate) fn ask_soon(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.digest_every = DIGEST_EVERY;
        if session.asked.is_some_and(|asked| now < asked + ASK_AGAIN) {
            // Something is missing still: look again soon rather than now.
            session.digest_at = session.digest_at.min(now + ASK_AGAIN);
            return;
        }
        session.asked = Some(now);
        self.send_digest(peer);
    }

    /// What was fetched from one node is news to others: they may have no other way to it. And the one it came from
    /// may have more by now.
    pub(crate) fn spread_soon(&mut self) {
        let soon = self.now.monotonic + SPREAD;
        for session in self.sessions.values_mut() {
            session.digest_every = DIGEST_EVERY;
            session.digest_at = session.digest_at.min(soon);
        }
    }

    /// A node broke the rules.
    pub(crate) fn violation(&mut self, peer: NodeId, reason: String) {
        let name = self.members.display(&peer);
        self.notice(format!("{name} {reason}; disconnected"));
        self.effect(Effect::Disconnect { peer, reason });
    }
}
