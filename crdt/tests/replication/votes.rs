//! Which ballots count, before and after a proposal is closed, and how far a proposal is.

use std::collections::BTreeMap;

use fedp2p_crdt::content::{Agent, Content, SeenPlace};
use fedp2p_crdt::picture::{BallotState, Phase, Picture, Standing, standing};
use fedp2p_protocols::id::{NodeId, ProposalHash};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::{
    AgentId, Ballot, BallotKey, Cause, Closing, Electorate, Mechanism, Outcome, Proposal, Rules, Seen,
};

use crate::edits::{agent, ballot, ballot_key, closing, key, node, place, proposal};

/// Three nodes with an agent each, the first one's a person; the first asks.
struct Meeting(BTreeMap<NodeId, Content>);

const AGENTS: [(u8, &str); 3] = [(1, "asker"), (2, "coder"), (3, "tester")];

impl Meeting {
    fn asking(proposal: Proposal) -> Self {
        let mut meeting = Self(BTreeMap::new());
        for (at, name) in AGENTS {
            let kind = if at == 1 { AgentKind::Person } else { AgentKind::Ai };
            let content = meeting.0.entry(node(at)).or_default();
            content.agents.insert(agent(name), Agent { kind, said: None });
        }
        meeting.0.get_mut(&node(1)).unwrap().proposals.insert("p".to_owned(), proposal);
        meeting
    }

    fn under(rules: Rules) -> Self {
        Self::asking(Proposal { rules, ..proposal(&["a", "b"]) })
    }

    fn cast(&mut self, at: u8, number: u32, revision: u32, choice: &str) {
        self.put(at, number, ballot(revision, choice));
    }

    fn asked(&self, revision: u32) -> ProposalHash {
        Proposal { revision, ..self.0[&node(1)].proposals["p"].clone() }.hash()
    }

    fn put(&mut self, at: u8, number: u32, ballot: Ballot) {
        let ballot = Ballot { asked: self.asked(ballot.revision), ..ballot };
        let (_, voter) = AGENTS[usize::from(at) - 1];
        let content = self.0.get_mut(&node(at)).unwrap();
        content.ballots.insert(place(key(1, "p"), voter, number), ballot);
    }

    fn see(&mut self, at: u8, revision: u32) {
        let (_, name) = AGENTS[usize::from(at) - 1];
        let place = SeenPlace { proposal: key(1, "p"), agent: agent(name) };
        let asked = self.asked(revision);
        self.0.get_mut(&node(at)).unwrap().seen.insert(place, Seen { revision, asked, at: 1 });
    }

    fn close(&mut self, closing: Closing) {
        let proposal = self.0.get_mut(&node(1)).unwrap().proposals.get_mut("p").unwrap();
        proposal.closed = Some(closing);
    }

    fn picture(&self) -> Picture<'_> {
        Picture::of(self.0.iter().map(|(&node, content)| (node, content)))
    }

    fn standing(&self) -> Standing<'_> {
        standing(&self.picture(), &key(1, "p")).unwrap()
    }

    fn states(&self) -> Vec<BallotState> {
        self.standing().ballots.iter().map(|cast| cast.state).collect()
    }

    fn votes(&self) -> (u32, u32) {
        let votes = self.standing().tally.votes;
        (votes["a"], votes["b"])
    }
}

#[test]
fn the_highest_number_of_each_voter_counts_while_open() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(1, 1, 1, "a");
    meeting.cast(2, 1, 1, "a");
    meeting.cast(2, 2, 1, "b");
    meeting.cast(3, 1, 1, "b");
    let expected = [BallotState::Counts, BallotState::Replaced, BallotState::Counts, BallotState::Counts];
    assert_eq!(meeting.states(), expected);
    assert_eq!(meeting.votes(), (1, 2));
    let standing = meeting.standing();
    let closed = standing.close(9, Cause::Asker);
    let named: Vec<BallotKey> = closed.ballots().map(|(key, _)| key).collect();
    assert_eq!(named, [ballot_key(1, "asker", 1), ballot_key(2, "coder", 2), ballot_key(3, "tester", 1)]);
    assert_eq!((closed.eligible, standing.silent().count()), (3, 0));
}

#[test]
fn ballots_for_another_revision_or_no_option_do_not_count() {
    let mut meeting = Meeting::asking(Proposal { revision: 2, ..proposal(&["a", "b"]) });
    meeting.cast(1, 1, 1, "a");
    meeting.cast(2, 1, 2, "a");
    meeting.cast(2, 2, 2, "c");
    meeting.cast(3, 1, 3, "a");
    let expected =
        [BallotState::OtherRevision, BallotState::Replaced, BallotState::NotAnOption, BallotState::OtherRevision];
    assert_eq!(meeting.states(), expected);
    assert_eq!(meeting.votes(), (0, 0));
    assert!(meeting.standing().close(9, Cause::Asker).counted.is_empty());
}

