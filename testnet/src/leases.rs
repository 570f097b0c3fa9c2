//! What must hold of claims while things go on, and once all is healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_protocols::api::claim::{Claim, State};
use fedp2p_protocols::api::{self, Reply, Request};
use fedp2p_protocols::claim::{Fence, Mode};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::payload::Message;

use crate::check::Invariant;
use crate::sim::Sim;
use crate::tasks::number;

/// The lease of claims that never run out in a run.
pub(crate) const LONG_S: u32 = 24 * 3600;

/// How long a claim that was taken over in a part that was cut off may stand as lost and its agent hear nothing: its node
/// insists on it, after a second.
pub(crate) const INSISTS: Duration = Duration::from_secs(5);

/// What the nodes said of their own claims.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// Every number that was ever given, for what and to whom.
    given: BTreeMap<Fence, (String, String, u64)>,
    /// Those that were never told to be confirmed, by the process that made them.
    fresh: BTreeMap<Fence, u32>,
    /// What most members acknowledge, as the node of each claim has it now.
    held: BTreeMap<Fence, Claim>,
    /// What most members ever acknowledged, and on what.
    pub(crate) ever_held: BTreeMap<Fence, Claim>,
    /// Since when claims have been seen as lost.
    lost: BTreeMap<Fence, Duration>,
}

/// Whether two claims cannot both be held.
fn exclude(one: &Claim, other: &Claim) -> bool {
    let shared = one.mode == Mode::Shared && other.mode == Mode::Shared;
    !shared && one.by != other.by && one.resource.overlaps(&other.resource)
}

impl Sim {
    /// A node tells its clients how a claim stands.
    pub(crate) fn claim_told(&mut self, node: usize, claim: &Claim) {
        let this = &self.nodes[node];
        // Two copies of a home give the same numbers: neither can know of the other. What a hostile node tells its own
        // clients is its own affair.
        if claim.fence.node != this.id() || this.twin || this.adversary.is_some() {
            return;
        }
        let process = this.incarnation;
        // So does one that is put back and does not notice, until it meets somebody.
        if !this.repeats {
            self.check_number(node, claim, process);
        }
        if claim.state != State::Confirmed {
            self.leases.held.remove(&claim.fence);
            return;
        }
        let now_confirmed = self.leases.fresh.remove(&claim.fence) == Some(process);
        if claim.majority {
            self.check_alone(node, claim);
            self.leases.held.insert(claim.fence, claim.clone());
            self.check_grows(node, claim);
            self.leases.ever_held.insert(claim.fence, claim.clone());
        } else if now_confirmed {
            self.check_cut_off(node, claim);
        }
    }

    /// A number is given to one claim only.
    fn check_number(&mut self, node: usize, claim: &Claim, process: u32) {
        let said = (claim.by.to_string(), claim.what.clone(), claim.since);
        if !self.leases.given.contains_key(&claim.fence) {
            self.leases.fresh.insert(claim.fence, process);
        }
        let first = self.leases.given.entry(claim.fence).or_insert_with(|| said.clone());
        if *first != said {
            let text = format!("n{node} gave the number {} to {first:?} and to {said:?}", claim.fence);
            self.fault(Invariant::Fences, text);
        }
    }

    /// A home was put back, and an agent wrote to it before it met anybody: its log has forked, and what it held since the
    /// backup is gone with the side that does not count.
    pub(crate) fn claims_forgotten(&mut self, node: usize) {
        let id = self.nodes[node].id();
        self.leases.held.retain(|fence, _| fence.node != id);
    }

    /// Which of the nodes that acknowledge both claims are bound by that: not those that break the rules, nor those that
    /// run twice or went back to before they acknowledged the first. All others, also those that lost power, are.
    fn bound_by_both(&self, one: &Claim, other: &Claim) -> Vec<String> {
        let both = one.acknowledged.iter().filter(|name| other.acknowledged.contains(name));
        let binds = |name: &&String| {
            number(name)
                .and_then(|number| self.nodes.get(number))
                .is_some_and(|node| node.adversary.is_none() && !node.twin && !node.forgot)
        };
        both.filter(binds).cloned().collect()
    }

    /// What most members acknowledge excludes nothing else that they do, wherever its holder is: whoever acknowledged both
    /// forgot, lied, or is two.
    fn check_alone(&mut self, node: usize, claim: &Claim) {
        let lasts = |claim: &Claim| claim.ttl_s == LONG_S;
        let both = |other: &&Claim| lasts(claim) && lasts(other) && exclude(claim, other);
        let against = self.leases.held.values().filter(both);
        let found: Vec<String> = against
            .filter_map(|other| {
                let bound = self.bound_by_both(claim, other);
                let apart = other.members == claim.members
                    && !claim.acknowledged.iter().any(|name| other.acknowledged.contains(name));
                let text = format!(
                    "n{node} confirms claim {} of {} on {}, and claim {} of {} on {} is confirmed and has not ended; \
                     both are acknowledged by {bound:?}",
                    claim.fence, claim.by, claim.what, other.fence, other.by, other.what
                );
                (apart || !bound.is_empty()).then_some(text)
            })
            .collect();
        for text in found {
            self.fault(Invariant::Holders, text);
        }
    }

