//! Documents, values and random edits for the tests.

use fedp2p_crdt::content::{Content, Edit};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{AgentId, Ballot, BallotKey, Closing, Mechanism, Proposal, ProposalKey};
use proptest::prelude::*;

pub(crate) fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

pub(crate) fn id(number: u8) -> DocumentId {
    DocumentId {
        node: node(number),
        log: LogId::from_bytes([number; 16]),
        conversation: ConversationId::from_bytes([9; 16]),
        epoch: 0,
    }
}

pub(crate) fn agent(name: &str) -> AgentName {
    name.parse().unwrap()
}

pub(crate) fn register(name: &str) -> Edit {
    Edit::Register { agent: agent(name), kind: AgentKind::Ai }
}

pub(crate) fn say(name: &str, action: &str, at: u64) -> Edit {
    let pulse = Pulse { action: Some(action.to_owned()), ..Pulse::default() };
    Edit::Say { agent: agent(name), pulse, at }
}

pub(crate) fn proposal(options: &[&str]) -> Proposal {
    Proposal {
        by: agent("asker"),
        question: "which one?".to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        mechanism: Mechanism::Poll,
        revision: 1,
        opened: 5,
        closed: None,
    }
}

pub(crate) fn key(number: u8, id: &str) -> ProposalKey {
    ProposalKey { node: node(number), id: id.to_owned() }
}

pub(crate) fn ballot(revision: u32, choice: &str) -> Ballot {
    Ballot { revision, choice: choice.to_owned(), reason: None, at: 7 }
}

pub(crate) fn ballot_key(number: u8, voter: &str, ballot: u32) -> BallotKey {
    BallotKey { voter: AgentId { node: node(number), name: agent(voter) }, number: ballot }
}

/// A new document that says what the edits say.
pub(crate) fn written(number: u8, edits: &[Edit]) -> Document {
    let mut document = Document::new(id(number));
    document.write(edits, 1_000).unwrap();
    document
}

/// A replica that admits all changes of `document` one by one.
pub(crate) fn replica(document: &Document) -> Document {
    let mut replica = Document::new(document.id());
    for change in document.raw_changes() {
        replica.admit(&change).unwrap();
    }
    replica
}

/// Reads a document as a whole, by restoring it.
pub(crate) fn reread(document: &Document) -> Content {
    let raw = document.raw_changes();
    Document::restore(document.id(), raw.iter().map(Vec::as_slice)).unwrap().content().clone()
}

fn names() -> impl Strategy<Value = AgentName> {
    prop::sample::select(vec!["asker", "coder", "tester"]).prop_map(agent)
}

fn ids() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["p", "q", "a/b c", "日本"]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["", "a", "b\n", "🦀"]).prop_map(str::to_owned))
}

fn pulses() -> impl Strategy<Value = Pulse> {
    (texts(), texts(), texts(), texts(), texts(), texts()).prop_map(
        |(summary, action, thinking, wondering, offering, status)| Pulse {
            summary,
            action,
            thinking,
            wondering,
            offering,
            status,
        },
    )
}

fn closings() -> impl Strategy<Value = Closing> {
    let voters = prop::collection::btree_map((0u8..4, names()), 1u32..4, 0..5);
    (0u64..9, voters).prop_map(|(at, voters)| Closing {
        at,
        counted: voters
            .into_iter()
            .rev()
            .map(|((number, name), ballot)| ballot_key(number, name.as_str(), ballot))
            .collect(),
    })
}

fn proposals() -> impl Strategy<Value = Proposal> {
    let options = prop::collection::btree_set("[a-z]{1,3}", 1..12);
    (names(), options, 1u32..4, 0u64..9, prop::option::of(closings())).prop_map(
        |(by, options, revision, opened, closed)| Proposal {
            by,
            question: format!("question {revision}?"),
            options: options.into_iter().rev().collect(),
            mechanism: Mechanism::Poll,
            revision,
            opened,
            closed,
        },
    )
}

fn ballots() -> impl Strategy<Value = Ballot> {
    (1u32..4, "[a-z]{1,3}", texts(), any::<u64>()).prop_map(|(revision, choice, reason, at)| Ballot {
        revision,
        choice,
        reason,
        at,
    })
}

/// One random edit; some cannot be written.
pub(crate) fn edits() -> impl Strategy<Value = Edit> {
    let kinds = prop::sample::select(vec![AgentKind::Person, AgentKind::Ai]);
    prop_oneof![
        2 => (names(), kinds).prop_map(|(agent, kind)| Edit::Register { agent, kind }),
        4 => (names(), pulses(), any::<u64>()).prop_map(|(agent, pulse, at)| Edit::Say { agent, pulse, at }),
        2 => (ids(), proposals()).prop_map(|(id, proposal)| Edit::Propose { id, proposal }),
        1 => (ids(), closings()).prop_map(|(id, closing)| Edit::Close { id, closing }),
        3 => (0u8..3, ids(), names(), 1u32..4, ballots()).prop_map(|(number, id, voter, ballot, cast)| {
            Edit::Cast { proposal: key(number, &id), voter, number: ballot, ballot: cast }
        }),
    ]
}
