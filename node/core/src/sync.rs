//! Anti-entropy: finds out what two nodes do not have in common, and mends it.
//!
//! Digests say whether anything differs, heads say what, and what is missing is fetched in windows. A server hands
//! ops out in its own order of arrival, which never contradicts dependencies, so nothing that is fetched has to
//! wait. One conversation is fetched from one node at a time. A node's heights are also its receipt for what it
//! has stored. The work that a peer can cause is bounded by what it is sent, whatever it claims to have.

use std::collections::BTreeMap;
use std::time::Duration;

use fedp2p_protocols::id::{ConversationId, NodeId};
use fedp2p_protocols::limits::{MAX_FRAME_LOGS, SYNC_WINDOW_BYTES};
use fedp2p_protocols::sync::{Frame, Head, LogKey, Want};

use crate::Core;
use crate::doors::Then;
use crate::ingest::Source;
use crate::session::FRUITLESS;
use crate::store::{Placed, Read, ReadToken};

/// How long a node may take for the next part of what it was asked for.
const STALLED: Duration = Duration::from_secs(5);
/// How long a node is not asked again after it sent nothing of use for the second time; it doubles each time.
const FRUITLESS_AGAIN: Duration = Duration::from_millis(25);
/// How long a node has the one place for fetching, if it brings little and others have something too.
const TURN: Duration = Duration::from_secs(20);
/// How many bytes of new entries are more than little.
const GOOD_TURN: usize = 40_000;
/// How much is read from the store at once.
const READ_BYTES: usize = SYNC_WINDOW_BYTES / 8;
/// How long a request waits for acknowledgements before it gives way to the next one.
const FORSAKEN: Duration = Duration::from_secs(10);
/// How much of a frame is filled with ops; what is left is for lengths.
const FRAME_OPS_BYTES: usize = 56 * 1024;
/// Most requests of one peer that wait.
pub(crate) const MAX_SERVES: usize = 8;
/// Most heads that one list may have.
pub(crate) const MAX_HEADS: usize = 64 * MAX_FRAME_LOGS;

/// What this node is fetching.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) peer: NodeId,
    pub(crate) deadline: Duration,
    /// Whether anything that came was of use.
    pub(crate) progress: bool,
    /// When its turn is over, and how many bytes of new entries came in it.
    pub(crate) turn: (Duration, usize),
}

/// What a peer is being served.
#[derive(Debug)]
pub(crate) struct Serve {
    conversation: ConversationId,
    wants: Vec<Want>,
    after: u64,
    outstanding: usize,
    reading: Option<ReadToken>,
    /// When the peer last asked or acknowledged.
    moved: Duration,
}

impl Serve {
    /// How many bytes were sent and not acknowledged.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }
}

