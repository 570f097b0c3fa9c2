//! Connections between simulated nodes: hellos, sync frames in order, gossip out of it, and everything that breaks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_core::input::{Exchange, GossipId};
use fedp2p_core::{Input, Verdict};
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::NodeId;

use crate::check::Invariant;
use crate::dice::{Dice, Stream};
use crate::link::{Link, under_way};
use crate::scenario::{Scenario, Shape};
use crate::sim::{Event, Purpose, Sim};
use crate::tell;
use crate::watch::op_id;

/// Two nodes, the lower first.
type Pair = (usize, usize);

/// What some nodes say does not reach others until then.
#[derive(Debug)]
struct Block {
    from: BTreeSet<usize>,
    /// Nobody named is everybody else.
    to: BTreeSet<usize>,
    until: Duration,
}

impl Block {
    fn holds(&self, from: usize, to: usize) -> bool {
        let hears_nothing = if self.to.is_empty() { !self.from.contains(&to) } else { self.to.contains(&to) };
        self.from.contains(&from) && hears_nothing
    }
}

/// Who is connected with whom.
#[derive(Debug)]
pub(crate) struct Mesh {
    links: BTreeMap<Pair, Link>,
    /// With whom each is connected.
    near: Vec<BTreeSet<usize>>,
    /// With whom each may connect.
    peers: Vec<BTreeSet<usize>>,
    links_made: u64,
    /// Pairs that say hello, and how many of the two said yes.
    hellos: BTreeMap<Pair, u8>,
    not_before: BTreeMap<Pair, Duration>,
    /// Those on one side of a cut, and how long it lasts.
    cuts: Vec<(BTreeSet<usize>, Duration)>,
    blocks: Vec<Block>,
    /// For a node with a copy of itself: which others it meets.
    pub(crate) halls: BTreeMap<usize, usize>,
}

fn pair(a: usize, b: usize) -> Pair {
    (a.min(b), a.max(b))
}

/// How many a node passes a gossip message on to.
const FANOUT: usize = 6;
/// How long nothing may come over a connection before it is closed, as the daemon has it.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a node that broke the rules is not let in again, as the daemon has it.
const BANISHED: Duration = Duration::from_secs(15);

impl Mesh {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let count = scenario.nodes;
        let mut mesh = Self {
            links: BTreeMap::new(),
            near: vec![BTreeSet::new(); count],
            peers: vec![BTreeSet::new(); count],
            links_made: 0,
            hellos: BTreeMap::new(),
            not_before: BTreeMap::new(),
            cuts: Vec::new(),
            blocks: Vec::new(),
            halls: BTreeMap::new(),
        };
        let mut dice = Dice::new(seed, Stream::Shape);
        for a in 0..count {
            match scenario.shape {
                Shape::Full => (0..a).for_each(|b| mesh.acquaint(a, b)),
                Shape::Line if a > 0 => mesh.acquaint(a, a - 1),
                Shape::Line => {}
                Shape::Ring => (1..=2).for_each(|step| mesh.acquaint(a, (a + step) % count)),
                Shape::Random => mesh.acquaint(a, (a + 1) % count),
            }
        }
        if scenario.shape == Shape::Random {
            for a in 0..count {
                // Whoever has enough already is not looked for again; on average each has little more than that.
                for _ in 0..scenario.degree * 4 {
                    let b = dice.index(count);
                    if mesh.peers[a].len() >= scenario.degree.min(count - 1) {
                        break;
                    }
                    if mesh.peers[b].len() < scenario.degree + 1 {
                        mesh.acquaint(a, b);
                    }
                }
            }
        }
        mesh
    }

    /// Lets two nodes know of each other.
    fn acquaint(&mut self, a: usize, b: usize) {
        if a != b {
            self.peers[a].insert(b);
            self.peers[b].insert(a);
        }
    }

    /// Makes room for one more node, which may connect to all.
    pub(crate) fn add(&mut self) {
        let index = self.near.len();
        self.near.push(BTreeSet::new());
        self.peers.push(BTreeSet::new());
        (0..index).for_each(|other| self.acquaint(index, other));
    }

    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        self.near[a].contains(&b)
    }

    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn number(&self, a: usize, b: usize) -> Option<u64> {
        self.links.get(&pair(a, b)).map(|link| link.number)
    }

    pub(crate) fn neighbours(&self, node: usize) -> Vec<usize> {
        self.near[node].iter().copied().collect()
    }

    /// How many have been connected with a node since `then`.
    pub(crate) fn near_since(&self, node: usize, then: Duration) -> usize {
        let lasts = |other: &&usize| self.links.get(&pair(node, **other)).is_some_and(|link| link.since <= then);
        self.near[node].iter().filter(lasts).count()
    }

    /// Ends every cut and block.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.blocks.clear();
        self.not_before.clear();
    }

    pub(crate) fn block(&mut self, from: BTreeSet<usize>, to: BTreeSet<usize>, until: Duration) {
        self.blocks.push(Block { from, to, until });
    }

    /// Until when nothing goes from one to the other.
    fn blocked(&self, from: usize, to: usize) -> Duration {
        let blocks = self.blocks.iter().filter(|block| block.holds(from, to));
        blocks.map(|block| block.until).max().unwrap_or(Duration::ZERO)
    }

    fn apart(&self, a: usize, b: usize, now: Duration) -> bool {
        self.cuts.iter().any(|(side, until)| *until > now && side.contains(&a) != side.contains(&b))
    }
}

