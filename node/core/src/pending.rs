//! Ops that wait: for the entry before them, or for something they depend on.
//!
//! An op in here has a good signature of a member. What one author can make wait is bounded in number, bytes and
//! time; what falls out is fetched again by sync, in an order that needs no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{NodeId, OpId};
use fedp2p_protocols::limits::{MAX_PENDING_BYTES, MAX_PENDING_OPS, PENDING_TIMEOUT};
use fedp2p_protocols::op::{Op, Verified};
use fedp2p_protocols::sync::LogKey;

/// What an op waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The entry of a log at this position.
    Entry(LogKey, u64),
    /// This op.
    Op(OpId),
}

#[derive(Debug)]
struct Waiting {
    op: Verified,
    need: Need,
    since: Duration,
    until: Duration,
}

#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    /// By clock: what comes first in a log is needed first.
    order: BTreeSet<(Hlc, OpId)>,
}

impl Share {
    fn has_room(&self, bytes: usize) -> bool {
        self.order.len() < MAX_PENDING_OPS && self.bytes + bytes <= MAX_PENDING_BYTES
    }
}

/// The waiting ops of all authors.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: BTreeMap<OpId, Box<Waiting>>,
    by_need: BTreeMap<Need, BTreeSet<OpId>>,
    by_time: BTreeSet<(Duration, OpId)>,
    shares: BTreeMap<NodeId, Share>,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The most ops and the most bytes that wait of any one author.
    pub(crate) fn largest_share(&self) -> (usize, usize) {
        let most = |(ops, bytes): (usize, usize), share: &Share| (ops.max(share.order.len()), bytes.max(share.bytes));
        self.shares.values().fold((0, 0), most)
    }

    pub(crate) fn contains(&self, id: &OpId) -> bool {
        self.waiting.contains_key(id)
    }

    /// Whether there is room for an op, or would be if later ones of its author gave way.
    pub(crate) fn would_fit(&self, op: &Op) -> bool {
        self.shares.get(&op.header().author).is_none_or(|share| {
            share.has_room(op.bytes().len()) || share.order.last().is_some_and(|last| place(op) < *last)
        })
    }

    /// Lets an op wait. Returns whether there was room, for which later ones of its author give way.
    pub(crate) fn insert(&mut self, op: Verified, need: Need, now: Duration) -> bool {
        let id = op.id();
        if self.waiting.contains_key(&id) {
            return true;
        }
        let (author, bytes, place) = (op.header().author, op.bytes().len(), place(&op));
        while let Some(share) = self.shares.get(&author).filter(|share| !share.has_room(bytes)) {
            match share.order.last().copied() {
                Some(last) if place < last => drop(self.remove(&last.1)),
                Some(_) | None => return false,
            }
        }
        let share = self.shares.entry(author).or_default();
        share.order.insert(place);
        share.bytes += bytes;
        let until = now + PENDING_TIMEOUT;
        self.by_need.entry(need).or_default().insert(id);
        self.by_time.insert((until, id));
        self.waiting.insert(id, Box::new(Waiting { op, need, since: now, until }));
        true
    }

    /// Takes out one op.
    pub(crate) fn remove(&mut self, id: &OpId) -> Option<Verified> {
        let Waiting { op, need, until, .. } = *self.waiting.remove(id)?;
        self.by_time.remove(&(until, *id));
        if let Some(ids) = self.by_need.get_mut(&need) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_need.remove(&need);
            }
        }
        let author = op.header().author;
        if let Some(share) = self.shares.get_mut(&author) {
            share.order.remove(&place(&op));
            share.bytes -= op.bytes().len();
            if share.order.is_empty() {
                self.shares.remove(&author);
            }
        }
        Some(op)
    }

    /// Whether anything waits for what it depends on.
    pub(crate) fn wait_for_ops(&self) -> bool {
        self.by_need.keys().next_back().is_some_and(|need| matches!(need, Need::Op(_)))
    }

    /// Takes out everything that waited for this.
    pub(crate) fn release(&mut self, need: Need) -> Vec<Verified> {
        let ids = self.by_need.get(&need).cloned().unwrap_or_default();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes out what waits in one log from this position on.
    pub(crate) fn of_log(&mut self, key: &LogKey, seq: u64) -> Vec<Verified> {
        let stands = |op: &Verified| crate::key_of(op) == *key && op.header().seq >= seq;
        let ids: Vec<OpId> =
            self.waiting.iter().filter(|(_, waiting)| stands(&waiting.op)).map(|(id, _)| *id).collect();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// What has waited as long as it should, oldest first.
    pub(crate) fn overdue(&self, now: Duration) -> Vec<OpId> {
        self.by_time.iter().take_while(|(until, _)| *until <= now).map(|(_, id)| *id).collect()
    }

    /// An op that waits, what for, and since when.
    pub(crate) fn get(&self, id: &OpId) -> Option<(&Verified, Need, Duration)> {
        self.waiting.get(id).map(|waiting| (&waiting.op, waiting.need, waiting.since))
    }

    /// Lets an op wait on.
    pub(crate) fn postpone(&mut self, id: &OpId, until: Duration) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            self.by_time.remove(&(waiting.until, *id));
            self.by_time.insert((until, *id));
            waiting.until = until;
        }
    }

    /// Since when the oldest has waited, or longer if it was let wait on.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.by_time.first().map(|(until, _)| until.saturating_sub(PENDING_TIMEOUT))
    }

    /// When the next one has waited too long.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.by_time.first().map(|(until, _)| *until)
    }
}

fn place(op: &Op) -> (Hlc, OpId) {
    (op.header().hlc, op.id())
}