impl Core {
    pub(crate) fn frame(&mut self, peer: NodeId, bytes: &[u8]) {
        if !self.sessions.contains_key(&peer) {
            return;
        }
        self.heard(peer);
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.violation(peer, format!("sent a frame that cannot be read: {error}"));
                return;
            }
        };
        match frame {
            Frame::Digest(entries) => self.digest_came(peer, &entries),
            Frame::Have { conversation, more, heads } => self.have_came(peer, conversation, more, heads),
            Frame::Want { conversation, more, wants } => self.want_came(peer, conversation, more, wants),
            Frame::Ops { conversation, last, ops } => self.ops_came(peer, conversation, last, ops),
            Frame::Ack { bytes } => self.ack_came(peer, bytes as usize),
            Frame::Push { ops } => self.arrive(Source::Push(peer), ops),
            Frame::Stored { heads, .. } => {
                for head in heads {
                    self.reached(peer, head.key, head.height);
                }
            }
            Frame::Ping(theirs_ms) => self.ping(peer, theirs_ms),
            Frame::Pong(_) => self.pong(peer),
            Frame::Renew => self.renewal_asked(peer),
            Frame::Renewed(chain) => self.renewed(*chain),
        }
    }

    pub(crate) fn send_digest(&mut self, peer: NodeId) {
        let lobby = self.lobby;
        let digest = self.logs.digest(&lobby);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.compared = true;
        }
        self.send(peer, &Frame::Digest(vec![(lobby, digest)]));
    }

    fn digest_came(&mut self, peer: NodeId, entries: &[(ConversationId, [u8; 32])]) {
        let lobby = self.lobby;
        let ours = self.logs.digest(&lobby);
        let Some((_, theirs)) = entries.iter().find(|(conversation, _)| *conversation == lobby) else {
            return;
        };
        let same = *theirs == ours;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.differs = !same;
        }
        if same {
            let own: Vec<Head> = self.logs.heads(&lobby);
            for head in own {
                self.reached(peer, head.key, head.height);
            }
        } else {
            self.send_heads(peer, lobby);
        }
    }

    fn send_heads(&mut self, peer: NodeId, conversation: ConversationId) {
        let heads = self.logs.heads(&conversation);
        let mut chunks = heads.chunks(MAX_FRAME_LOGS).peekable();
        if chunks.peek().is_none() {
            self.send(peer, &Frame::Have { conversation, more: false, heads: Vec::new() });
        }
        while let Some(chunk) = chunks.next() {
            let more = chunks.peek().is_some();
            self.send(peer, &Frame::Have { conversation, more, heads: chunk.to_vec() });
        }
    }

    fn have_came(&mut self, peer: NodeId, conversation: ConversationId, more: bool, heads: Vec<Head>) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.heads.extend(heads);
        if session.heads.len() > MAX_HEADS {
            self.violation(peer, "claims to hold more logs than there can be".to_owned());
            return;
        }
        if more {
            return;
        }
        let heads = std::mem::take(&mut session.heads);
        let answers = std::mem::take(&mut session.compared);
        if conversation != self.lobby {
            return;
        }
        for head in &heads {
            self.reached(peer, head.key, head.height);
        }
        self.find_unaware(&heads);
        // The digest was ours, so the peer does not know yet what it lacks.
        if answers && self.is_behind(&heads) {
            self.send_heads(peer, conversation);
        }
        let now = self.now.monotonic;
        let busy = self.fetching.contains_key(&conversation);
        if let Some(session) = self.sessions.get_mut(&peer)
            && (busy || now < session.fruitless_until)
        {
            session.differs = busy;
            return;
        }
        let wants: Vec<Want> = heads.iter().filter_map(|head| self.missing(head)).collect();
        if wants.is_empty() {
            self.ask_for_void(peer);
            return;
        }
        let deadline = self.now.monotonic + STALLED;
        let turn = (self.now.monotonic + TURN, 0);
        self.fetching.insert(conversation, Fetch { peer, deadline, progress: false, turn });
        // All in one request: only then does what is asked for come in an order in which nothing has to wait.
        let mut chunks = wants.chunks(MAX_FRAME_LOGS).peekable();
        while let Some(chunk) = chunks.next() {
            let more = chunks.peek().is_some();
            self.send(peer, &Frame::Want { conversation, more, wants: chunk.to_vec() });
        }
    }

    /// Whether a peer with these heads lacks something that is here.
    fn is_behind(&self, heads: &[Head]) -> bool {
        let theirs: BTreeMap<LogKey, u64> = heads.iter().map(|head| (head.key, head.height)).collect();
        let height = |key| theirs.get(&key).copied().unwrap_or(0);
        self.logs.heads(&self.lobby).iter().any(|ours| ours.height > height(ours.key))
    }

    /// What a peer's head shows to be missing here.
    fn missing(&self, head: &Head) -> Option<Want> {
        let Some(log) = self.logs.get(&head.key) else {
            return (head.height > 0).then_some(Want { key: head.key, from: 1 });
        };
        let height = log.accepted_height();
        // Of a log that forked, only what counts is asked for.
        let complete = log.frozen.is_some_and(|frozen| height + 1 >= frozen.seq);
        if head.height > height && !complete {
            return Some(Want { key: head.key, from: height + 1 });
        }
        // Equal heights with different heads are a fork: its last entry is evidence.
        let ours = self.logs.head(&head.key)?;
        let forked = head.height == ours.height && head.head != ours.head && head.height > 0;
        forked.then_some(Want { key: head.key, from: head.height })
    }

    fn want_came(&mut self, peer: NodeId, conversation: ConversationId, more: bool, wants: Vec<Want>) {
        let moved = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.wants.extend(wants);
        if session.wants.len() > MAX_HEADS {
            self.violation(peer, "asks for more logs than there can be".to_owned());
            return;
        }
        if more {
            return;
        }
        let wants = std::mem::take(&mut session.wants);
        if conversation != self.lobby {
            return;
        }
        // A peer that gave up on an earlier request does not say so; it stops acknowledging.
        if session.serves.front().is_some_and(|serve| serve.moved + FORSAKEN <= moved) {
            session.serves.pop_front();
        }
        if session.serves.len() >= MAX_SERVES {
            return;
        }
        session.serves.push_back(Serve { conversation, wants, after: 0, outstanding: 0, reading: None, moved });
        self.serve(peer);
    }

    /// Reads the next part for a peer, if its window has room.
    fn serve(&mut self, peer: NodeId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let Some(serve) = session.serves.front_mut() else { return };
        if serve.reading.is_some() || serve.outstanding + READ_BYTES > SYNC_WINDOW_BYTES {
            return;
        }
        let read = Read::Range {
            conversation: serve.conversation,
            wants: serve.wants.clone(),
            after: serve.after,
            max_bytes: READ_BYTES,
        };
        let token = self.read(read, Then::Serve { peer });
        if let Some(serve) = self.sessions.get_mut(&peer).and_then(|session| session.serves.front_mut()) {
            serve.reading = Some(token);
        }
    }

    /// The part that was read for a peer; `None` if it could not be read.
    pub(crate) fn range_read(&mut self, peer: NodeId, token: ReadToken, found: Option<(&[Placed], bool)>) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        // The peer may have gone and come back since.
        let Some(serve) = session.serves.front_mut().filter(|serve| serve.reading == Some(token)) else { return };
        let conversation = serve.conversation;
        let Some((ops, complete)) = found else {
            session.serves.pop_front();
            // Others may be able to read it.
            self.send(peer, &Frame::Ops { conversation, last: true, ops: Vec::new() });
            self.serve(peer);
            return;
        };
        serve.reading = None;
        serve.after = ops.last().map_or(serve.after, |placed| placed.position);
        let mut frames = Vec::new();
        let (mut part, mut size) = (Vec::new(), 0);
        for placed in ops {
            let bytes = placed.op.bytes();
            if size + bytes.len() > FRAME_OPS_BYTES && !part.is_empty() {
                frames.push(std::mem::take(&mut part));
                size = 0;
            }
            size += bytes.len();
            serve.outstanding += bytes.len();
            part.push(bytes.to_vec());
        }
        if !part.is_empty() || complete {
            frames.push(part);
        }
        if complete {
            // The window of the last part is closed by its acknowledgement, but nothing waits for that.
            session.serves.pop_front();
            if let Some(next) = session.serves.front_mut() {
                next.moved = now;
            }
        }
        let count = frames.len();
        for (index, ops) in frames.into_iter().enumerate() {
            let last = complete && index + 1 == count;
            self.send(peer, &Frame::Ops { conversation, last, ops });
        }
        self.serve(peer);
    }

    fn ack_came(&mut self, peer: NodeId, bytes: usize) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if let Some(serve) = session.serves.front_mut() {
            serve.outstanding = serve.outstanding.saturating_sub(bytes);
            serve.moved = now;
        }
        self.serve(peer);
    }

    fn ops_came(&mut self, peer: NodeId, conversation: ConversationId, last: bool, ops: Vec<Vec<u8>>) {
        if conversation != self.lobby {
            return;
        }
        let bytes = ops.iter().map(Vec::len).sum::<usize>() as u32;
        self.arrive(Source::Fetch { peer, bytes, last }, ops);
    }

    /// Whether this peer was asked for what it sends.
    pub(crate) fn is_fetching_from(&self, peer: &NodeId) -> bool {
        self.fetching.values().any(|fetch| fetch.peer == *peer)
    }

    /// What a peer was asked for has brought so many bytes of new entries; only that keeps a request alive.
    pub(crate) fn progressed(&mut self, peer: &NodeId, new: usize) {
        let deadline = self.now.monotonic + STALLED;
        for fetch in self.fetching.values_mut().filter(|fetch| fetch.peer == *peer) {
            fetch.deadline = deadline;
            fetch.progress = true;
            fetch.turn.1 += new;
        }
    }

    /// The nodes that hold the place for fetching and are to give it up: those that send nothing, and those that send
    /// little for long while others have something too.
    pub(crate) fn stalled(&mut self) -> Vec<NodeId> {
        let now = self.now.monotonic;
        let mut stalled = Vec::new();
        for fetch in self.fetching.values_mut() {
            let others = self.sessions.iter().any(|(peer, session)| *peer != fetch.peer && session.differs);
            let little = fetch.turn.0 <= now && fetch.turn.1 < GOOD_TURN;
            if fetch.turn.0 <= now {
                fetch.turn = (now + TURN, 0);
            }
            if fetch.deadline <= now || (little && others) {
                stalled.push(fetch.peer);
            }
        }
        stalled
    }

    /// A part of what was asked for has been dealt with.
    pub(crate) fn fetched(&mut self, peer: NodeId, bytes: u32, last: bool) {
        let fetching = self.is_fetching_from(&peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        // Who was given up on stops when it hears no more.
        if fetching || session.probed {
            session.probed &= !last;
            self.send(peer, &Frame::Ack { bytes });
        }
        let lobby = self.lobby;
        if last
            && fetching
            && let Some(fetch) = self.fetching.remove(&lobby)
        {
            self.bore_fruit(peer, fetch.progress);
            self.look_around();
            // Asking again a peer that had nothing of use would go on for as long as it claims to have more.
            if fetch.progress {
                self.spread_soon();
            } else {
                self.ask_for_void(peer);
            }
        }
    }

    /// What never brings anything of use is asked for ever more rarely: nodes can differ in what none of them takes.
    /// Once means nothing, as it may have come another way meanwhile.
    fn bore_fruit(&mut self, peer: NodeId, fruit: bool) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.fruitless = if fruit { 0 } else { session.fruitless.saturating_add(1) };
        if session.fruitless > 1 {
            let pause = FRUITLESS_AGAIN * 2u32.saturating_pow(session.fruitless);
            session.fruitless_until = now + pause.min(FRUITLESS);
        }
    }

    /// Compares again with those whose digests differed while another was asked.
    fn look_around(&mut self) {
        let mut peers = Vec::new();
        for (peer, session) in &mut self.sessions {
            if std::mem::take(&mut session.differs) {
                peers.push(*peer);
            }
        }
        for peer in peers {
            self.send_digest(peer);
        }
    }

    /// Gives up on what a peer was asked for.
    pub(crate) fn abandon_fetches_of(&mut self, peer: &NodeId) {
        let before = self.fetching.len();
        self.fetching.retain(|_, fetch| fetch.peer != *peer);
        if self.fetching.len() < before {
            self.look_around();
        }
    }
}
