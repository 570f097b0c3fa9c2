//! What must hold of claims while things go on, and once all is healed.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::api::claim::{Claim, State};
use fedp2p_protocols::api::{self, Reply, Request};
use fedp2p_protocols::claim::{Fence, Mode};
use fedp2p_protocols::payload::Message;

use crate::check::Invariant;
use crate::sim::Sim;

/// The lease of claims that never run out in a run.
pub(crate) const LONG_S: u32 = 24 * 3600;

/// What the nodes said of their own claims.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// Every number that was ever given, for what and to whom.
    given: BTreeMap<Fence, (String, String, u64)>,
    /// What most members acknowledge, as the node of each claim has it now.
    held: BTreeMap<Fence, Claim>,
}

/// Whether two claims cannot both be held.
fn exclude(one: &Claim, other: &Claim) -> bool {
    let shared = one.mode == Mode::Shared && other.mode == Mode::Shared;
    !shared && one.by != other.by && one.resource.overlaps(&other.resource)
}

impl Sim {
    /// Whether what nodes promised can have been lost or be two things at once.
    fn promises_are_whole(&self) -> bool {
        self.nodes.iter().all(|node| !node.lost && !node.twin && node.adversary.is_none())
    }

    /// A node tells its clients how a claim stands.
    pub(crate) fn claim_told(&mut self, node: usize, claim: &Claim) {
        if claim.fence.node != self.nodes[node].id() || !self.promises_are_whole() {
            return;
        }
        let said = (claim.by.to_string(), claim.what.clone(), claim.since);
        let first = self.leases.given.entry(claim.fence).or_insert_with(|| said.clone());
        if *first != said {
            let text = format!("n{node} gave the number {} to {first:?} and to {said:?}", claim.fence);
            self.fault(Invariant::Fences, text);
        }
        if claim.state != State::Confirmed {
            self.leases.held.remove(&claim.fence);
            return;
        }
        if claim.majority {
            self.check_alone(node, claim);
            self.leases.held.insert(claim.fence, claim.clone());
        } else {
            self.check_cut_off(node, claim);
        }
    }

    /// What most members acknowledge excludes nothing else that they do, wherever its holder is.
    fn check_alone(&mut self, node: usize, claim: &Claim) {
        let lasts = |claim: &Claim| claim.ttl_s == LONG_S;
        let both =
            |other: &&Claim| lasts(claim) && lasts(other) && other.members == claim.members && exclude(claim, other);
        if let Some(other) = self.leases.held.values().find(both) {
            let text = format!(
                "n{node} confirms claim {} of {} on {}, and claim {} of {} on {} is confirmed and has not ended",
                claim.fence, claim.by, claim.what, other.fence, other.by, other.what
            );
            self.fault(Invariant::Holders, text);
        }
    }

    /// A node that is connected with most members confirms nothing without them.
    fn check_cut_off(&mut self, node: usize, claim: &Claim) {
        let faults = &self.scenario.faults;
        let known = faults.stalls + faults.freezes + faults.slow + faults.one_way == 0;
        let near = self.mesh.neighbours(node).len() + 1;
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

    /// All nodes show the same claims; of those that exclude each other one holds, and the others were told.
    pub(crate) fn check_claims(&mut self) {
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
        self.check_losers(&last);
    }

    /// Whoever lost a claim has a message that says so.
    fn check_losers(&mut self, claims: &[Claim]) {
        let whole = self.promises_are_whole();
        let mut found = Vec::new();
        for claim in claims.iter().filter(|claim| claim.state == State::Lost && whole) {
            let Some(node) = self.number_of(&claim.fence.node).filter(|node| self.nodes[*node].counts()) else {
                continue;
            };
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
