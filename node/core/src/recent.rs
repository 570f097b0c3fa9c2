//! What keeps a flood cheap: which ops were seen last, how many more of an author are looked at, and how much is
//! said about it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{NodeId, OpId};
use fedp2p_protocols::op::{Op, Verified};

/// The ids and clocks of the ops seen last, to drop what comes twice without asking the store.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    clocks: BTreeMap<OpId, (Hlc, Option<Form>)>,
    order: VecDeque<OpId>,
}

/// The signature of an op that was found good. The id is of the header alone, so others can dress it up anew.
type Form = [u8; 64];

/// How many are remembered.
pub(crate) const RECENT: usize = 8192;

impl Recent {
    /// Remembers an op that was verified here.
    pub(crate) fn insert_op(&mut self, op: &Verified) {
        self.remember(op.id(), op.header().hlc, Some(op.signature()));
    }

    /// Remembers an op that the store knows.
    pub(crate) fn insert(&mut self, id: OpId, hlc: Hlc) {
        self.remember(id, hlc, None);
    }

    fn remember(&mut self, id: OpId, hlc: Hlc, form: Option<Form>) {
        if self.clocks.insert(id, (hlc, form)).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.clocks.remove(&oldest);
        }
    }

    /// How many ops are remembered.
    pub(crate) fn len(&self) -> usize {
        self.clocks.len()
    }

    pub(crate) fn remove(&mut self, id: &OpId) {
        self.clocks.remove(id);
        self.order.retain(|other| other != id);
    }

    pub(crate) fn clock(&self, id: &OpId) -> Option<Hlc> {
        self.clocks.get(id).map(|(hlc, _)| *hlc)
    }

    /// Whether this is, byte for byte, an op that was verified here.
    pub(crate) fn is_same(&self, op: &Op) -> bool {
        self.clocks.get(&op.id()).is_some_and(|(_, form)| *form == Some(op.signature()))
    }
}

/// Two token buckets for each author: what one member may make every node check, unasked, and what it may before it is
/// loud.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    authors: BTreeMap<NodeId, Quota>,
}

#[derive(Debug)]
struct Quota {
    at: Duration,
    checked: f64,
    calm: f64,
    quiet: f64,
    loud: bool,
}

/// How many ops an author may have checked at once.
const QUOTA_BURST: f64 = 50_000.0;
/// How many more each second.
const QUOTA_PER_SECOND: f64 = 10_000.0;
/// How many an author may bring at once and each second before it is loud.
const CALM_BURST: f64 = 3000.0;
const CALM_PER_SECOND: f64 = 300.0;
/// How many each second keep it so, until it has brought less for as long as it takes to fill this.
const QUIET_PER_SECOND: f64 = 10.0;
const QUIET_BURST: f64 = 50.0;

impl Quota {
    /// Lets time pass.
    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.checked = (self.checked + passed * QUOTA_PER_SECOND).min(QUOTA_BURST);
        self.calm = (self.calm + passed * CALM_PER_SECOND).min(CALM_BURST);
        self.quiet = self.quiet(passed);
        self.loud &= self.quiet < QUIET_BURST;
    }

    fn quiet(&self, passed: f64) -> f64 {
        (self.quiet + passed * QUIET_PER_SECOND).min(QUIET_BURST)
    }
}

impl Quotas {
    pub(crate) fn take(&mut self, author: NodeId, now: Duration) -> bool {
        let full = Quota { at: now, checked: QUOTA_BURST, calm: CALM_BURST, quiet: QUIET_BURST, loud: false };
        let quota = self.authors.entry(author).or_insert(full);
        quota.pass(now);
        quota.quiet = (quota.quiet - 1.0).max(0.0);
        quota.calm = (quota.calm - 1.0).max(0.0);
        quota.loud |= quota.calm < 1.0;
        let enough = quota.checked >= 1.0;
        if enough {
            quota.checked -= 1.0;
        }
        enough
    }

    /// Whether an author brings so much that nodes read it late, and so differ in how much of it they have.
    pub(crate) fn is_loud(&self, author: &NodeId, now: Duration) -> bool {
        let is_loud =
            |quota: &Quota| quota.loud && quota.quiet(now.saturating_sub(quota.at).as_secs_f64()) < QUIET_BURST;
        self.authors.get(author).is_some_and(is_loud)
    }
}

/// A bucket for notices.
#[derive(Debug)]
pub(crate) struct Notices {
    at: Duration,
    left: f64,
    unsaid: u64,
}

/// How many notices may come at once.
const NOTICES_BURST: f64 = 100.0;
/// How many more each second.
const NOTICES_PER_SECOND: f64 = 0.5;

impl Default for Notices {
    fn default() -> Self {
        Self { at: Duration::ZERO, left: NOTICES_BURST, unsaid: 0 }
    }
}

impl Notices {
    /// Returns how many were left out since the last one, or nothing if this one is to be left out too.
    pub(crate) fn take(&mut self, now: Duration) -> Option<u64> {
        let gained = now.saturating_sub(self.at).as_secs_f64() * NOTICES_PER_SECOND;
        self.left = (self.left + gained).min(NOTICES_BURST);
        self.at = now;
        if self.left < 1.0 {
            self.unsaid += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_brings_much_is_loud_until_it_has_been_quiet_for_a_while() {
        let (mut quotas, author) = (Quotas::default(), NodeId::from_bytes([1; 32]));
        let second = Duration::from_secs(1);
        for at in 0..30 {
            (0..300).for_each(|_| assert!(quotas.take(author, second * at)));
        }
        assert!(!quotas.is_loud(&author, second * 30), "what is usual is not loud");
        (0..3000).for_each(|_| assert!(quotas.take(author, second * 30)));
        assert!(quotas.is_loud(&author, second * 34));
        for at in 31..60 {
            (0..20).for_each(|_| assert!(quotas.take(author, second * at)));
            assert!(quotas.is_loud(&author, second * at), "it goes on, though it is read slowly");
        }
        assert!(quotas.is_loud(&author, second * 63));
        assert!(!quotas.is_loud(&author, second * 64));
        assert!(!quotas.is_loud(&NodeId::from_bytes([2; 32]), second * 30));
    }

    #[test]
    fn a_flood_of_notices_is_counted_and_not_told() {
        let mut notices = Notices::default();
        let told = (0..1000).filter(|_| notices.take(Duration::from_secs(1)).is_some()).count();
        assert_eq!(told, 100);
        assert_eq!(notices.take(Duration::from_secs(3)), Some(900));
    }
}
