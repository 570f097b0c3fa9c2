//! Who is connected with whom, who leaves, and what breaks.

use super::Nanos;
use super::gossip::{Input, Manner, shuffle_front};
use super::peers::NodeIndex;
use super::settings::{MS, SECOND};
use super::world::{Event, World};

/// How long the nodes of the start take to dial each other, and a node that joins to dial the rest.
pub(super) const ARRIVAL: Nanos = 2 * SECOND;
/// How often it is looked who leaves and what breaks.
const TROUBLE: Nanos = 100 * MS;
/// How long a lost connection stays lost before it is dialled again.
const REDIAL: Nanos = 200 * MS;
/// Every other node that leaves says nothing, and so long it is not noticed.
const UNNOTICED: Nanos = 30 * SECOND;
/// A dial takes so many ways from one end to the other: TCP, Noise, the hello.
const DIAL_WAYS: u64 = 8;

impl World {
    /// Makes the nodes of the start and has them dial each other; authors are honest.
    pub(super) fn begin(&mut self) {
        let (share, manner) = self.plan.condition.hostile;
        let hostile = (f64::from(self.plan.nodes) * share / 100.0).round() as u32;
        for index in 0..self.plan.nodes {
            self.add_node(if index < hostile { manner } else { Manner::Honest });
        }
        let mut honest: Vec<NodeIndex> = (hostile..self.plan.nodes).collect();
        let authors = self.authors.len();
        shuffle_front(&mut honest, authors, &mut self.dice);
        self.authors.copy_from_slice(&honest[..authors]);
        for node in 0..self.plan.nodes {
            let to_dial = match self.plan.degree {
                // Of each two one dials the other; which of them is left to chance.
                None => (0..self.plan.nodes).filter(|peer| dials(node, *peer)).collect(),
                Some(degree) => self.some(degree.div_ceil(2) as usize, node),
            };
            self.dial(node, to_dial);
        }
    }

    /// Some nodes that are up, other than this one.
    fn some(&mut self, count: usize, but: NodeIndex) -> Vec<NodeIndex> {
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count.min(self.alive.len() - 1) {
            let peer = self.alive[self.dice.index(self.alive.len())];
            if peer != but && !chosen.contains(&peer) {
                chosen.push(peer);
            }
        }
        chosen
    }

    fn dial(&mut self, node: NodeIndex, mut to_dial: Vec<NodeIndex>) {
        let all = to_dial.len();
        shuffle_front(&mut to_dial, all, &mut self.dice);
        let spacing = ARRIVAL / (all as u64 + 1);
        self.node(node).to_dial = (to_dial, spacing);
        let first = self.dice.below(spacing);
        self.after(first, Event::DialNext(node));
    }

    /// Starts the trouble of this run's condition.
    pub(super) fn start_trouble(&mut self) {
        let condition = self.plan.condition;
        if condition.churn_percent > 0.0 || condition.drops_percent > 0.0 {
            self.after(TROUBLE, Event::Trouble);
        }
    }

    pub(super) fn trouble(&mut self) {
        if !self.lively {
            return;
        }
        let condition = self.plan.condition;
        let part = TROUBLE as f64 / SECOND as f64 / 100.0;
        self.owed.0 += self.alive.len() as f64 * condition.churn_percent * part;
        while self.owed.0 >= 1.0 {
            self.owed.0 -= 1.0;
            self.leave();
            self.join();
        }
        if condition.drops_percent > 0.0 {
            let ends: usize = self.alive.iter().map(|node| self.nodes[*node as usize].gossip.peers().len()).sum();
            self.owed.1 += ends as f64 / 2.0 * condition.drops_percent * part;
        }
        while self.owed.1 >= 1.0 {
            self.owed.1 -= 1.0;
            self.drop_connection();
        }
        self.after(TROUBLE, Event::Trouble);
    }

    /// A node that publishes nothing goes for good: killed, which its peers notice at once, or cut off.
    fn leave(&mut self) {
        let place = self.dice.index(self.alive.len());
        let node = self.alive[place];
        if self.authors.contains(&node) {
            return;
        }
        self.alive.swap_remove(place);
        self.node(node).gone = Some(self.now);
        let noticed = if self.dice.percent(50) { 0 } else { UNNOTICED };
        let peers: Vec<NodeIndex> = self.nodes[node as usize].gossip.peers().connected().collect();
        for peer in peers {
            let delay = noticed + self.latency(node, peer);
            self.after(delay, Event::Lost(peer, node));
        }
    }

    fn join(&mut self) {
        let node = self.add_node(Manner::Honest);
        let to_dial = match self.plan.degree {
            None => self.alive.iter().copied().filter(|peer| *peer != node).collect(),
            Some(degree) => self.some(degree as usize, node),
        };
        self.dial(node, to_dial);
    }

    fn drop_connection(&mut self) {
        let node = self.alive[self.dice.index(self.alive.len())];
        let peers = self.nodes[node as usize].gossip.peers();
        if peers.len() == 0 {
            return;
        }
        let peer = peers.at(self.dice.index(peers.len()));
        self.tell(node, Input::Disconnected(peer));
        self.tell(peer, Input::Disconnected(node));
        let delay = REDIAL + DIAL_WAYS * self.latency(node, peer);
        self.after(delay, Event::Connect(node, peer));
    }

    pub(super) fn lose(&mut self, node: NodeIndex, peer: NodeIndex) {
        if !self.is_up(node) {
            return;
        }
        self.tell(node, Input::Disconnected(peer));
        // Where connections are capped, another takes the place of one that is lost.
        let sought = self.plan.degree.map_or(0, |degree| degree as usize * 3 / 4);
        if self.nodes[node as usize].gossip.peers().len() < sought {
            for other in self.some(1, node) {
                let delay = REDIAL + DIAL_WAYS * self.latency(node, other);
                self.after(delay, Event::Connect(node, other));
            }
        }
    }
}

/// Whether the first dials the second: fair, and the other way round for the other.
fn dials(one: NodeIndex, other: NodeIndex) -> bool {
    let even = (one ^ other).count_ones().is_multiple_of(2);
    one != other && (one < other) == even
}
