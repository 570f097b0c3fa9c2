//! The network around the nodes: links with latency and bandwidth, loss, churn, and the queue of what happens next.
//!
//! Driven by [`super::play`]. A link keeps its order. What a node sends waits for its uplink; there is no limit to what
//! it receives. Loss hits gossip only: the daemon drops gossip when a queue is full, and never drops sync.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Nanos;
use super::condition::Plan;
use super::figures::Figures;
use super::gossip::{Effect, Gossip, Input, Manner, Message, Rpc};
use super::holdings::{Entry, Holdings, Offer};
use super::peers::NodeIndex;
use super::repair::{Letter, Session};
use super::settings::{CHECK, HEARTBEAT, SMALL_MESH};
use crate::dice::{Dice, Stream};

/// What is on its way.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A part of gossip, with when it left its sender.
    Gossip(Rpc, Nanos),
    /// A part of sync.
    Sync(Letter),
}

/// What happens at one moment.
#[derive(Debug)]
pub(super) enum Event {
    /// Something arrives: from, to.
    Arrive(NodeIndex, NodeIndex, Parcel),
    /// A node has checked a message that came from another.
    Checked(NodeIndex, NodeIndex, Message),
    /// A node's heartbeat.
    Heartbeat(NodeIndex),
    /// A node dials the next on its list.
    DialNext(NodeIndex),
    /// A node's dial of another succeeds, if both are up.
    Connect(NodeIndex, NodeIndex),
    /// A node notices that its connection with another is gone.
    Lost(NodeIndex, NodeIndex),
    /// A node compares what it has with a peer's.
    Digest(NodeIndex),
    /// A node compares with all peers, because it fetched something.
    Spread(NodeIndex),
    /// A message is published.
    Publish(Message),
    /// It is time to see who leaves and what breaks.
    Trouble,
}

/// Events in the order of their times, and of their making where times are equal.
#[derive(Debug)]
struct Due(Nanos, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// A node: its gossip, what its application has, and its end of the network.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) gossip: Gossip,
    pub(super) holdings: Holdings,
    pub(super) session: Session,
    pub(super) born: Nanos,
    pub(super) gone: Option<Nanos>,
    access: Nanos,
    /// When what it sends has left it.
    uplink: Nanos,
    /// Whom it still has to dial, and how long it waits between two of them.
    pub(super) to_dial: (Vec<NodeIndex>, Nanos),
}

/// Everything.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Nanos,
    pub(super) nodes: Vec<Node>,
    /// The nodes that are up, in no order.
    pub(super) alive: Vec<NodeIndex>,
    /// Who publishes: the nodes behind the authors of entries.
    pub(super) authors: Vec<NodeIndex>,
    pub(super) entries: Vec<Entry>,
    pub(super) figures: Figures,
    pub(super) dice: Dice,
    /// Whether heartbeats and trouble go on.
    pub(super) lively: bool,
    /// How many departures or breaks are due.
    pub(super) owed: (f64, f64),
    queue: BinaryHeap<Reverse<Due>>,
    numbered: u64,
    effects: Vec<Effect>,
}

impl World {
    /// A world without nodes in which these entries will be published.
    pub(super) fn new(plan: Plan, entries: Vec<Entry>, authors: usize) -> Self {
        Self {
            plan,
            now: 0,
            nodes: Vec::new(),
            alive: Vec::new(),
            authors: vec![0; authors],
            figures: Figures::new(entries.len()),
            entries,
            dice: Dice::new(plan.seed, Stream::Fanout),
            lively: true,
            owed: (0.0, 0.0),
            queue: BinaryHeap::new(),
            numbered: 0,
            effects: Vec::new(),
        }
    }

    /// Adds a node that is up from now on and knows nobody.
    pub(super) fn add_node(&mut self, manner: Manner) -> NodeIndex {
        let index = self.nodes.len() as NodeIndex;
        let access = self.plan.network.access(&mut self.dice);
        self.nodes.push(Node {
            gossip: Gossip::new(manner, self.plan.tuning, self.plan.message_bytes),
            holdings: Holdings::new(self.authors.len()),
            session: Session::default(),
            born: self.now,
            gone: None,
            access,
            uplink: self.now,
            to_dial: (Vec::new(), 0),
        });
        self.alive.push(index);
        let phase = self.dice.below(HEARTBEAT);
        self.after(phase, Event::Heartbeat(index));
        self.plan_digest(index);
        index
    }

    pub(super) fn node(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    pub(super) fn is_up(&self, index: NodeIndex) -> bool {
        self.nodes[index as usize].gone.is_none()
    }

    pub(super) fn latency(&self, one: NodeIndex, other: NodeIndex) -> Nanos {
        self.nodes[one as usize].access + self.nodes[other as usize].access
    }

    pub(super) fn after(&mut self, delay: Nanos, event: Event) {
        self.numbered += 1;
        self.queue.push(Reverse(Due(self.now + delay, self.numbered, event)));
    }

    /// Lets everything happen that is due until then.
    pub(super) fn run_until(&mut self, end: Nanos) {
        while let Some(Reverse(next)) = self.queue.peek()
            && next.0 <= end
            && let Some(Reverse(Due(now, _, event))) = self.queue.pop()
        {
            self.now = now;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(from, to, parcel) => self.arrive(from, to, parcel),
            Event::Checked(node, from, message) => {
                if self.is_up(node) {
                    self.tell(node, Input::Accepted(message, from));
                    self.take(node, from, self.entries[message as usize]);
                }
            }
            Event::Heartbeat(node) => {
                if self.lively && self.is_up(node) {
                    self.tell(node, Input::Heartbeat);
                    self.after(HEARTBEAT, Event::Heartbeat(node));
                }
            }
            Event::DialNext(node) => self.dial_next(node),
            Event::Connect(node, peer) => self.connect(node, peer),
            Event::Lost(node, peer) => self.lose(node, peer),
            Event::Digest(node) => self.digest_due(node),
            Event::Spread(node) => self.spread(node),
            Event::Publish(message) => self.publish(message),
            Event::Trouble => self.trouble(),
        }
    }

    /// Tells a node's gossip what happened and does what follows.
    pub(super) fn tell(&mut self, index: NodeIndex, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        let node = &mut self.nodes[index as usize];
        node.gossip.handle(self.now, input, &mut self.dice, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(to, rpc) => self.send_gossip(index, to, rpc),
                Effect::Check(message, from, hops) => {
                    self.figures.gossiped(index, message, hops);
                    // Counted as a duplicate when it arrived; now it is known to be none.
                    let honest = self.nodes[index as usize].gossip.manner() == Manner::Honest;
                    self.figures.duplicates -= u64::from(honest);
                    self.after(CHECK, Event::Checked(index, from, message));
                }
            }
        }
        self.effects = effects;
    }

