//! One node's gossipsub as a machine without input and output: it is told what happened and says what to send.
//!
//! It follows libp2p-gossipsub 0.50 with the daemon's settings for one topic: GRAFT and PRUNE with back-off, mesh
//! maintenance and IHAVE at heartbeats, IWANT with promises, IDONTWANT for large messages, and those parts of the score
//! that weigh anything here (time in the mesh, first deliveries, misbehaviour). Left out, because within a run they do
//! nothing: the end of the duplicate cache (300 s), opportunistic grafting (a mesh link passes its threshold after
//! 40 ms), and peer exchange (which rust-libp2p does not do).
//!
//! Driven by [`super::world`]. A message reaches the application at most once; [`Input::Accepted`] must follow each
//! [`Effect::Check`] before the message is passed on.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Nanos;
use super::peers::{NodeIndex, Peers, Seen};
use super::settings::{
    DECLINE_OVER_BYTES, DECLINED, FLOOD_PUBLISH, FORGIVEN, FRAME_BYTES, HEARTBEAT, HISTORY, ID_BYTES, LAZY,
    MAX_ANNOUNCEMENTS, MESH_HIGH, MS, PROMISE, PRUNE_BACKOFF, RETAINED, RETRANSMISSIONS, SECOND, THRESHOLDS,
    TOPIC_BYTES, Tuning,
};
use crate::dice::Dice;

/// The number of a message.
pub(super) type Message = u32;

/// What nodes say to each other.
#[derive(Debug, Clone)]
pub(super) enum Rpc {
    /// Takes part in the topic.
    Subscribe,
    /// A message, and how many links it has passed when this one is passed.
    Publish(Message, u16),
    /// Has these messages; the highest number stands beside them.
    Have(Rc<[Message]>, Message),
    /// Wants these messages.
    Want(Rc<[Message]>),
    /// Has this message and does not want it.
    Decline(Message),
    /// Takes the other into its mesh.
    Graft,
    /// Takes the other out of its mesh.
    Prune,
}

impl Rpc {
    /// How many bytes it has on its stream, when messages have so many.
    pub(super) fn bytes(&self, message_bytes: u32) -> u32 {
        let inside = match self {
            Self::Subscribe => TOPIC_BYTES + 2,
            Self::Publish(..) => message_bytes + TOPIC_BYTES + 6,
            Self::Have(messages, _) => TOPIC_BYTES + 6 + ID_BYTES * messages.len() as u32,
            Self::Want(messages) => 6 + ID_BYTES * messages.len() as u32,
            Self::Decline(_) => 6 + ID_BYTES,
            Self::Graft => TOPIC_BYTES + 6,
            Self::Prune => TOPIC_BYTES + 8,
        };
        inside + FRAME_BYTES
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    /// A connection came to be.
    Connected {
        /// With whom.
        peer: NodeIndex,
        /// Whether this node dialled.
        outbound: bool,
    },
    /// A connection ended.
    Disconnected(NodeIndex),
    /// A peer said something.
    Rpc(NodeIndex, Rpc),
    /// The time of a heartbeat came.
    Heartbeat,
    /// The application publishes.
    Publish(Message),
    /// The application has checked a message that came from a peer.
    Accepted(Message, NodeIndex),
}

/// What follows.
#[derive(Debug)]
pub(super) enum Effect {
    /// Something is to be sent.
    Send(NodeIndex, Rpc),
    /// A message came for the first time; the application is to check it.
    Check(Message, NodeIndex, u16),
}

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it should.
    Honest,
    /// It joins meshes and passes nothing on.
    Silent,
    /// It also announces what it has and does not hand it out.
    Liar,
}

