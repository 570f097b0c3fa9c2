//! Documents, values and random edits for the tests.

use fedp2p_crdt::content::{
    Agent, BallotPlace, BidPlace, Content, Edit, Entry, Place, RolePlace, Said, SeenPlace, StatementPlace,
};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::claim::{Acknowledgement, Claim, Confirmation, End, Ended, Fence, Replaced};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, ProposalHash};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::task::{
    Assignee, Award, Bid, Cancellation, Grant, Offer, Priority, State, Statement, Task, TaskKey,
};
use fedp2p_protocols::vote::{
    AgentId, Ballot, BallotKey, Cause, Closing, Counted, Electorate, Mechanism, Proposal, ProposalKey, Rules, Seen,
};
use proptest::prelude::*;

use crate::claims::claim;
use crate::tasks::{task, task_key};

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
    Entry::Agent(agent(name), Agent { kind: AgentKind::Ai, said: None }).into()
}

pub(crate) fn say(name: &str, action: &str, at: u64) -> Edit {
    let pulse = Pulse { action: Some(action.to_owned()), ..Pulse::default() };
    said(name, pulse, at)
}

pub(crate) fn said(name: &str, pulse: Pulse, at: u64) -> Edit {
    Entry::Agent(agent(name), Agent { kind: AgentKind::Ai, said: Some(Said { pulse, at }) }).into()
}

pub(crate) fn propose(id: &str, proposal: Proposal) -> Edit {
    Entry::Proposal(id.to_owned(), proposal).into()
}

pub(crate) fn place(proposal: ProposalKey, voter: &str, number: u32) -> BallotPlace {
    BallotPlace { proposal, voter: agent(voter), number }
}

pub(crate) fn cast(proposal: ProposalKey, voter: &str, number: u32, ballot: Ballot) -> Edit {
    Entry::Ballot(place(proposal, voter, number), ballot).into()
}

pub(crate) fn proposal(options: &[&str]) -> Proposal {
    Proposal {
        by: agent("asker"),
        question: "which one?".to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        rules: Rules::default(),
        revision: 1,
        opened: 5,
        acknowledged: None,
        closed: None,
    }
}

pub(crate) fn key(number: u8, id: &str) -> ProposalKey {
    ProposalKey { node: node(number), id: id.to_owned() }
}

pub(crate) fn ballot(revision: u32, choice: &str) -> Ballot {
    let asked = Proposal { revision, ..proposal(&["a", "b"]) }.hash();
    Ballot { revision, asked, choices: vec![choice.to_owned()], reason: None, proven: false, at: 7 }
}

pub(crate) fn ballot_key(number: u8, voter: &str, ballot: u32) -> BallotKey {
    BallotKey { voter: AgentId { node: node(number), name: agent(voter) }, number: ballot }
}

