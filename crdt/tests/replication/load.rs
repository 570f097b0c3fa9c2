//! A document that is as full as it may be can be said again in another epoch, and leaves room there.

use fedp2p_crdt::content::{Agent, BallotPlace, BidPlace, Edit, Entry, Place, RolePlace, SeenPlace, StatementPlace};
use fedp2p_crdt::document::{Document, DocumentId, WriteError};
use fedp2p_crdt::load::BURSTING;
use fedp2p_protocols::attention::{Attention, MAX_THROUGH, Mode, Through};
use fedp2p_protocols::claim::{Acknowledgement, Claim, Fence, Replaced, Resource};
use fedp2p_protocols::id::ProposalHash;
use fedp2p_protocols::limits::{
    MAX_AGENTS, MAX_BALLOTS, MAX_BIDS, MAX_CLAIMS, MAX_EPOCH_CHANGES, MAX_OPEN_QUESTIONS, MAX_ROLES, MAX_SAID,
    MAX_SEEN, MAX_TASK_BYTES, MAX_TASKS,
};
use fedp2p_protocols::pulse::{AgentKind, Attendance};
use fedp2p_protocols::task::{Bid, Grant, State, Statement, Task};
use fedp2p_protocols::vote::{AgentId, Electorate, Proposal, Rules, Seen};
use proptest::prelude::*;

use crate::claims::claim;
use crate::edits::{agent, ballot, edits, id, key, node, proposal, register};
use crate::tasks::{task, task_key};

/// How many changes an epoch has left at least when all is said that may be.
const ROOM: usize = 40;

type MakeEdit = fn(usize) -> Edit;

/// Of each kind as many as there may be, one after the other.
fn kinds() -> Vec<(usize, MakeEdit)> {
    vec![
        (MAX_AGENTS, |n| register(&format!("agent-number-{n}"))),
        (MAX_AGENTS, |n| {
            let through = |other: usize| AgentId { node: node(3), name: agent(&format!("friend-{other}")) };
            let agents = if n < 16 { (0..MAX_THROUGH).map(through).collect() } else { Vec::new() };
            let urgent = Through { agents, ..Through::default() };
            Entry::Attention(agent(&format!("agent-number-{n}")), Attention { mode: Mode::Focus, urgent, at: 1 }).into()
        }),
        (MAX_AGENTS, |n| {
            Entry::Attendance(agent(&format!("agent-number-{n}")), Attendance { here: true, at: 1 }).into()
        }),
        (MAX_OPEN_QUESTIONS, |n| {
            let named =
                (0..if n < 10 { 100 } else { 1 }).map(|other| AgentId { node: node(other), name: agent("coder") });
            let rules = Rules { electorate: Electorate::Agents(named.collect()), ..Rules::default() };
            let asked = Proposal { rules, question: "x".repeat(1000), ..proposal(&["one", "two"]) };
            Entry::Proposal(format!("question-{n}"), asked).into()
        }),
        (MAX_BALLOTS, |n| {
            let place = BallotPlace { proposal: key(n as u8, &format!("q{n}")), voter: agent("coder"), number: 1 };
            Entry::Ballot(place, ballot(1, "one")).into()
        }),
        (MAX_SEEN, |n| {
            let place = SeenPlace { proposal: key(n as u8, &format!("q{n}")), agent: agent("coder") };
            Entry::Seen(place, Seen { revision: 1, asked: ProposalHash::of(b"x"), at: 1 }).into()
        }),
        (MAX_ROLES, |n| {
            let of = AgentId { node: node(n as u8), name: agent("coder") };
            let place = RolePlace { role: format!("role-{n}").parse().unwrap(), agent: of };
            Entry::Role(place, Grant { by: agent("lead"), has: true, revision: 1, at: 1 }).into()
        }),
        (MAX_CLAIMS, |n| {
            let replaced = |at: u64| Replaced { fence: Fence { counter: at, node: node(2) }, renewals: 0 };
            let replaces = (1..if n < 9 { 17 } else { 2 }).map(replaced).collect();
            let resource = Resource::Task(task_key(1, &format!("t{n}")));
            Entry::Claim(n as u64 + 1, Claim { resource, replaces, ..claim("x") }).into()
        }),
        (1_000, |n| {
            let fence = Fence { counter: n as u64 + 1, node: node(n as u8) };
            Entry::Acknowledged(fence, Acknowledgement { claim: claim("x").hash(), at: 1 }).into()
        }),
        (MAX_TASKS, |n| {
            let text = Some("x".repeat(MAX_TASK_BYTES / MAX_TASKS));
            Entry::Task(format!("task-{n}").parse().unwrap(), Task { text, ..task("do it") }).into()
        }),
        (MAX_SAID, |n| {
            let place = StatementPlace { task: task_key(n as u8, &format!("t{n}")), agent: agent("coder"), number: 1 };
            let state = State::Working;
            let said =
                Statement { made: 5, attempt: 1, fence: 1, state, note: Some("x".repeat(90)), result: None, at: 1 };
            Entry::Statement(place, said).into()
        }),
        (MAX_BIDS, |n| {
            let place = BidPlace { task: task_key(n as u8, &format!("t{n}")), agent: agent("coder") };
            let bid = Bid { made: 5, attempt: 1, cost: Some(1), reason: None, revision: 1, at: 1 };
            Entry::Bid(place, bid).into()
        }),
    ]
}