#[derive(Debug)]
struct Cached {
    message: Message,
    put: u32,
    hops: u16,
    accepted: bool,
    /// Who sent it too while it was checked.
    sources: Vec<NodeIndex>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Repute {
    first_deliveries: f64,
    penalty: f64,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Gossip {
    manner: Manner,
    tuning: Tuning,
    /// Whether messages are so large that they are declined.
    declines: bool,
    peers: Peers,
    mesh: BTreeMap<NodeIndex, Nanos>,
    backoff: BTreeMap<NodeIndex, Nanos>,
    seen: Seen,
    cache: Vec<Cached>,
    promises: BTreeMap<Message, (NodeIndex, Nanos)>,
    declined: BTreeMap<(NodeIndex, Message), Nanos>,
    asked: BTreeMap<(NodeIndex, Message), u8>,
    announcements: BTreeMap<NodeIndex, u32>,
    repute: BTreeMap<NodeIndex, Repute>,
    ticks: u32,
}

impl Gossip {
    pub(super) fn new(manner: Manner, tuning: Tuning, message_bytes: u32) -> Self {
        Self {
            manner,
            tuning,
            declines: message_bytes > DECLINE_OVER_BYTES,
            peers: Peers::default(),
            mesh: BTreeMap::new(),
            backoff: BTreeMap::new(),
            seen: Seen::default(),
            cache: Vec::new(),
            promises: BTreeMap::new(),
            declined: BTreeMap::new(),
            asked: BTreeMap::new(),
            announcements: BTreeMap::new(),
            repute: BTreeMap::new(),
            ticks: 0,
        }
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    pub(super) fn mesh_len(&self) -> usize {
        self.mesh.len()
    }

    /// Since when a message counts as declined by a peer: what had not left by then is not sent.
    pub(super) fn declined_at(&self, peer: NodeIndex, message: Message) -> Option<Nanos> {
        self.declined.get(&(peer, message)).copied()
    }

    /// Takes in what happened and adds what follows. `now` never goes back.
    pub(super) fn handle(&mut self, now: Nanos, input: Input, dice: &mut Dice, effects: &mut Vec<Effect>) {
        match input {
            Input::Connected { peer, outbound } => {
                self.peers.insert(peer, outbound);
                effects.push(Effect::Send(peer, Rpc::Subscribe));
            }
            Input::Disconnected(peer) => {
                self.peers.remove(peer);
                self.mesh.remove(&peer);
            }
            Input::Rpc(from, rpc) => self.rpc(now, from, rpc, dice, effects),
            Input::Heartbeat => self.heartbeat(now, dice, effects),
            Input::Publish(message) => self.publish(message, dice, effects),
            Input::Accepted(message, from) => self.accepted(message, from, effects),
        }
    }

    fn rpc(&mut self, now: Nanos, from: NodeIndex, rpc: Rpc, dice: &mut Dice, effects: &mut Vec<Effect>) {
        match rpc {
            Rpc::Subscribe => {
                self.peers.subscribe(from);
                if self.mesh.len() < self.tuning.mesh_low && !self.backs_off(from, now) && self.score(from, now) >= 0.0
                {
                    self.mesh.insert(from, now);
                    effects.push(Effect::Send(from, Rpc::Graft));
                }
            }
            Rpc::Publish(message, hops) => self.message(from, message, hops, effects),
            Rpc::Have(messages, _) => self.have(now, from, &messages, dice, effects),
            Rpc::Want(messages) => self.want(now, from, &messages, effects),
            Rpc::Decline(message) => {
                self.declined.insert((from, message), now);
            }
            Rpc::Graft => self.graft(now, from, effects),
            Rpc::Prune => {
                self.mesh.remove(&from);
                self.back_off(from, now);
            }
        }
    }

    fn publish(&mut self, message: Message, dice: &mut Dice, effects: &mut Vec<Effect>) {
        self.seen.insert(message);
        self.cache.push(Cached { message, put: self.ticks, hops: 0, accepted: true, sources: Vec::new() });
        let mut to: Vec<NodeIndex> = self.peers.subscribed().collect();
        if !FLOOD_PUBLISH {
            to.retain(|peer| !self.mesh.contains_key(peer));
            shuffle_front(&mut to, self.tuning.mesh.saturating_sub(self.mesh.len()), dice);
            to.extend(self.mesh.keys());
        }
        // In no order that is the same at the next publisher.
        let all = to.len();
        shuffle_front(&mut to, all, dice);
        for peer in to {
            if self.penalty(peer) >= THRESHOLDS.1 {
                if self.declines {
                    effects.push(Effect::Send(peer, Rpc::Decline(message)));
                }
                effects.push(Effect::Send(peer, Rpc::Publish(message, 1)));
            }
        }
    }

    fn message(&mut self, from: NodeIndex, message: Message, hops: u16, effects: &mut Vec<Effect>) {
        if self.declines && !self.seen.contains(message) && self.manner == Manner::Honest {
            let promised = self.promises.get(&message).map(|(peer, _)| *peer);
            let others = self.mesh.keys().copied().chain(promised).filter(|peer| *peer != from);
            effects.extend(others.map(|peer| Effect::Send(peer, Rpc::Decline(message))));
        }
        if !self.seen.insert(message) {
            let cached = self.cache.iter_mut().rev().find(|cached| cached.message == message && !cached.accepted);
            if let Some(cached) = cached {
                cached.sources.push(from);
            }
            return;
        }
        self.promises.remove(&message);
        self.cache.push(Cached { message, put: self.ticks, hops, accepted: false, sources: Vec::new() });
        effects.push(Effect::Check(message, from, hops));
    }

    fn accepted(&mut self, message: Message, from: NodeIndex, effects: &mut Vec<Effect>) {
        self.repute.entry(from).or_default().first_deliveries += 1.0;
        let cached = self.cache.iter_mut().rev().find(|cached| cached.message == message);
        let Some(cached) = cached.filter(|cached| !cached.accepted) else { return };
        cached.accepted = true;
        let sources = std::mem::take(&mut cached.sources);
        if self.manner != Manner::Honest {
            return;
        }
        let hops = cached.hops + 1;
        for peer in self.mesh.keys() {
            let has = *peer == from || sources.contains(peer) || self.declined.contains_key(&(*peer, message));
            if !has {
                effects.push(Effect::Send(*peer, Rpc::Publish(message, hops)));
            }
        }
    }

    fn have(&mut self, now: Nanos, from: NodeIndex, messages: &[Message], dice: &mut Dice, effects: &mut Vec<Effect>) {
        let count = self.announcements.entry(from).or_default();
        *count += 1;
        if *count > MAX_ANNOUNCEMENTS || self.score(from, now) < THRESHOLDS.0 {
            return;
        }
        let unknown = |message: &&Message| !self.seen.contains(**message) && !self.promises.contains_key(*message);
        let mut wanted: Vec<Message> = messages.iter().filter(unknown).copied().collect();
        if wanted.is_empty() {
            return;
        }
        let all = wanted.len();
        shuffle_front(&mut wanted, all, dice);
        for message in &wanted {
            self.promises.insert(*message, (from, now + PROMISE));
        }
        effects.push(Effect::Send(from, Rpc::Want(wanted.into())));
    }

    fn want(&mut self, now: Nanos, from: NodeIndex, messages: &[Message], effects: &mut Vec<Effect>) {
        if self.manner != Manner::Honest || self.score(from, now) < THRESHOLDS.0 {
            return;
        }
        for message in messages {
            let cached = self.cache.iter().rev().find(|cached| cached.message == *message && cached.accepted);
            let Some(cached) = cached else { continue };
            let asked = self.asked.entry((from, *message)).or_default();
            *asked = asked.saturating_add(1);
            if *asked <= RETRANSMISSIONS && !self.declined.contains_key(&(from, *message)) {
                effects.push(Effect::Send(from, Rpc::Publish(*message, cached.hops + 1)));
            }
        }
    }

    fn graft(&mut self, now: Nanos, from: NodeIndex, effects: &mut Vec<Effect>) {
        if self.mesh.contains_key(&from) || !self.peers.is_connected(from) {
            return;
        }
        let early = self.backoff.get(&from).is_some_and(|until| *until > now);
        if early {
            // Once for coming back too early, once for doing so within the time that counts as a flood.
            self.repute.entry(from).or_default().penalty += 2.0;
        } else if self.score(from, now) >= 0.0 && !self.peers.is_subscribed(from) {
            return;
        }
        let full = self.mesh.len() >= MESH_HIGH && !self.peers.is_outbound(from);
        if early || full || self.score(from, now) < 0.0 {
            self.back_off(from, now);
            effects.push(Effect::Send(from, Rpc::Prune));
        } else {
            self.mesh.insert(from, now);
        }
    }

    fn heartbeat(&mut self, now: Nanos, dice: &mut Dice, effects: &mut Vec<Effect>) {
        self.ticks += 1;
        self.backoff.retain(|_, until| *until + HEARTBEAT > now);
        self.announcements.clear();
        self.end_promises(now);
        let mut pruned: Vec<NodeIndex> =
            self.mesh.keys().copied().filter(|peer| self.score(*peer, now) < 0.0).collect();
        for peer in &pruned {
            self.mesh.remove(peer);
        }
        let grafted = self.fill_mesh(now, dice);
        pruned.extend(self.thin_mesh(now, dice));
        self.announce(dice, effects);
        effects.extend(grafted.into_iter().map(|peer| Effect::Send(peer, Rpc::Graft)));
        for peer in pruned {
            self.back_off(peer, now);
            effects.push(Effect::Send(peer, Rpc::Prune));
        }
        let ticks = self.ticks;
        let before = self.cache.len();
        self.cache.retain(|cached| ticks - cached.put < HISTORY.0);
        if self.cache.len() < before {
            let oldest = self.cache.iter().map(|cached| cached.message).min().unwrap_or(Message::MAX);
            self.asked.retain(|(_, message), _| *message >= oldest);
        }
        self.declined.retain(|_, since| *since + DECLINED >= now);
        if u64::from(ticks).is_multiple_of(SECOND / HEARTBEAT) {
            self.repute.retain(|_, repute| {
                repute.first_deliveries *= 0.5;
                repute.penalty *= 0.2;
                repute.first_deliveries > 0.01 || repute.penalty > 0.01
            });
        }
    }

    /// A peer that announced a message and did not hand it out in time is held to account.
    fn end_promises(&mut self, now: Nanos) {
        let repute = &mut self.repute;
        self.promises.retain(|_, (peer, until)| {
            let broken = *until < now;
            if broken {
                repute.entry(*peer).or_default().penalty += 1.0;
            }
            !broken
        });
    }

    fn fill_mesh(&mut self, now: Nanos, dice: &mut Dice) -> Vec<NodeIndex> {
        if self.mesh.len() >= self.tuning.mesh_low {
            return Vec::new();
        }
        let may = |peer: &NodeIndex| {
            !self.mesh.contains_key(peer) && !self.backs_off(*peer, now) && self.score(*peer, now) >= 0.0
        };
        let mut found: Vec<NodeIndex> = self.peers.subscribed().filter(may).collect();
        let wanted = (self.tuning.mesh - self.mesh.len()).min(found.len());
        shuffle_front(&mut found, wanted, dice);
        found.truncate(wanted);
        self.mesh.extend(found.iter().map(|peer| (*peer, now)));
        found
    }

    fn thin_mesh(&mut self, now: Nanos, dice: &mut Dice) -> Vec<NodeIndex> {
        if self.mesh.len() < MESH_HIGH {
            return Vec::new();
        }
        let mut order: Vec<NodeIndex> = self.mesh.keys().copied().collect();
        let all = order.len();
        shuffle_front(&mut order, all, dice);
        order.sort_by(|one, other| self.score(*one, now).total_cmp(&self.score(*other, now)));
        let (rest, _best) = order.split_at_mut(all - RETAINED);
        shuffle_front(rest, all - RETAINED, dice);
        order.truncate(all - self.tuning.mesh);
        for peer in &order {
            self.mesh.remove(peer);
        }
        order
    }

    /// Tells some peers outside the mesh what there is.
    fn announce(&self, dice: &mut Dice, effects: &mut Vec<Effect>) {
        let fresh = |cached: &&Cached| cached.accepted && self.ticks - cached.put <= HISTORY.1;
        let messages: Vec<Message> = self.cache.iter().filter(fresh).map(|cached| cached.message).collect();
        let Some(most) = messages.iter().copied().max().filter(|_| self.manner != Manner::Silent) else { return };
        let messages: Rc<[Message]> = messages.into();
        let outside = self.peers.subscribed_len() - self.mesh.len();
        let mut wanted = LAZY.max((self.tuning.lazy_factor * outside as f64) as usize).min(outside) as u64;
        let mut left = outside as u64;
        // Each that is left has the same chance to be among those that are still wanted.
        for peer in self.peers.subscribed().filter(|peer| !self.mesh.contains_key(peer)) {
            if wanted == 0 {
                break;
            }
            if dice.below(left) < wanted {
                wanted -= 1;
                if self.penalty(peer) >= THRESHOLDS.0 {
                    effects.push(Effect::Send(peer, Rpc::Have(messages.clone(), most)));
                }
            }
            left -= 1;
        }
    }

    fn backs_off(&self, peer: NodeIndex, now: Nanos) -> bool {
        self.backoff.get(&peer).is_some_and(|until| *until + HEARTBEAT > now)
    }

    fn back_off(&mut self, peer: NodeIndex, now: Nanos) {
        let until = self.backoff.entry(peer).or_default();
        *until = (*until).max(now + PRUNE_BACKOFF);
    }

    /// What misbehaviour takes from a peer's score; at most zero.
    fn penalty(&self, peer: NodeIndex) -> f64 {
        let excess = self.repute.get(&peer).map_or(0.0, |repute| (repute.penalty - FORGIVEN).max(0.0));
        -10.0 * excess * excess
    }

    fn score(&self, peer: NodeIndex, now: Nanos) -> f64 {
        let in_mesh = self.mesh.get(&peer).map_or(0.0, |since| ((now - since) / MS).min(3600) as f64);
        let first = self.repute.get(&peer).map_or(0.0, |repute| repute.first_deliveries.min(2000.0));
        0.5 * (in_mesh + first) + self.penalty(peer)
    }
}

/// Brings so many of the items to the front, each with the same chance.
pub(super) fn shuffle_front<T>(items: &mut [T], count: usize, dice: &mut Dice) {
    for at in 0..count.min(items.len()) {
        let other = at + dice.index(items.len() - at);
        items.swap(at, other);
    }
}