    /// Has something leave a node; returns when it has left.
    fn depart(&mut self, from: NodeIndex, bytes: u32) -> Nanos {
        let (now, pace) = (self.now, self.plan.network.nanos_per_byte());
        let node = self.node(from);
        node.uplink = node.uplink.max(now) + u64::from(bytes) * pace;
        node.uplink
    }

    fn send_gossip(&mut self, from: NodeIndex, to: NodeIndex, rpc: Rpc) {
        let bytes = rpc.bytes(self.plan.message_bytes);
        self.figures.sent(&rpc, bytes);
        let left = self.depart(from, bytes);
        // Who has all that is announced does nothing about it: that needs no event.
        let idle = matches!(&rpc, Rpc::Have(messages, most)
            if self.nodes[to as usize].gossip.seen().contains_all(messages, *most));
        let lost = self.plan.condition.lost_percent;
        if idle || (lost > 0.0 && self.dice.below(1_000_000) < (lost * 10_000.0) as u64) {
            return;
        }
        let delay = left - self.now + self.latency(from, to);
        self.after(delay, Event::Arrive(from, to, Parcel::Gossip(rpc, left)));
    }

    pub(super) fn send_sync(&mut self, from: NodeIndex, to: NodeIndex, letter: Letter) {
        let bytes = letter.bytes(self.nodes.len(), self.plan.message_bytes);
        self.figures.sync_bytes += u64::from(bytes);
        let delay = self.depart(from, bytes) - self.now + self.latency(from, to);
        self.after(delay, Event::Arrive(from, to, Parcel::Sync(letter)));
    }

    fn arrive(&mut self, from: NodeIndex, to: NodeIndex, parcel: Parcel) {
        let node = &self.nodes[to as usize];
        if node.gone.is_some() || !node.gossip.peers().is_connected(from) {
            return;
        }
        match parcel {
            Parcel::Gossip(rpc, left) => {
                if let Rpc::Publish(message, _) = &rpc {
                    let declined = self.nodes[from as usize].gossip.declined_at(to, *message);
                    if declined.is_some_and(|declined| declined < left) {
                        // It had not left when its sender heard that it is not wanted.
                        let bytes = rpc.bytes(self.plan.message_bytes);
                        return self.figures.withdrawn(bytes);
                    }
                    self.figures.duplicates += u64::from(node.gossip.manner() == Manner::Honest);
                }
                self.tell(to, Input::Rpc(from, rpc));
            }
            Parcel::Sync(letter) => self.letter(from, to, letter),
        }
    }

    /// An entry came to a node's application, from this peer.
    pub(super) fn take(&mut self, index: NodeIndex, from: NodeIndex, entry: Entry) {
        match self.node(index).holdings.offer(entry) {
            Offer::Taken(entries) => {
                let now = self.now;
                for entry in entries {
                    let message = self.message_of(entry);
                    self.figures.known(index, message, now);
                }
            }
            Offer::Gap => self.ask_soon(index, from),
            Offer::Known => {}
        }
    }

    /// The number of the message that carries an entry: authors take turns.
    fn message_of(&self, entry: Entry) -> Message {
        (u32::from(entry.seq) - 1) * self.authors.len() as u32 + u32::from(entry.author)
    }

    fn publish(&mut self, message: Message) {
        let entry = self.entries[message as usize];
        let author = self.authors[usize::from(entry.author)];
        self.figures.published(message, self.now);
        self.take(author, author, entry);
        let members = self.nodes.len() - 1;
        let connected: Vec<NodeIndex> = self.nodes[author as usize].gossip.peers().connected().collect();
        if connected.len() <= SMALL_MESH {
            for peer in &connected {
                self.send_sync(author, *peer, Letter::Push(message));
            }
        }
        if connected.len() > SMALL_MESH || connected.len() < members {
            self.tell(author, Input::Publish(message));
        }
    }

    pub(super) fn connect(&mut self, node: NodeIndex, peer: NodeIndex) {
        let known = self.nodes[node as usize].gossip.peers().is_connected(peer);
        if known || node == peer || !self.is_up(node) || !self.is_up(peer) {
            return;
        }
        for (one, other, outbound) in [(node, peer, true), (peer, node, false)] {
            self.tell(one, Input::Connected { peer: other, outbound });
            self.send_digest(one, other);
        }
    }

    fn dial_next(&mut self, node: NodeIndex) {
        let (to_dial, spacing) = &mut self.node(node).to_dial;
        let (next, spacing) = (to_dial.pop(), *spacing);
        if let Some(peer) = next {
            self.connect(node, peer);
            self.after(spacing, Event::DialNext(node));
        }
    }
}