/// Writes what there is room for, in as many epochs as that takes, and returns the document and how much found no room.
fn fill(mut document: Document, edits: impl Iterator<Item = Edit>) -> (Document, usize) {
    let mut refused = 0;
    let edits: Vec<Edit> = edits.collect();
    for together in edits.chunks(8) {
        // One by one where not all of them find room.
        let parts = if document.check_room(together).is_ok() { together.len() } else { 1 };
        for part in together.chunks(parts) {
            match document.check_room(part) {
                Ok(()) => document = write(document, part),
                Err(WriteError::Full) => refused += part.len(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    (document, refused)
}

/// Writes edits, in another epoch if they need one.
fn write(mut document: Document, edits: &[Edit]) -> Document {
    match document.write(edits, 1) {
        Err(WriteError::EpochFull) => {
            document = again(&document).0;
            return write(document, edits);
        }
        // Each fits into a change, if not all of them together.
        Err(WriteError::TooLarge) if edits.len() > 1 => {
            return edits.iter().fold(document, |document, edit| write(document, std::slice::from_ref(edit)));
        }
        written => drop(written.unwrap()),
    }
    document
}

fn again(document: &Document) -> (Document, Vec<Vec<u8>>) {
    let id = DocumentId { epoch: document.id().epoch + 1, ..document.id() };
    Document::restate(id, document.content(), 1).unwrap()
}

fn check_room_left(document: &Document) -> usize {
    let (anew, changes) = again(document);
    assert_eq!(anew.content(), document.content());
    assert!(changes.len() + ROOM <= MAX_EPOCH_CHANGES as usize, "{} changes", changes.len());
    changes.len()
}

#[test]
fn each_kind_alone_can_be_said_again_however_much_there_is_of_it() {
    for (most, edit) in kinds() {
        let (document, _) = fill(Document::new(id(1)), (0..most).map(edit));
        check_room_left(&document);
    }
}

#[test]
fn all_kinds_together_find_no_room_before_they_cannot_be_said_again() {
    // By turns, so that no kind takes the room of all others.
    let kinds = kinds();
    let turns = (0..1_000).flat_map(|n| kinds.iter().filter(move |(most, _)| n < *most).map(move |(_, edit)| edit(n)));
    let (mut document, refused) = fill(Document::new(id(1)), turns);
    assert!(refused > 0);
    let load = document.load();
    assert!(load.is_within(BURSTING), "{load:?}");
    check_room_left(&document);
    // What ends something is written all the same, and what is gone makes room.
    let content = document.content();
    let tasks = content.tasks.keys().cloned().map(Place::Task);
    let gone = tasks.chain(content.ballots.keys().cloned().map(Place::Ballot));
    let gone = gone.chain(content.acknowledged.keys().copied().map(Place::Acknowledged));
    let gone: Vec<Edit> = gone.map(Edit::Remove).collect();
    for edits in gone.chunks(40) {
        document.check_room(edits).unwrap();
        document = write(document, edits);
    }
    document.check_room(&[Entry::Agent(agent("new"), Agent { kind: AgentKind::Ai, said: None }).into()]).unwrap();
}

proptest! {
    #[test]
    fn the_load_is_known_after_every_edit_and_never_too_small(edits in prop::collection::vec(edits(), 0..24)) {
        let mut document = Document::new(id(1));
        document.load();
        for edit in edits {
            drop(document.write(&[edit], 1));
        }
        let changes = document.raw_changes();
        let mut anew = Document::restore(id(1), changes.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(document.load(), anew.load());
        let (mut restated, changes) = again(&document);
        let bytes: usize = changes.iter().map(Vec::len).sum();
        // Beside the records there are their sections, and the heads of the changes.
        prop_assert!(restated.max_op() <= document.load().ops + 16, "{} of {:?}", restated.max_op(), document.load());
        prop_assert!(bytes as u64 <= document.load().bytes + 1024 * (changes.len() as u64 + 1));
        prop_assert_eq!(restated.load(), document.load());
    }
}