impl Sim {
    /// Whether the two may ever connect.
    fn may_meet(&self, (a, b): Pair) -> bool {
        // A copy is in contact with every other node of odd number, the original with the rest.
        let hall = |node: usize, other: usize| self.mesh.halls.get(&node).is_none_or(|hall| other % 2 == *hall);
        hall(a, b) && hall(b, a) && self.nodes[a].id() != self.nodes[b].id()
    }

    /// Lets every pair that can connect say hello, and closes connections over which nothing came for long.
    pub(crate) fn connect_all(&mut self) {
        let now = self.now;
        self.mesh.cuts.retain(|(_, until)| *until > now);
        self.mesh.blocks.retain(|block| block.until > now);
        let silent = |link: &Link| link.heard.iter().any(|heard| *heard + SILENCE < now);
        let silent: Vec<Pair> =
            self.mesh.links.iter().filter(|(_, link)| silent(link)).map(|(pair, _)| *pair).collect();
        for (a, b) in silent {
            self.cut(a, b);
        }
        for b in 0..self.nodes.len() {
            if self.nodes[b].core.is_none() {
                continue;
            }
            let candidates = self.mesh.peers[b].range(..b).filter(|a| !self.mesh.near[b].contains(a));
            for a in candidates.copied().collect::<Vec<_>>() {
                let early = self.mesh.not_before.get(&(a, b)).is_some_and(|at| *at > now);
                let saying = self.mesh.hellos.contains_key(&(a, b));
                if self.nodes[a].core.is_some()
                    && !saying
                    && !early
                    && !self.mesh.apart(a, b, now)
                    && self.mesh.blocked(a, b).max(self.mesh.blocked(b, a)) <= now
                    && self.may_meet((a, b))
                {
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
        self.at(give_up, Event::HelloTimeout { a, b });
    }

    pub(crate) fn hello_timeout(&mut self, a: usize, b: usize) {
        self.mesh.hellos.remove(&(a, b));
    }

    pub(crate) fn hello_answered(&mut self, exchange: Exchange, admitted: bool) {
        let (node, other) = match self.exchanges.remove(&exchange) {
            Some(Purpose::Hello { node, other }) => (node, other),
            Some(Purpose::Stranger { node }) if admitted => {
                self.fault(Invariant::Strangers, format!("n{node} let somebody in who is no member"));
                return;
            }
            Some(Purpose::Stranger { .. } | Purpose::Join { .. }) | None => return,
        };
        let pair = pair(node, other);
        if !admitted {
            self.note(node, 2, || format!("turns n{other} away"));
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
        if self.mesh.apart(a, b, self.now) {
            return;
        }
        self.mesh.links_made += 1;
        let number = self.mesh.links_made;
        self.mesh.links.insert((a, b), Link::new(number, self.now));
        self.mesh.near[a].insert(b);
        self.mesh.near[b].insert(a);
        self.announce(|| format!("n{a} and n{b} are connected"));
        for (node, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].id();
            self.nodes[node].seen.unacknowledged.remove(&other);
            self.give(node, Input::Connected { peer, address: format!("/memory/{other}") });
        }
    }

    /// Breaks a connection; each end learns of it in its own time.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        let pair = pair(a, b);
        if self.mesh.links.remove(&pair).is_none() {
            return;
        }
        self.mesh.near[a].remove(&b);
        self.mesh.near[b].remove(&a);
        self.announce(|| format!("n{a} and n{b} are no longer connected"));
        for (node, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].id();
            let delay = self.dice.micros(100, 2_000_000);
            self.give_after(delay, node, Input::Disconnected { peer });
        }
        let early = self.mesh.not_before.entry(pair).or_default();
        *early = (*early).max(self.now + Duration::from_millis(2500));
    }

    pub(crate) fn cut_all(&mut self, node: usize) {
        for other in self.mesh.neighbours(node) {
            self.cut(node, other);
        }
    }

    /// Parts these from all others.
    pub(crate) fn part(&mut self, side: BTreeSet<usize>, until: Duration) {
        let across: Vec<Pair> =
            self.mesh.links.keys().filter(|(a, b)| side.contains(a) != side.contains(b)).copied().collect();
        self.mesh.cuts.push((side, until));
        for (a, b) in across {
            self.cut(a, b);
        }
    }

    pub(crate) fn thrown_out(&mut self, node: usize, peer: &NodeId, reason: &str) {
        self.counts.thrown_out += 1;
        let Some(other) = self.neighbour(node, peer) else { return };
        let dishonest = |node: usize| {
            let node = &self.nodes[node];
            node.lies || node.twin || node.adversary.is_some()
        };
        // What a member broke the rules with may have been passed on in good faith by a copy of it; nothing else may.
        if !dishonest(other) {
            self.fault(Invariant::Honest, format!("n{node} threw n{other} out, which keeps the rules: it {reason}"));
        }
        self.mesh.not_before.insert(pair(node, other), self.now + BANISHED);
        self.cut(node, other);
    }

    pub(crate) fn neighbour(&self, node: usize, peer: &NodeId) -> Option<usize> {
        self.mesh.near[node].iter().copied().find(|other| self.nodes[*other].id() == *peer)
    }

    pub(crate) fn send(&mut self, from: usize, peer: &NodeId, frame: Vec<u8>) {
        let Some(to) = self.neighbour(from, peer) else { return };
        let bytes = if self.nodes[from].lies { self.lie(frame) } else { frame };
        self.send_raw(from, to, bytes);
    }

    /// Puts a frame on the link, whatever it is.
    pub(crate) fn send_raw(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let links = &self.scenario.links;
        let mut delay = under_way(&links.frames, &mut self.dice);
        if self.dice.percent(links.resent) {
            delay += Duration::from_millis(200);
        }
        let blocked = self.mesh.blocked(from, to);
        let Some(link) = self.mesh.links.get_mut(&pair(from, to)) else { return };
        let at = link.carry(usize::from(from > to), bytes.len(), links.rate_kbit, self.now, delay, blocked);
        let link = link.number;
        self.counts.frames += 1;
        self.counts.frame_bytes += bytes.len() as u64;
        if self.trace.is_some()
            && let Some(text) = tell::frame(self, &bytes)
        {
            self.note(from, 2, || format!("sends n{to} {text}"));
        }
        self.at(at, Event::Frame { from, to, link, bytes });
    }

    pub(crate) fn frame_arrives(&mut self, from: usize, to: usize, link: u64, frame: Vec<u8>) {
        if self.mesh.number(from, to) != Some(link) {
            return;
        }
        if let Some(link) = self.mesh.links.get_mut(&pair(from, to)) {
            link.heard[usize::from(from > to)] = self.now;
        }
        self.note_ops(from, to, &frame);
        let peer = self.nodes[from].id();
        self.give(to, Input::Frame { peer, frame });
    }

    pub(crate) fn publish(&mut self, node: usize, data: &[u8]) {
        let id = gossip_id(data);
        let data: Arc<[u8]> = data.into();
        self.nodes[node].gossip.insert(id, Arc::clone(&data));
        for to in self.mesh.neighbours(node) {
            self.gossip_to(node, to, id, &data);
        }
    }

    pub(crate) fn gossip_to(&mut self, from: usize, to: usize, id: [u8; 20], data: &Arc<[u8]>) {
        let Some(number) = self.mesh.number(from, to) else { return };
        let copies = if self.dice.percent(self.scenario.links.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let links = &self.scenario.links;
            if self.dice.percent(links.lost) {
                continue;
            }
            let delay = under_way(&links.gossip, &mut self.dice);
            let rate = links.rate_kbit;
            let blocked = self.mesh.blocked(from, to);
            let Some(link) = self.mesh.links.get_mut(&pair(from, to)) else { return };
            // What has waited too long is dropped.
            let way = usize::from(from > to);
            let Some(at) = link.squeeze(way, data.len(), rate, self.now, delay, blocked) else { continue };
            self.counts.gossip += 1;
            self.at(at, Event::Gossip { from, to, link: number, id, data: Arc::clone(data) });
        }
    }

    pub(crate) fn gossip_arrives(&mut self, from: usize, to: usize, link: u64, id: [u8; 20], data: &Arc<[u8]>) {
        if self.mesh.number(from, to) != Some(link) || self.nodes[to].core.is_none() {
            return;
        }
        if let Some(link) = self.mesh.links.get_mut(&pair(from, to)) {
            link.heard[usize::from(from > to)] = self.now;
        }
        let known = self.nodes[to].gossip.insert(id, Arc::clone(data)).is_some();
        // The cache of what was seen is bounded, so once in a while a message gets through again.
        if known && !self.dice.percent(5) {
            return;
        }
        if let Some(op) = op_id(data) {
            self.note_op(to, op);
        }
        let id = GossipId { id, from: self.nodes[from].id() };
        self.give(to, Input::Gossip { id, data: data.to_vec() });
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
            self.gossip_to(node, to, id.id, &data);
        }
    }
}

/// What gossip calls a message.
pub(crate) fn gossip_id(data: &[u8]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&blake3::hash(data).as_bytes()[..20]);
    id
}
