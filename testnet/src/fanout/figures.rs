//! What is counted in a run, and what is made of it.

use serde::Serialize;

use super::Nanos;
use super::gossip::{Message, Rpc};
use super::peers::NodeIndex;
use super::settings::MS;

/// When something has not happened.
const NEVER: Nanos = Nanos::MAX;

/// What is counted while a run goes on.
#[derive(Debug)]
pub(super) struct Figures {
    messages: usize,
    /// When each message was published.
    pub(super) published: Vec<Nanos>,
    /// For each node and message: over how many links gossip brought it; 0 if it did not.
    hops: Vec<Vec<u16>>,
    /// For each node and message: whether it came straight from its author.
    pushed: Vec<Vec<bool>>,
    /// For each node and message: when its application had it.
    known: Vec<Vec<Nanos>>,
    /// How often gossip brought a message to an honest node that had it.
    pub(super) duplicates: u64,
    /// Bytes of messages in gossip, of the rest of gossip, of sync.
    pub(super) data_bytes: u64,
    pub(super) control_bytes: u64,
    pub(super) sync_bytes: u64,
}

impl Figures {
    pub(super) fn new(messages: usize) -> Self {
        Self {
            messages,
            published: vec![NEVER; messages],
            hops: Vec::new(),
            pushed: Vec::new(),
            known: Vec::new(),
            duplicates: 0,
            data_bytes: 0,
            control_bytes: 0,
            sync_bytes: 0,
        }
    }

    pub(super) fn published(&mut self, message: Message, now: Nanos) {
        self.published[message as usize] = now;
    }

    pub(super) fn sent(&mut self, rpc: &Rpc, bytes: u32) {
        match rpc {
            Rpc::Publish(..) => self.data_bytes += u64::from(bytes),
            Rpc::Subscribe | Rpc::Have(..) | Rpc::Want(_) | Rpc::Decline(_) | Rpc::Graft | Rpc::Prune => {
                self.control_bytes += u64::from(bytes);
            }
        }
    }

    /// A message that was to be sent was not.
    pub(super) fn withdrawn(&mut self, bytes: u32) {
        self.data_bytes = self.data_bytes.saturating_sub(u64::from(bytes));
    }

    fn row<T: Clone>(rows: &mut Vec<Vec<T>>, node: NodeIndex, messages: usize, empty: T) -> &mut Vec<T> {
        let node = node as usize;
        if rows.len() <= node {
            rows.resize(node + 1, Vec::new());
        }
        if rows[node].is_empty() {
            rows[node] = vec![empty; messages];
        }
        &mut rows[node]
    }

    pub(super) fn gossiped(&mut self, node: NodeIndex, message: Message, hops: u16) {
        let cell = &mut Self::row(&mut self.hops, node, self.messages, 0)[message as usize];
        assert_eq!(*cell, 0, "gossip gives a message to the application once");
        *cell = hops;
    }

    pub(super) fn pushed(&mut self, node: NodeIndex, message: Message) {
        Self::row(&mut self.pushed, node, self.messages, false)[message as usize] = true;
    }

    pub(super) fn known(&mut self, node: NodeIndex, message: Message, now: Nanos) {
        Self::row(&mut self.known, node, self.messages, NEVER)[message as usize] = now;
    }

    /// Over how many links the fast path brought a message to a node, if it did.
    pub(super) fn hops(&self, node: NodeIndex, message: Message) -> Option<u16> {
        let (node, message) = (node as usize, message as usize);
        let pushed = self.pushed.get(node).and_then(|row| row.get(message)).is_some_and(|pushed| *pushed);
        let hops = self.hops.get(node).and_then(|row| row.get(message));
        hops.copied().filter(|hops| *hops > 0 && !pushed).or(pushed.then_some(1))
    }

    /// When a node's application had a message, if it did.
    pub(super) fn known_at(&self, node: NodeIndex, message: Message) -> Option<Nanos> {
        let cell = self.known.get(node as usize).and_then(|row| row.get(message as usize));
        cell.copied().filter(|at| *at != NEVER)
    }
}

