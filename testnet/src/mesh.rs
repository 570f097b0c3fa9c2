//! Connections between simulated nodes: hellos, sync frames in order, gossip out of it, and everything that breaks them.

use std::collections::BTreeMap;
use std::time::Duration;

use fedp2p_core::input::GossipId;
use fedp2p_core::{Input, Verdict};
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::sync::Frame;

use crate::scenario::Shape;
use crate::sim::{Event, Purpose, Sim};

/// Two nodes, the lower first.
type Pair = (usize, usize);

#[derive(Debug)]
struct Link {
    number: u64,
    /// When the last frame each way arrives: a stream keeps its order.
    arrival: [Duration; 2],
}

/// Who is connected with whom.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    links: BTreeMap<Pair, Link>,
    links_made: u64,
    /// Pairs that say hello, and how many of the two said yes.
    hellos: BTreeMap<Pair, u8>,
    not_before: BTreeMap<Pair, Duration>,
    /// On which side of a cut each node is.
    pub(crate) sides: BTreeMap<usize, u8>,
    /// For a node with a copy of itself: which others it meets.
    pub(crate) halls: BTreeMap<usize, usize>,
}

fn pair(a: usize, b: usize) -> Pair {
    (a.min(b), a.max(b))
}

/// How many a node passes a gossip message on to.
const FANOUT: usize = 6;

impl Mesh {
    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&pair(a, b))
    }

    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }

    fn number(&self, a: usize, b: usize) -> Option<u64> {
        self.links.get(&pair(a, b)).map(|link| link.number)
    }

    pub(crate) fn neighbours(&self, node: usize) -> Vec<usize> {
        let other = |(a, b): &Pair| if *a == node { Some(*b) } else { (*b == node).then_some(*a) };
        self.links.keys().filter_map(other).collect()
    }
}

impl Sim {
    /// Whether the two may ever connect.
    fn may_meet(&self, (a, b): Pair) -> bool {
        let count = self.scenario.nodes;
        let (near, far) = (b - a, (a + count).saturating_sub(b));
        let shaped = match self.scenario.shape {
            Shape::Full => true,
            Shape::Line => near == 1,
            Shape::Ring => near <= 2 || far <= 2,
        };
        // A copy is in contact with every other node of odd number, the original with the rest.
        let hall = |node: usize, other: usize| self.mesh.halls.get(&node).is_none_or(|hall| other % 2 == *hall);
        (shaped || self.mesh.halls.contains_key(&b))
            && hall(a, b)
            && hall(b, a)
            && self.nodes[a].id() != self.nodes[b].id()
    }

    /// Lets every pair that can connect say hello.
    pub(crate) fn connect_all(&mut self) {
        for b in 0..self.nodes.len() {
            for a in 0..b {
                let up = self.nodes[a].core.is_some() && self.nodes[b].core.is_some();
                let known = self.mesh.links.contains_key(&(a, b)) || self.mesh.hellos.contains_key(&(a, b));
                let early = self.mesh.not_before.get(&(a, b)).is_some_and(|at| *at > self.now);
                let together = self.mesh.sides.get(&a) == self.mesh.sides.get(&b);
                if up && !known && !early && together && self.may_meet((a, b)) {
                    self.say_hello(a, b);
                }
            }
        }
    }

    fn say_hello(&mut self, a: usize, b: usize) {
        self.mesh.hellos.insert((a, b), 0);
        for (node, other) in [(a, b), (b, a)] {
            let exchange = self.exchange(Purpose::Hello { node, other });
            let Some(chain) = self.nodes[other].chain.clone() else { continue };
            let welcome = Box::new(Welcome { chain, addresses: vec![format!("/memory/{other}")] });
            let peer = self.nodes[other].id();
            let delay = self.dice.micros(500, 20_000);
            self.give_after(delay, node, Input::Hello { exchange, peer, welcome });
        }
        let give_up = self.now + Duration::from_millis(400);
        self.at(give_up, Event::Act(crate::script::Act::HelloTimeout { a, b }));
    }

