//! What this node promises about claims, and when it takes a promise back.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::claim::{Claims, Standing};
use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_protocols::claim::{Acknowledgement, Claim, Fence, Replaced, Resource};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::task::Assignee;

use super::{Decisions, MOST_AT_ONCE};
use crate::Core;

/// Most promises about claims of one node: about all that count, and some that took others over.
const MOST_PROMISES_ABOUT_ONE: usize = 320;
/// Most promises that a node keeps: they must leave room in its document.
const MOST_PROMISES: usize = 1_000;

impl Core {
    /// Promises what may be promised. With something new, or when it is much, takes back what is of no more use: its claim is
    /// gone or another, or has ended and keeps nothing down that it took over.
    pub(super) fn promise(&self, claims: &Claims<'_>, decisions: &mut Decisions) {
        let me = self.me();
        let members = self.claim_members();
        let known = &self.documents.content(&self.lobby, &me).acknowledged;
        // The last one stays while its claim is there: by it everybody knows how far the numbers are.
        let last = known.last_key_value().map(|(fence, _)| *fence);
        let picture = self.documents.picture(&self.lobby);
        let is_over = |fence: &&Fence| {
            // Of a node that says nothing just now it is not known what became of its claims.
            let Some(content) = picture.node(&fence.node) else { return false };
            let Some(claim) = content.claims.get(&fence.counter) else { return true };
            let another = claims.get(fence).is_some_and(|standing| !standing.acknowledged.contains(&me));
            let of_no_use = claim.ended.is_some() && !keeps_down(claims, claim);
            another || (of_no_use && Some(**fence) != last)
        };
        let over: BTreeSet<&Fence> = known.keys().filter(is_over).collect();
        let mut kept: BTreeMap<NodeId, usize> = BTreeMap::new();
        for fence in known.keys().filter(|fence| !over.contains(fence)) {
            *kept.entry(fence.node).or_default() += 1;
        }
        let room = MOST_PROMISES.saturating_sub(known.len() - over.len()).min(MOST_AT_ONCE);
        let wanted = |standing: &&Standing<'_>| {
            let enough = standing.is_majority() && standing.fence.node != me;
            standing.is_live()
                && !enough
                && !known.contains_key(&standing.fence)
                && members.contains(&standing.fence.node)
                && self.may_be_claimed(standing)
        };
        let mut promised: Vec<&Standing<'_>> = Vec::new();
        for standing in claims.iter().filter(wanted) {
            let of_author = kept.entry(standing.fence.node).or_default();
            if promised.len() == room || *of_author >= MOST_PROMISES_ABOUT_ONE {
                continue;
            }
            let against = promised.iter().any(|other| other.excludes(standing));
            if !against && claims.may_acknowledge(&me, &standing.fence, |other| self.has_run_out(other)) {
                *of_author += 1;
                promised.push(standing);
            }
        }
        for standing in promised {
            let acknowledgement = Acknowledgement { claim: standing.claim.hash(), at: self.now.wall_ms };
            decisions.edits.push(Entry::Acknowledged(standing.fence, acknowledgement).into());
        }
        if !decisions.edits.is_empty() || over.len() >= MOST_AT_ONCE {
            let gone = over.into_iter().take(MOST_AT_ONCE);
            decisions.edits.extend(gone.map(|fence| Edit::Remove(Place::Acknowledged(*fence))));
        }
    }

    /// Whether a claim is not on a task that is for another agent, as far as this node knows.
    fn may_be_claimed(&self, standing: &Standing<'_>) -> bool {
        let Resource::Task(key) = &standing.claim.resource else { return true };
        let task = self.documents.content(&self.lobby, &key.node).tasks.get(&key.id);
        match task.map(|task| &task.to) {
            Some(Assignee::Agent(only)) => (only.node, &only.name) == (standing.fence.node, &standing.claim.by),
            Some(Assignee::Anyone | Assignee::Role(_)) | None => true,
        }
    }
}

/// Whether a claim took over some that have not ended.
pub(super) fn keeps_down(claims: &Claims<'_>, claim: &Claim) -> bool {
    let open = |older: &Replaced| claims.get(&older.fence).is_some_and(|older| older.claim.ended.is_none());
    claim.replaces.iter().any(open)
}
