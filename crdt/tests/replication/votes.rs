//! Which ballots count, before and after a proposal is closed.

use std::collections::BTreeMap;

use fedp2p_crdt::content::Content;
use fedp2p_crdt::picture::{BallotState, Picture, countable, standing};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::vote::{Closing, Proposal};

use crate::edits::{agent, ballot, ballot_key, key, node, proposal};

/// Three nodes; the first asks.
struct Meeting(BTreeMap<NodeId, Content>);

impl Meeting {
    fn asking(proposal: Proposal) -> Self {
        let mut contents: BTreeMap<_, _> = (1..=3).map(|at| (node(at), Content::default())).collect();
        contents.get_mut(&node(1)).unwrap().proposals.insert("p".to_owned(), proposal);
        Self(contents)
    }

    fn cast(&mut self, at: u8, voter: &str, number: u32, revision: u32, choice: &str) {
        let voters = self.0.get_mut(&node(at)).unwrap().ballots.entry(key(1, "p")).or_default();
        voters.entry(agent(voter)).or_default().insert(number, ballot(revision, choice));
    }

    fn close(&mut self, counted: Vec<fedp2p_protocols::vote::BallotKey>) {
        let proposal = self.0.get_mut(&node(1)).unwrap().proposals.get_mut("p").unwrap();
        proposal.closed = Some(Closing { at: 9, counted });
    }

    fn picture(&self) -> Picture<'_> {
        Picture::of(self.0.iter().map(|(&node, content)| (node, content)))
    }

    fn states(&self) -> Vec<BallotState> {
        let standing = standing(&self.picture(), &key(1, "p")).unwrap();
        standing.ballots.iter().map(|cast| cast.state).collect()
    }

    fn votes(&self) -> BTreeMap<String, u32> {
        standing(&self.picture(), &key(1, "p")).unwrap().tally.votes
    }
}

fn votes(a: u32, b: u32) -> BTreeMap<String, u32> {
    [("a".to_owned(), a), ("b".to_owned(), b)].into()
}

#[test]
fn the_highest_number_of_each_voter_counts_while_open() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(1, "asker", 1, 1, "a");
    meeting.cast(2, "coder", 1, 1, "a");
    meeting.cast(2, "coder", 2, 1, "b");
    meeting.cast(3, "coder", 1, 1, "b");
    let expected = [BallotState::Counts, BallotState::Replaced, BallotState::Counts, BallotState::Counts];
    assert_eq!(meeting.states(), expected);
    assert_eq!(meeting.votes(), votes(1, 2));
    let counted = [ballot_key(1, "asker", 1), ballot_key(2, "coder", 2), ballot_key(3, "coder", 1)];
    assert_eq!(countable(&meeting.picture(), &key(1, "p")), counted);
}

#[test]
fn ballots_for_another_revision_or_no_option_do_not_count() {
    let mut meeting = Meeting::asking(Proposal { revision: 2, ..proposal(&["a", "b"]) });
    meeting.cast(1, "asker", 1, 1, "a");
    meeting.cast(2, "coder", 1, 2, "a");
    meeting.cast(2, "coder", 2, 2, "c");
    meeting.cast(3, "coder", 1, 3, "a");
    let expected =
        [BallotState::OtherRevision, BallotState::Replaced, BallotState::NotAnOption, BallotState::OtherRevision];
    assert_eq!(meeting.states(), expected);
    assert_eq!(meeting.votes(), votes(0, 0));
    assert!(countable(&meeting.picture(), &key(1, "p")).is_empty());
}

#[test]
fn the_closing_entry_decides_for_ever() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(1, "asker", 1, 1, "a");
    meeting.cast(2, "coder", 1, 1, "a");
    let counted = countable(&meeting.picture(), &key(1, "p"));
    meeting.close(counted.clone());
    let before = meeting.votes();
    meeting.cast(2, "coder", 2, 1, "b");
    meeting.cast(3, "late", 1, 1, "b");
    meeting.cast(3, "later", 1, 1, "b");
    assert_eq!(meeting.votes(), before);
    assert_eq!(meeting.votes(), votes(2, 0));
    let late = BallotState::Late;
    assert_eq!(meeting.states(), [BallotState::Counts, BallotState::Counts, late, late, late]);
    let picture = meeting.picture();
    let standing = standing(&picture, &key(1, "p")).unwrap();
    assert!(!standing.is_open() && standing.missing.is_empty());
    assert_eq!(standing.tally.winner.as_deref(), Some("a"));
}

#[test]
fn a_closed_proposal_counts_an_earlier_ballot_that_it_names() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, "coder", 1, 1, "a");
    meeting.cast(2, "coder", 2, 1, "b");
    meeting.cast(2, "coder", 3, 1, "a");
    meeting.close(vec![ballot_key(2, "coder", 2)]);
    let expected = [BallotState::Replaced, BallotState::Counts, BallotState::Late];
    assert_eq!(meeting.states(), expected);
    assert_eq!(meeting.votes(), votes(0, 1));
}

#[test]
fn a_closing_entry_cannot_make_an_invalid_ballot_count() {
    let mut meeting = Meeting::asking(proposal(&["a", "b"]));
    meeting.cast(2, "coder", 1, 2, "a");
    meeting.cast(3, "coder", 1, 1, "c");
    meeting.close(vec![ballot_key(2, "coder", 1), ballot_key(3, "coder", 1), ballot_key(3, "gone", 4)]);
    assert_eq!(meeting.states(), [BallotState::OtherRevision, BallotState::NotAnOption]);
    assert_eq!(meeting.votes(), votes(0, 0));
    let picture = meeting.picture();
    let standing = standing(&picture, &key(1, "p")).unwrap();
    assert_eq!(standing.missing, [ballot_key(3, "gone", 4)]);
}

#[test]
fn a_proposal_that_nobody_made_has_no_standing() {
    let meeting = Meeting::asking(proposal(&["a", "b"]));
    assert!(standing(&meeting.picture(), &key(2, "p")).is_none());
    assert!(standing(&meeting.picture(), &key(9, "p")).is_none());
    assert!(countable(&meeting.picture(), &key(2, "p")).is_empty());
}