    pub(crate) fn hello_timeout(&mut self, a: usize, b: usize) {
        self.mesh.hellos.remove(&(a, b));
    }

    pub(crate) fn hello_answered(&mut self, exchange: fedp2p_core::input::Exchange, admitted: bool) {
        let Some(Purpose::Hello { node, other }) = self.exchanges.remove(&exchange) else { return };
        let pair = pair(node, other);
        if !admitted {
            self.note(node, || format!("turned n{other} away"));
            self.mesh.hellos.remove(&pair);
            self.mesh.not_before.insert(pair, self.now + Duration::from_secs(5));
            return;
        }
        let Some(yes) = self.mesh.hellos.get_mut(&pair) else { return };
        *yes += 1;
        if *yes == 2 {
            self.mesh.hellos.remove(&pair);
            self.link(pair);
        }
    }

    fn link(&mut self, (a, b): Pair) {
        if self.nodes[a].core.is_none() || self.nodes[b].core.is_none() || self.mesh.linked(a, b) {
            return;
        }
        self.mesh.links_made += 1;
        let number = self.mesh.links_made;
        self.mesh.links.insert((a, b), Link { number, arrival: [Duration::ZERO; 2] });
        self.note(a, || format!("connected with n{b}"));
        for (node, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].id();
            self.give(node, Input::Connected { peer, address: format!("/memory/{other}") });
        }
    }

    /// Breaks a connection; each end learns of it in its own time.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        let pair = pair(a, b);
        if self.mesh.links.remove(&pair).is_none() {
            return;
        }
        self.note(a, || format!("disconnected from n{b}"));
        for (node, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].id();
            let delay = self.dice.micros(100, 2_000_000);
            self.give_after(delay, node, Input::Disconnected { peer });
        }
        self.mesh.not_before.insert(pair, self.now + Duration::from_millis(2500));
    }

    pub(crate) fn cut_all(&mut self, node: usize) {
        for other in self.mesh.neighbours(node) {
            self.cut(node, other);
        }
    }

    pub(crate) fn thrown_out(&mut self, node: usize, peer: &NodeId, reason: &str) {
        let honest = !self.nodes.iter().any(|other| other.lies || other.twin);
        if honest {
            self.fault(format!("n{node} threw an honest node out: {reason}"));
        }
        if let Some(other) = self.neighbour(node, peer) {
            self.cut(node, other);
        }
    }

    fn neighbour(&self, node: usize, peer: &NodeId) -> Option<usize> {
        self.mesh.neighbours(node).into_iter().find(|other| self.nodes[*other].id() == *peer)
    }

    pub(crate) fn send(&mut self, from: usize, peer: &NodeId, frame: Vec<u8>) {
        let Some(to) = self.neighbour(from, peer) else { return };
        let bytes = if self.nodes[from].lies { self.lie(frame) } else { frame };
        let delay = self.dice.micros(200, self.scenario.faults.frame_ms * 1000);
        let Some(link) = self.mesh.links.get_mut(&pair(from, to)) else { return };
        let way = usize::from(from > to);
        let at = (self.now + delay).max(link.arrival[way] + Duration::from_micros(1));
        link.arrival[way] = at;
        let link = link.number;
        self.counts.frames += 1;
        self.counts.frame_bytes += bytes.len() as u64;
        self.note(from, || format!("-> n{to} {}", describe(&bytes)));
        self.at(at, Event::Frame { from, to, link, bytes });
    }

    /// What a liar makes of a frame.
    fn lie(&mut self, frame: Vec<u8>) -> Vec<u8> {
        match Frame::decode(&frame) {
            Ok(Frame::Digest(entries)) => {
                Frame::Digest(entries.into_iter().map(|(id, _)| (id, self.dice.bytes())).collect()).encode()
            }
            Ok(Frame::Have { conversation, more, mut heads }) => {
                for head in &mut heads {
                    head.height += self.dice.below(3) * 1000;
                    head.head = fedp2p_protocols::id::OpId::from_bytes(self.dice.bytes());
                }
                if let Some(mut head) = heads.first().copied() {
                    head.key.author = NodeId::from_bytes(self.dice.bytes());
                    heads.push(head);
                }
                Frame::Have { conversation, more, heads }.encode()
            }
            Ok(Frame::Ops { conversation, ops, .. }) if self.dice.percent(30) => {
                Frame::Ops { conversation, last: false, ops }.encode()
            }
            _ => frame,
        }
    }

    pub(crate) fn frame_arrives(&mut self, from: usize, to: usize, link: u64, frame: Vec<u8>) {
        if self.mesh.number(from, to) == Some(link) {
            let peer = self.nodes[from].id();
            self.give(to, Input::Frame { peer, frame });
        }
    }

    pub(crate) fn publish(&mut self, node: usize, data: &[u8]) {
        let id = gossip_id(data);
        self.nodes[node].gossip.insert(id, data.to_vec());
        for to in self.mesh.neighbours(node) {
            self.gossip_to(node, to, data);
        }
    }

    fn gossip_to(&mut self, from: usize, to: usize, data: &[u8]) {
        let faults = self.scenario.faults;
        let Some(link) = self.mesh.number(from, to) else { return };
        let copies = if self.dice.percent(faults.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.percent(faults.loss) {
                continue;
            }
            let delay = self.dice.micros(200, faults.gossip_ms * 1000);
            self.counts.gossip += 1;
            self.after(delay, Event::Gossip { from, to, link, data: data.to_vec() });
        }
    }

    pub(crate) fn gossip_arrives(&mut self, from: usize, to: usize, link: u64, data: Vec<u8>) {
        if self.mesh.number(from, to) != Some(link) || self.nodes[to].core.is_none() {
            return;
        }
        let id = gossip_id(&data);
        let known = self.nodes[to].gossip.insert(id, data.clone()).is_some();
        // The cache of what was seen is bounded, so once in a while a message gets through again.
        if known && !self.dice.percent(5) {
            return;
        }
        let id = GossipId { id, from: self.nodes[from].id() };
        self.give(to, Input::Gossip { id, data });
    }

    pub(crate) fn judged(&mut self, node: usize, id: &GossipId, verdict: Verdict) {
        if verdict != Verdict::Accept {
            return;
        }
        let Some(data) = self.nodes[node].gossip.get(&id.id).cloned() else { return };
        let mut others = self.mesh.neighbours(node);
        others.retain(|other| self.nodes[*other].id() != id.from);
        while others.len() > FANOUT {
            let index = self.dice.index(others.len());
            others.swap_remove(index);
        }
        for to in others {
            self.gossip_to(node, to, &data);
        }
    }
}