    /// Of claims that exclude each other and were held one after the other the later has the greater number, as far as nobody
    /// forgot or is two. The node of one that runs out can hear of it late that it was held once.
    fn check_grows(&mut self, node: usize, claim: &Claim) {
        if claim.ttl_s != LONG_S
            || self.leases.ever_held.contains_key(&claim.fence)
            || self.nodes.iter().any(|node| node.twin || node.forgot)
        {
            return;
        }
        let least = Fence { node: NodeId::from_bytes([0; 32]), ..claim.fence };
        let mut later = self.leases.ever_held.range(least..).map(|(_, later)| later);
        // Who does not know all members yet counts another majority.
        let alike = |later: &&Claim| later.ttl_s == LONG_S && later.members == claim.members;
        let Some(later) = later.rfind(|later| alike(later) && exclude(claim, later)) else { return };
        let text = format!(
            "n{node} confirms claim {} of {} on {} after claim {} of {} on {} was held",
            claim.fence, claim.by, claim.what, later.fence, later.by, later.what
        );
        self.fault(Invariant::Fences, text);
    }

    /// A node that has been connected with most members confirms nothing without them.
    fn check_cut_off(&mut self, node: usize, claim: &Claim) {
        let faults = &self.scenario.faults;
        let known = faults.stalls + faults.freezes + faults.slow + faults.one_way == 0;
        // What was decided a moment ago is told once it is stored.
        let near = self.mesh.near_since(node, self.now.saturating_sub(Duration::from_secs(1))) + 1;
        if known && near * 2 > claim.members as usize {
            let text = format!("n{node} confirms claim {} for a part, and {near} nodes are connected", claim.fence);
            self.fault(Invariant::Holders, text);
        }
    }

    fn claims_of(&mut self, node: usize) -> Vec<Claim> {
        let list = Request::ClaimList(api::claim_list::Request { all: true, ..Default::default() });
        match self.ask(node, list) {
            Some(Reply::ClaimList(list)) => list.claims,
            _ => Vec::new(),
        }
    }

    /// All nodes show the same claims; of those that exclude each other one holds, and the others were told, unless they
    /// may still insist that long.
    pub(crate) fn check_claims(&mut self, insists: Duration) {
        let mut shown: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = Vec::new();
        for node in self.honest() {
            let claims = self.claims_of(node);
            // Whether a lease has run out depends on the clock that looks.
            let line = |claim: &Claim| {
                let state = if claim.state.is_live() { State::Overdue } else { claim.state };
                let to = claim.lost_to.as_ref().map(|winner| &winner.id);
                format!("{} {} {} {state:?} {to:?} {}", claim.fence, claim.by, claim.what, claim.majority)
            };
            shown.insert(claims.iter().map(line).collect::<Vec<_>>().join("\n"), node);
            last = claims;
        }
        if shown.len() > 1 {
            self.fault(Invariant::Holders, format!("nodes show different claims: {shown:?}"));
            return;
        }
        let live: Vec<&Claim> = last.iter().filter(|claim| claim.state == State::Confirmed).collect();
        let mut found = Vec::new();
        for (at, one) in live.iter().enumerate() {
            if let Some(other) = live[..at].iter().find(|other| exclude(one, other)) {
                found.push(format!("{} holds {} and {} holds {}", one.by, one.what, other.by, other.what));
            }
        }
        for text in found {
            self.fault(Invariant::Holders, text);
        }
        self.check_losers(&last, insists);
    }

    /// Whoever lost a claim has a message that says so.
    fn check_losers(&mut self, claims: &[Claim], insists: Duration) {
        let mut found = Vec::new();
        let lost: Vec<&Claim> = claims.iter().filter(|claim| claim.state == State::Lost).collect();
        let now = self.now;
        let before = std::mem::take(&mut self.leases.lost);
        let since = |claim: &&Claim| (claim.fence, before.get(&claim.fence).copied().unwrap_or(now));
        self.leases.lost = lost.iter().map(since).collect();
        for claim in lost {
            // Whoever has just started says nothing by itself for a while.
            let started = self.number_of(&claim.fence.node).map_or(Duration::ZERO, |node| self.nodes[node].started);
            if now < self.leases.lost[&claim.fence].max(started) + insists {
                continue;
            }
            // Of two copies of a home each tells its own clients, and only what one of them says counts.
            let counts = |node: &usize| {
                let node = &self.nodes[*node];
                node.counts() && !node.twin && !node.repeats
            };
            let Some(node) = self.number_of(&claim.fence.node).filter(counts) else { continue };
            let told: BTreeSet<String> = self.nodes[node]
                .disk
                .ops
                .values()
                .filter(|write| write.op.header().agent.is_none())
                .filter_map(|write| Message::decode(write.op.payload()).ok())
                .filter(|message| message.to.iter().any(|agent| agent.name == claim.by.agent))
                .filter_map(|message| Some(message.data?["claim"]["counter"].to_string()))
                .collect();
            if !told.contains(&claim.fence.counter.to_string()) {
                found.push(format!("n{node} never told {} that claim {} was lost", claim.by, claim.fence));
            }
        }
        for text in found {
            self.fault(Invariant::Losers, text);
        }
    }
}