/// A closing entry that counts these ballots, each for the first option.
pub(crate) fn closing(at: u64, keys: impl IntoIterator<Item = BallotKey>) -> Closing {
    let mut closing = Closing { at, cause: Cause::Asker, eligible: 9, counted: Default::default() };
    for BallotKey { voter, number } in keys {
        let counted = Counted { number, choices: vec![0] };
        closing.counted.entry(voter.node).or_default().insert(voter.name, counted);
    }
    closing
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
    (0u64..9, voters).prop_map(|(at, voters)| {
        let keys = voters.into_iter().map(|((number, name), ballot)| ballot_key(number, name.as_str(), ballot));
        closing(at, keys)
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let mechanisms = vec![Mechanism::Poll, Mechanism::Vote, Mechanism::Approval, Mechanism::Ranked];
    let shares = || prop::option::of(prop::sample::select(vec!["majority", "two-thirds", "3/5"]));
    let parsed = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    let electorates = prop_oneof![
        Just(Electorate::All),
        Just(Electorate::People),
        prop::collection::btree_set((0u8..4, names()), 1..5).prop_map(|agents| {
            let id = |(number, name)| AgentId { node: node(number), name };
            Electorate::Agents(agents.into_iter().map(id).collect())
        }),
    ];
    (prop::sample::select(mechanisms), shares(), shares(), electorates, prop::option::of(0u64..9), any::<bool>())
        .prop_map(move |(mechanism, threshold, quorum, electorate, deadline, early)| Rules {
            mechanism,
            threshold: parsed(threshold),
            quorum: parsed(quorum),
            electorate,
            deadline,
            early,
            ..Rules::default()
        })
}

fn proposals() -> impl Strategy<Value = Proposal> {
    let options = prop::collection::btree_set("[a-z]{1,3}", 1..12);
    let acknowledged = prop::option::of(0u64..9);
    (names(), options, rules(), 1u32..4, 0u64..9, acknowledged, prop::option::of(closings())).prop_map(
        |(by, options, rules, revision, opened, acknowledged, closed)| Proposal {
            by,
            question: format!("question {revision}?"),
            options: options.into_iter().rev().collect(),
            rules,
            revision,
            opened,
            acknowledged,
            closed,
        },
    )
}

fn ballots() -> impl Strategy<Value = Ballot> {
    let choices = prop::collection::vec("[a-z]{1,3}", 0..4);
    (1u32..4, choices, texts(), any::<u64>()).prop_map(|(revision, choices, reason, at)| Ballot {
        asked: ProposalHash::of(&revision.to_be_bytes()),
        revision,
        choices,
        reason,
        proven: at % 2 == 0,
        at,
    })
}

fn places() -> impl Strategy<Value = BallotPlace> {
    (0u8..3, ids(), names(), 1u32..4).prop_map(|(number, id, voter, ballot)| BallotPlace {
        proposal: key(number, &id),
        voter,
        number: ballot,
    })
}

fn claims() -> impl Strategy<Value = Claim> {
    let ends = prop::sample::select(vec![None, Some(End::Released), Some(End::Expired)]);
    (any::<u64>(), 0u32..3, prop::option::of(1u32..4), ends, prop::option::of("[a-z]{1,9}")).prop_map(
        |(salt, renewals, acknowledged, end, why)| Claim {
            salt: salt % 3,
            why,
            replaces: vec![Replaced { fence: Fence { counter: salt, node: node(3) }, renewals }],
            renewals,
            renewed: salt,
            confirmed: acknowledged.map(|acknowledged| Confirmation { acknowledged, members: 3, at: 1 }),
            ended: end.map(|cause| Ended { cause, to: None, at: 2 }),
            ..claim("src/**")
        },
    )
}

fn task_places() -> impl Strategy<Value = TaskKey> {
    (0u8..3, prop::sample::select(vec!["a", "b-c", "9"])).prop_map(|(number, id)| task_key(number, id))
}

fn assignees() -> impl Strategy<Value = Assignee> {
    prop_oneof![
        Just(Assignee::Anyone),
        Just(Assignee::Role("lead".parse().unwrap())),
        (0u8..3, names()).prop_map(|(number, name)| Assignee::Agent(AgentId { node: node(number), name })),
    ]
}

fn tasks() -> impl Strategy<Value = Task> {
    let priorities = prop::sample::select(vec![Priority::Low, Priority::Normal, Priority::High, Priority::Urgent]);
    let after = prop::collection::btree_set(task_places(), 0..4);
    let offers = prop::option::of((prop::option::of(0u64..9), any::<bool>(), prop::option::of((0u8..3, names()))));
    (texts(), after, priorities, assignees(), 1u32..4, offers, prop::option::of(texts())).prop_map(
        |(text, after, priority, to, revision, offer, canceled)| Task {
            text,
            after: after.into_iter().collect(),
            priority,
            to,
            revision,
            attempt: revision,
            offer: offer.map(|(until, auto, award)| Offer {
                until,
                auto,
                award: award.map(|(number, name)| Award {
                    to: AgentId { node: node(number), name },
                    reason: None,
                    at: 1,
                    before: Assignee::Anyone,
                }),
            }),
            canceled: canceled.map(|reason| Cancellation { reason, at: 2 }),
            ..task("title")
        },
    )
}

fn statements() -> impl Strategy<Value = Statement> {
    (prop::sample::select(State::ALL.to_vec()), texts(), texts(), 1u64..9).prop_map(|(state, note, result, fence)| {
        Statement { made: 5, attempt: 1, fence, state, note, result, at: fence }
    })
}

fn work() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (task_places(), tasks()).prop_map(|(key, task)| Entry::Task(key.id, task).into()),
        3 => (task_places(), names(), 1u32..4, statements()).prop_map(|(task, agent, number, said)| {
            Entry::Statement(StatementPlace { task, agent, number }, said).into()
        }),
        2 => (task_places(), names(), prop::option::of(0u32..9), 1u32..4).prop_map(|(task, agent, cost, revision)| {
            let bid = Bid { made: 5, attempt: 1, cost, reason: None, revision, at: 1 };
            Entry::Bid(BidPlace { task, agent }, bid).into()
        }),
        2 => (0u8..3, names(), any::<bool>(), 1u32..4).prop_map(|(number, name, has, revision)| {
            let agent = AgentId { node: node(number), name: name.clone() };
            let place = RolePlace { role: "lead".parse().unwrap(), agent };
            Entry::Role(place, Grant { by: name, has, revision, at: 1 }).into()
        }),
        1 => task_places().prop_map(|key| Edit::Remove(Place::Task(key.id))),
    ]
}

/// One random edit; some cannot be written.
pub(crate) fn edits() -> impl Strategy<Value = Edit> {
    let kinds = prop::sample::select(vec![AgentKind::Person, AgentKind::Ai]);
    let speeches = prop::option::of((pulses(), any::<u64>()).prop_map(|(pulse, at)| Said { pulse, at }));
    prop_oneof![
        5 => (names(), kinds, speeches)
            .prop_map(|(name, kind, said)| Entry::Agent(name, Agent { kind, said }).into()),
        3 => (ids(), proposals()).prop_map(|(id, proposal)| Entry::Proposal(id, proposal).into()),
        3 => (places(), ballots()).prop_map(|(place, ballot)| Entry::Ballot(place, ballot).into()),
        2 => (places(), 1u32..4, any::<u64>()).prop_map(|(place, revision, at)| {
            let place = SeenPlace { proposal: place.proposal, agent: place.voter };
            Entry::Seen(place, Seen { revision, asked: ProposalHash::of(&revision.to_be_bytes()), at }).into()
        }),
        3 => (1u64..4, claims()).prop_map(|(counter, claim)| Entry::Claim(counter, claim).into()),
        2 => (0u8..3, 1u64..4, claims()).prop_map(|(number, counter, claim)| {
            let fence = Fence { counter, node: node(number) };
            Entry::Acknowledged(fence, Acknowledgement { claim: claim.hash(), at: 1 }).into()
        }),
        1 => (1u64..4).prop_map(|counter| Edit::Remove(Place::Claim(counter))),
        6 => work(),
        1 => places().prop_map(|place| Edit::Remove(Place::Ballot(place))),
        1 => ids().prop_map(|id| Edit::Remove(Place::Proposal(id))),
        1 => names().prop_map(|name| Edit::Remove(Place::Agent(name))),
    ]
}
