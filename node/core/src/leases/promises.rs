//! What this node promises about claims, and when it takes a promise back.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::claim::{Claims, Standing};
use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_crdt::picture::Picture;
use fedp2p_crdt::task::Board;
use fedp2p_protocols::claim::{Acknowledgement, Claim, Fence, Replaced, Resource};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::task::{Assignee, State, Statement};

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
        let few = known.len() <= MOST_PROMISES / 2;
        let is_over = |fence: &&Fence| {
            // Of a node that says nothing just now it is not known what became of its claims.
            let Some(content) = picture.node(&fence.node) else { return false };
            let Some(claim) = content.claims.get(&fence.counter) else { return true };
            let another = claims.get(fence).is_some_and(|standing| !standing.acknowledged.contains(&me));
            let counts = || few && waits_for_record(&picture, fence, claim);
            let of_no_use = claim.ended.is_some() && !keeps_down(claims, claim) && !counts();
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
        };
        let mut promised: Vec<&Standing<'_>> = Vec::new();
        let board = LazyCell::new(|| Board::of(&picture, claims));
        for standing in claims.iter().filter(wanted) {
            let of_author = kept.entry(standing.fence.node).or_default();
            if promised.len() == room
                || *of_author >= MOST_PROMISES_ABOUT_ONE
                || !may_be_claimed(&picture, &board, standing)
            {
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
}

/// Whether the last word on a task was said under this claim and the node of its creator has not recorded it yet: until
/// then it counts by what most members acknowledge.
fn waits_for_record(picture: &Picture<'_>, fence: &Fence, claim: &Claim) -> bool {
    let Resource::Task(key) = &claim.resource else { return false };
    let Some(task) = picture.task(key).filter(|task| !task.is_closed()) else { return false };
    let last = |said: &Statement| {
        let present = (said.made, said.attempt) == (task.made, task.attempt);
        present && said.fence == fence.counter && said.state.is_terminal()
    };
    let mut said = picture.node(&fence.node).into_iter().flat_map(|content| content.statements_on(key));
    said.any(|(place, said)| place.agent == claim.by && last(said))
}

/// Whether a claim is not on a task that is for another agent, waits for an award or is over, as far as this node knows.
fn may_be_claimed(picture: &Picture<'_>, board: &Board<'_>, standing: &Standing<'_>) -> bool {
    let Resource::Task(key) = &standing.claim.resource else { return true };
    let Some(task) = picture.task(key) else { return true };
    let for_it = match &task.to {
        Assignee::Agent(only) => (only.node, &only.name) == (standing.fence.node, &standing.claim.by),
        Assignee::Anyone | Assignee::Role(_) => true,
    };
    for_it && !task.is_announced() && !board.state(key).is_some_and(State::is_terminal)
}

/// Whether a claim took over some that have not ended.
pub(super) fn keeps_down(claims: &Claims<'_>, claim: &Claim) -> bool {
    let open = |older: &Replaced| claims.get(&older.fence).is_some_and(|older| older.claim.ended.is_none());
    claim.replaces.iter().any(open)
}