/// What one or more runs of one kind came to, before it is summed up.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) hops: Vec<u16>,
    pub(super) latencies: Vec<Nanos>,
    /// Pairs of a message and a node that was up all the time and did not publish it.
    pub(super) pairs: u64,
    pub(super) missed_fast: u64,
    pub(super) missed: u64,
    pub(super) duplicates: u64,
    pub(super) data_bytes: u64,
    pub(super) control_bytes: u64,
    pub(super) sync_bytes: u64,
    /// Nodes times messages.
    pub(super) shares: u64,
    pub(super) mesh_links: u64,
    pub(super) connections: u64,
    pub(super) nodes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.hops.extend(other.hops);
        self.latencies.extend(other.latencies);
        self.pairs += other.pairs;
        self.missed_fast += other.missed_fast;
        self.missed += other.missed;
        self.duplicates += other.duplicates;
        self.data_bytes += other.data_bytes;
        self.control_bytes += other.control_bytes;
        self.sync_bytes += other.sync_bytes;
        self.shares += other.shares;
        self.mesh_links += other.mesh_links;
        self.connections += other.connections;
        self.nodes += other.nodes;
    }
}

/// What the runs of one kind came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// How many nodes there were.
    pub nodes: u32,
    /// What went wrong.
    pub condition: &'static str,
    /// How many runs there were.
    pub seeds: u32,
    /// Connections of a node, mean.
    pub connections: f64,
    /// Mesh links of a node before the first message, mean.
    pub mesh: f64,
    /// Deliveries that were to be: messages times nodes that were up all the time.
    pub deliveries: u64,
    /// Links from the publisher to a node on the fast path: mean, 99th of a hundred, most.
    pub hops_mean: Option<f64>,
    #[expect(missing_docs, reason = "see the mean")]
    pub hops_p99: Option<u16>,
    #[expect(missing_docs, reason = "see the mean")]
    pub hops_max: Option<u16>,
    /// How often a node got a message that it had, per message.
    pub duplicates: f64,
    /// Bytes that a node sent per message: messages in gossip, what else gossip says, sync.
    pub data_bytes: f64,
    #[expect(missing_docs, reason = "see the messages")]
    pub control_bytes: f64,
    #[expect(missing_docs, reason = "see the messages")]
    pub sync_bytes: f64,
    /// Milliseconds from publishing until the entry was there in its author's order, whichever way it came.
    pub p50_ms: f64,
    #[expect(missing_docs, reason = "see the median")]
    pub p99_ms: f64,
    #[expect(missing_docs, reason = "see the median")]
    pub last_ms: f64,
    /// Deliveries that the fast path did not make, and sync had to.
    pub missed_fast: u64,
    /// Entries that a node that was up in the end did not have after sync.
    pub missed: u64,
}

impl Row {
    pub(super) fn new(nodes: u32, condition: &'static str, seeds: u32, mut tally: Tally) -> Self {
        tally.hops.sort_unstable();
        tally.latencies.sort_unstable();
        let firsts = tally.hops.len() as u64;
        let sum: u64 = tally.hops.iter().map(|hops| u64::from(*hops)).sum();
        let per = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let ms = |at: Option<Nanos>| at.map_or(0.0, |at| at as f64 / MS as f64);
        Self {
            nodes,
            condition,
            seeds,
            connections: per(tally.connections, tally.nodes),
            mesh: per(tally.mesh_links, tally.nodes),
            deliveries: tally.pairs,
            hops_mean: (firsts > 0).then(|| per(sum, firsts)),
            hops_p99: quantile(&tally.hops, 99),
            hops_max: tally.hops.last().copied(),
            duplicates: per(tally.duplicates, tally.shares),
            data_bytes: per(tally.data_bytes, tally.shares),
            control_bytes: per(tally.control_bytes, tally.shares),
            sync_bytes: per(tally.sync_bytes, tally.shares),
            p50_ms: ms(quantile(&tally.latencies, 50)),
            p99_ms: ms(quantile(&tally.latencies, 99)),
            last_ms: ms(tally.latencies.last().copied()),
            missed_fast: tally.missed_fast,
            missed: tally.missed,
        }
    }
}

/// The least of sorted values that so many of a hundred do not exceed.
fn quantile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=200).collect();
        assert_eq!((quantile(&values, 50), quantile(&values, 99)), (Some(100), Some(198)));
        assert_eq!(quantile(&values[..1], 99), Some(1));
        assert_eq!(quantile::<u32>(&[], 50), None);
    }
}