#[test]
fn an_answer_that_was_taken_back_does_not_count_and_neither_does_the_one_before() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, 1, 1, "a");
    meeting.put(2, 2, Ballot { choices: Vec::new(), ..ballot(1, "") });
    assert_eq!(meeting.states(), [BallotState::Replaced, BallotState::Withdrawn]);
    assert_eq!(meeting.standing().tally.outcome, Outcome::Empty);
    meeting.cast(2, 3, 1, "b");
    assert_eq!(meeting.votes(), (0, 1));
}

#[test]
fn only_those_who_are_asked_count() {
    for electorate in [Electorate::People, Electorate::Agents(vec![AgentId { node: node(1), name: agent("asker") }])] {
        let mut meeting = Meeting::under(Rules { electorate, ..Rules::default() });
        meeting.cast(1, 1, 1, "a");
        meeting.cast(2, 1, 1, "b");
        assert_eq!(meeting.states(), [BallotState::Counts, BallotState::NotAsked]);
        let standing = meeting.standing();
        assert_eq!((standing.electorate.len(), standing.is_settled()), (1, true));
    }
}

#[test]
fn the_closing_entry_decides_for_ever() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(1, 1, 1, "a");
    meeting.cast(2, 1, 1, "a");
    let closing = meeting.standing().close(9, Cause::Asker);
    meeting.close(closing);
    let before = meeting.standing().tally;
    meeting.cast(2, 2, 1, "b");
    meeting.cast(3, 1, 1, "b");
    assert_eq!(meeting.standing().tally, before);
    assert_eq!((meeting.votes(), before.winner.as_deref()), ((2, 0), Some("a")));
    let late = BallotState::Late;
    assert_eq!(meeting.states(), [BallotState::Counts, BallotState::Counts, late, late]);
    assert!(!meeting.standing().is_open() && meeting.standing().missing.is_empty());
}

#[test]
fn a_voter_who_rewrites_a_counted_ballot_changes_nothing_and_is_seen_to() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, 1, 1, "a");
    let closing = meeting.standing().close(9, Cause::Asker);
    meeting.close(closing);
    meeting.cast(2, 1, 1, "b");
    assert_eq!((meeting.states(), meeting.votes()), (vec![BallotState::Disputed], (1, 0)));
    meeting.0.get_mut(&node(2)).unwrap().ballots.clear();
    assert_eq!((meeting.standing().missing, meeting.votes()), (vec![ballot_key(2, "coder", 1)], (1, 0)));
}

#[test]
fn an_asker_who_counts_what_nobody_cast_is_seen_to() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, 1, 1, "b");
    meeting.close(closing(9, [ballot_key(2, "coder", 1), ballot_key(3, "tester", 4)]));
    assert_eq!(meeting.states(), [BallotState::Disputed]);
    assert_eq!(meeting.standing().missing, [ballot_key(3, "tester", 4)]);
}

#[test]
fn a_question_that_was_taken_back_has_no_result() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, 1, 1, "b");
    let closing = meeting.standing().close(9, Cause::Withdrawn);
    meeting.close(closing);
    let tally = meeting.standing().tally;
    assert_eq!((tally.winner, tally.outcome), (None, Outcome::Withdrawn));
}

#[test]
fn voting_opens_when_all_have_seen_the_current_revision_or_time_is_up() {
    let rules = Rules { acknowledge_until: Some(50), deadline: Some(90), ..Rules::default() };
    let mut meeting = Meeting::asking(Proposal { rules, revision: 2, ..proposal(&["a", "b"]) });
    let waiting = |meeting: &Meeting| meeting.standing().waiting().map(|agent| agent.name.to_string()).collect();
    assert_eq!(meeting.standing().phase(10), Phase::Acknowledging(50));
    assert_eq!(meeting.standing().phase(50), Phase::Open);
    assert_eq!(meeting.standing().phase(90), Phase::Overdue);
    meeting.see(2, 1);
    meeting.see(3, 2);
    let names: Vec<String> = waiting(&meeting);
    assert_eq!((meeting.standing().phase(10), names), (Phase::Acknowledging(50), vec!["coder".to_owned()]));
    meeting.see(2, 2);
    assert_eq!(meeting.standing().phase(10), Phase::Open);
    let closing = meeting.standing().close(9, Cause::Asker);
    meeting.close(closing);
    assert_eq!(meeting.standing().phase(95), Phase::Closed);
}

#[test]
fn a_vote_of_all_counts_those_who_are_silent() {
    let rules = Rules { mechanism: Mechanism::Vote, of: fedp2p_protocols::vote::Base::Electorate, ..Rules::default() };
    let mut meeting = Meeting::under(rules);
    meeting.cast(1, 1, 1, "a");
    assert_eq!(meeting.standing().tally.outcome, Outcome::Short { votes: 1, needed: 2 });
    assert!(!meeting.standing().is_settled());
    meeting.cast(2, 1, 1, "a");
    assert_eq!(meeting.standing().tally.winner.as_deref(), Some("a"));
    assert!(meeting.standing().is_settled());
}

#[test]
fn a_proposal_that_nobody_made_has_no_standing() {
    let meeting = Meeting::asking(proposal(&["a", "b"]));
    assert!(standing(&meeting.picture(), &key(2, "p")).is_none());
    assert!(standing(&meeting.picture(), &key(9, "p")).is_none());
}
