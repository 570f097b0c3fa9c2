//! What keeps a flood cheap: which ops were seen last, and how many more of an author are looked at.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{NodeId, OpId};

/// The ids and clocks of the ops seen last, to drop what comes twice without asking the store.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    clocks: BTreeMap<OpId, Hlc>,
    order: VecDeque<OpId>,
}

/// How many are remembered.
const RECENT: usize = 8192;

impl Recent {
    pub(crate) fn insert(&mut self, id: OpId, hlc: Hlc) {
        if self.clocks.insert(id, hlc).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.clocks.remove(&oldest);
        }
    }

    pub(crate) fn remove(&mut self, id: &OpId) {
        self.clocks.remove(id);
        self.order.retain(|other| other != id);
    }

    pub(crate) fn clock(&self, id: &OpId) -> Option<Hlc> {
        self.clocks.get(id).copied()
    }
}

/// A token bucket for each author: what one member may make every node check, unasked.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    buckets: BTreeMap<NodeId, (Duration, f64)>,
}

/// How many ops an author may have checked at once.
const QUOTA_BURST: f64 = 50_000.0;
/// How many more each second.
const QUOTA_PER_SECOND: f64 = 10_000.0;

impl Quotas {
    pub(crate) fn take(&mut self, author: NodeId, now: Duration) -> bool {
        let (at, tokens) = self.buckets.entry(author).or_insert((now, QUOTA_BURST));
        *tokens = (*tokens + (now - *at).as_secs_f64() * QUOTA_PER_SECOND).min(QUOTA_BURST);
        *at = now;
        let enough = *tokens >= 1.0;
        if enough {
            *tokens -= 1.0;
        }
        enough
    }
}