fn gossip_id(data: &[u8]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&blake3::hash(data).as_bytes()[..20]);
    id
}

/// A frame in a few words.
fn describe(bytes: &[u8]) -> String {
    match Frame::decode(bytes) {
        Ok(Frame::Have { more, heads, .. }) => {
            let heads: Vec<String> =
                heads.iter().map(|head| format!("{}:{}", head.key.author.short(), head.height)).collect();
            format!("Have more={more} {}", heads.join(" "))
        }
        Ok(Frame::Want { wants, .. }) => {
            let wants: Vec<String> =
                wants.iter().map(|want| format!("{}:{}", want.key.author.short(), want.from)).collect();
            format!("Want {}", wants.join(" "))
        }
        Ok(Frame::Ops { last, ops, .. }) => format!("Ops {} last={last}", names(&ops)),
        Ok(Frame::Push { ops }) => format!("Push {}", names(&ops)),
        Ok(frame) => format!("{frame:?}").chars().take(60).collect(),
        Err(error) => format!("? {error}"),
    }
}

fn names(ops: &[Vec<u8>]) -> String {
    let name = |bytes: &Vec<u8>| match fedp2p_protocols::op::Op::decode(bytes) {
        Ok(op) => format!("{}/{}:{}", op.header().author.short(), op.header().log.short(), op.header().seq),
        Err(_) => "?".to_owned(),
    };
    ops.iter().map(name).collect::<Vec<_>>().join(" ")
}
