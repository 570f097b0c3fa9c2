//! Questions that are closed, and the answers to them.

use fedp2p_crdt::content::Place;
use fedp2p_protocols::vote::{AgentId, Ballot, Electorate, Mechanism, Proposal, ProposalKey};

use super::{Look, Thing, too_many};
use crate::Core;

/// How many closed questions of a node stay.
const KEPT_QUESTIONS: usize = 64;
/// How many operations those of them take that stay; some stay in any case.
const KEPT_QUESTIONS_OPS: usize = 4_000;
const KEPT_IN_ANY_CASE: usize = 4;
/// How many answers stay that decide nothing any more.
const KEPT_ANSWERS: usize = 200;

/// What a question takes up, about.
fn weight(proposal: &Proposal) -> usize {
    let named = match &proposal.rules.electorate {
        Electorate::Agents(agents) => 3 * agents.len(),
        Electorate::All | Electorate::People | Electorate::Role(_) => 0,
    };
    let counted = proposal.closed.as_ref().map_or(0, |closing| closing.ballots().count() + closing.counted.len());
    20 + proposal.options.len() + named + counted
}

impl Core {
    /// Closed questions of this node: all but the last.
    pub(super) fn look_at_questions(&self, look: &mut Look<'_>) {
        let own = &self.documents.content(&self.lobby, &self.me()).proposals;
        let closed = own.iter().filter_map(|(id, proposal)| Some((proposal.closed.as_ref()?.at, id, proposal)));
        let mut closed: Vec<(u64, &String, &Proposal)> = closed.collect();
        closed.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut ops = 0;
        for (nth, (_, id, proposal)) in closed.into_iter().enumerate() {
            ops += weight(proposal);
            let kept = ops <= KEPT_QUESTIONS_OPS && nth < KEPT_QUESTIONS / look.scarce;
            if nth >= KEPT_IN_ANY_CASE && !kept {
                look.gone.push(Place::Proposal(id.clone()));
            }
        }
    }

    /// Answers that decide nothing any more: all but the last; and all words of having seen what nobody waits for.
    pub(super) fn look_at_answers(&self, look: &mut Look<'_>) {
        let me = self.me();
        let own = self.documents.content(&self.lobby, &me);
        let mut over = Vec::new();
        for (place, ballot) in &own.ballots {
            let found = Place::Ballot(place.clone());
            match look.picture.proposal(&place.proposal) {
                Some(proposal) => {
                    let voter = AgentId { node: me, name: place.voter.clone() };
                    if decides_nothing(proposal, &voter, place.number, ballot) {
                        over.push((ballot.at, found));
                    }
                }
                None if look.picture.node(&place.proposal.node).is_none() => {}
                None if self.is_question_gone(look, &place.proposal) => look.gone.push(found),
                None => over.push((ballot.at, found)),
            }
        }
        look.gone.extend(too_many(over, KEPT_ANSWERS / look.scarce));
        for (place, seen) in &own.seen {
            let over = match look.picture.proposal(&place.proposal) {
                Some(proposal) => proposal.closed.is_some() || proposal.hash() != seen.asked,
                None => self.is_question_gone(look, &place.proposal),
            };
            look.gone.extend(over.then(|| Place::Seen(place.clone())));
        }
    }

    /// Whether a question that is not there was cleared away by its node.
    fn is_question_gone(&self, look: &mut Look<'_>, key: &ProposalKey) -> bool {
        look.picture.node(&key.node).is_some() && self.is_settled(look, Thing::Question(key.clone()))
    }
}

/// Whether an answer of this node changes nothing about a question, wherever it is known: it answers something else, or
/// the question is closed and says the same. Approvals are borne out by the answers themselves.
fn decides_nothing(proposal: &Proposal, voter: &AgentId, number: u32, ballot: &Ballot) -> bool {
    if ballot.asked != proposal.hash() {
        return true;
    }
    let Some(closing) = proposal.closed.as_ref().filter(|_| proposal.rules.mechanism != Mechanism::Signoff) else {
        return false;
    };
    closing.of(voter).filter(|counted| counted.number == number).is_none_or(|counted| {
        let place = |choice: &String| proposal.options.iter().position(|option| option == choice);
        let choices: Option<Vec<usize>> = ballot.choices.iter().map(place).collect();
        choices.is_some_and(|choices| choices == counted.choices)
    })
}
