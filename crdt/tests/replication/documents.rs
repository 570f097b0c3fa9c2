//! Single documents: what one edit writes, what cannot be written, epochs, and how others read the result.

use automerge::{Automerge, ReadDoc, Value};
use fedp2p_crdt::content::{Content, Edit, Invalid, Said};
use fedp2p_crdt::document::{Document, DocumentId, WriteError, merged};
use fedp2p_crdt::gate::Refusal;
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_EPOCH_CHANGES};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{BallotKey, Closing, Proposal};

use crate::edits::{agent, ballot, ballot_key, id, key, node, proposal, register, replica, reread, say, written};

/// Follows map keys from the root of a plain Automerge document.
fn look(document: &Automerge, path: &[&str]) -> Option<Value<'static>> {
    let mut at = automerge::ROOT;
    let mut value = None;
    for key in path {
        let (found, id) = document.get(&at, *key).unwrap()?;
        (value, at) = (Some(found.to_owned()), id);
    }
    value
}

#[test]
fn merged_documents_are_one_ordinary_automerge_document() {
    let edit = Edit::Propose { id: "p".to_owned(), proposal: proposal(&["OAuth2", "JWT"]) };
    let first = written(1, &[register("asker"), say("asker", "EXECUTING", 9), edit]);
    let cast = Edit::Cast { proposal: key(1, "p"), voter: agent("coder"), number: 1, ballot: ballot(1, "JWT") };
    let second = written(2, &[register("coder"), cast]);
    let plain = Automerge::load(&merged([&first, &second]).unwrap()).unwrap();
    let (one, two) = (node(1).to_string(), node(2).to_string());
    let text = |path: &[&str]| look(&plain, path).and_then(|value| Some(value.as_str()?.to_owned()));
    assert_eq!(text(&["nodes", &one, "agents", "asker", "action"]).as_deref(), Some("EXECUTING"));
    assert_eq!(text(&["nodes", &one, "proposals", "p", "options", "01"]).as_deref(), Some("JWT"));
    let path = ["nodes", &two, "ballots", &one, "p", "coder", "1"];
    assert_eq!(text(&[&path[..], &["choice"]].concat()).as_deref(), Some("JWT"));
    let number = look(&plain, &[&path[..], &["revision"]].concat()).unwrap().as_u64();
    assert_eq!(number, Some(1));
    assert_eq!(plain.keys(automerge::ROOT).collect::<Vec<_>>(), ["nodes"]);
}

#[test]
fn a_pulse_writes_only_the_fields_that_differ() {
    let pulse = |action: &str| Pulse {
        summary: Some("a long text that stays the same".repeat(9)),
        action: Some(action.to_owned()),
        thinking: Some("so".to_owned()),
        ..Pulse::default()
    };
    let edit = |action, at| Edit::Say { agent: agent("coder"), pulse: pulse(action), at };
    let mut document = written(1, &[register("coder"), edit("WAITING", 1)]);
    assert_eq!(document.write(&[edit("WAITING", 1)], 2_000).unwrap(), None);
    let change = document.write(&[edit("EXECUTING", 2)], 2_000).unwrap().unwrap();
    assert!(change.len() < 200, "{} bytes", change.len());
    let said = document.content().agents[&agent("coder")].said.clone();
    assert_eq!(said, Some(Said { pulse: pulse("EXECUTING"), at: 2 }));
    let nothing = Edit::Say { agent: agent("coder"), pulse: Pulse::default(), at: 3 };
    document.write(&[nothing], 3_000).unwrap();
    let said = document.content().agents[&agent("coder")].said.clone();
    assert_eq!(said, Some(Said { pulse: Pulse::default(), at: 3 }));
    assert_eq!(&reread(&document), document.content());
}

fn closing(counted: Vec<BallotKey>) -> Closing {
    Closing { at: 1, counted }
}

fn close(counted: Vec<BallotKey>) -> Edit {
    Edit::Close { id: "p".to_owned(), closing: closing(counted) }
}

fn cast(choice: &str) -> Edit {
    Edit::Cast { proposal: key(1, "p"), voter: agent("coder"), number: 1, ballot: ballot(1, choice) }
}

/// A document with one agent, one ballot, and one closed proposal.
fn decided() -> Document {
    let open = Edit::Propose { id: "p".to_owned(), proposal: proposal(&["a", "b"]) };
    let document = written(1, &[register("coder"), open, cast("a"), close(vec![])]);
    assert!(document.content().proposals["p"].closed.is_some());
    document
}

#[test]
fn edits_over_a_limit_are_refused_and_change_nothing() {
    let propose = |edit: fn(&mut Proposal)| {
        let mut proposal = proposal(&["a", "b"]);
        edit(&mut proposal);
        Edit::Propose { id: "q".to_owned(), proposal }
    };
    let mut document = decided();
    let before = (document.content().clone(), document.save().unwrap());
    let mut refused = |edit: Edit| match document.write(&[register("other"), edit], 1) {
        Err(WriteError::Invalid(invalid)) => Some(invalid),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(refused(propose(|p| p.options = vec!["a".to_owned(); 2])), Some(Invalid::Options));
    assert_eq!(refused(propose(|p| p.options.clear())), Some(Invalid::Options));
    assert_eq!(refused(propose(|p| p.options[0].clear())), Some(Invalid::Option));
    assert_eq!(refused(propose(|p| p.question = "x".repeat(2_049))), Some(Invalid::Question));
    assert_eq!(refused(propose(|p| p.revision = 0)), Some(Invalid::Revision));
    let unnamed = Edit::Close { id: String::new(), closing: closing(vec![]) };
    assert_eq!(refused(unnamed), Some(Invalid::ProposalId));
    let two = vec![ballot_key(1, "coder", 1), ballot_key(1, "coder", 2)];
    assert_eq!(refused(close(two)), Some(Invalid::TwoBallots));
    let many = vec![ballot_key(1, "coder", 1); 4_097];
    assert_eq!(refused(close(many)), Some(Invalid::TooManyCounted));
    assert!(matches!(refused(say("coder", &"x".repeat(1_025), 1)), Some(Invalid::Pulse(_))));
    assert_eq!((document.content().clone(), document.save().unwrap()), before);
}

#[test]
fn edits_that_contradict_the_document_are_refused_and_change_nothing() {
    let mut document = decided();
    let before = (document.content().clone(), document.save().unwrap());
    let mut write = |edit: Edit| document.write(&[edit], 1).unwrap_err();
    assert!(matches!(write(say("stranger", "x", 1)), WriteError::UnknownAgent(_)));
    let unknown = Edit::Close { id: "none".to_owned(), closing: closing(vec![]) };
    assert!(matches!(write(unknown), WriteError::UnknownProposal(_)));
    let other = vec![ballot_key(1, "coder", 1)];
    assert!(matches!(write(close(other)), WriteError::AlreadyClosed(_)));
    assert!(matches!(write(cast("b")), WriteError::AlreadyCast(1)));
    assert!(matches!(document.write(&[], u64::MAX), Err(WriteError::Time)));
    assert_eq!(document.write(&[cast("a"), close(vec![])], 1).unwrap(), None);
    assert_eq!((document.content().clone(), document.save().unwrap()), before);
}

#[test]
fn edits_that_do_not_fit_in_one_change_are_refused() {
    let mut document = Document::new(id(1));
    let many: Vec<_> = (0..100)
        .flat_map(|number| {
            let name = format!("agent-{number}");
            [register(&name), say(&name, &"x".repeat(1_000), 1)]
        })
        .collect();
    assert!(matches!(document.write(&many, 1), Err(WriteError::TooLarge)));
    assert_eq!(document.content(), &Content::default());
    assert_eq!(document.changes(), 0);
    document.write(&many[..60], 1).unwrap();
}

#[test]
fn a_full_epoch_is_restated_in_a_new_one() {
    let mut document = Document::new(id(1));
    document.write(&[register("coder")], 1).unwrap();
    for at in 1..MAX_EPOCH_CHANGES {
        document.write(&[say("coder", "step", at)], 1).unwrap().unwrap();
    }
    assert!(document.is_full());
    assert!(matches!(document.write(&[say("coder", "one more", 1)], 1), Err(WriteError::EpochFull)));
    let next = DocumentId { epoch: 1, ..id(1) };
    let (mut restated, changes) = Document::restate(next, document.content(), 1).unwrap();
    assert_eq!((restated.content(), changes.len()), (document.content(), 1));
    assert_eq!(Document::new(id(1)).admit(&changes[0]), Err(Refusal::WrongActor));
    restated.write(&[say("coder", "one more", 1)], 1).unwrap().unwrap();
    assert_eq!(replica(&restated).content(), restated.content());
}

#[test]
fn large_contents_are_restated_in_several_small_changes() {
    let mut content = Content::default();
    for number in 0..60 {
        let name = agent(&format!("agent-{number}"));
        let pulse = Pulse { summary: Some("s".repeat(1_024)), ..Pulse::default() };
        let said = Some(Said { pulse, at: number });
        let speaker = fedp2p_crdt::content::Agent { kind: AgentKind::Person, said };
        content.agents.insert(name.clone(), speaker);
        let voters = content.ballots.entry(key(3, "p")).or_default();
        voters.entry(name).or_default().insert(1, ballot(1, &"c".repeat(256)));
    }
    // So many voters that the closing entry hardly fits in a change.
    let counted = (0..20u8).flat_map(|at| (0..40).map(move |voter| ballot_key(at, &format!("voter-{voter:02}"), 1)));
    let mut closed = proposal(&["a"; 1]);
    closed.question = "q".repeat(2_048);
    closed.options = (0..32).map(|option| format!("{option:02}").repeat(128)).collect();
    closed.closed = Some(Closing { at: 1, counted: counted.collect() });
    content.proposals.insert("p".to_owned(), closed);
    let (document, changes) = Document::restate(id(1), &content, 1).unwrap();
    assert_eq!(document.content(), &content);
    assert!(changes.len() > 3);
    assert!(changes.iter().all(|change| change.len() < MAX_CHANGE_BYTES));
    assert_eq!(replica(&document).content(), &content);
}

#[test]
fn restoring_refuses_gaps_strangers_and_broken_bytes() {
    let mut document = written(1, &[register("coder")]);
    document.write(&[say("coder", "x", 1)], 1).unwrap();
    let raw = document.raw_changes();
    let restore = |changes: &[&[u8]]| Document::restore(id(1), changes.iter().copied()).map(|_| ());
    assert_eq!(restore(&[&raw[0], &raw[1]]), Ok(()));
    assert_eq!(restore(&[&raw[1]]), Err(Refusal::NotNext));
    assert_eq!(restore(&[&raw[0], &raw[0]]), Err(Refusal::NotNext));
    let mut broken = raw[0].clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert!(restore(&[&broken]).is_err());
    assert!(Document::restore(id(2), [raw[0].as_slice()]).is_err());
}

#[test]
fn the_digest_sees_every_part_of_the_picture() {
    let base = [
        register("coder"),
        say("coder", "x", 1),
        Edit::Propose { id: "p".to_owned(), proposal: proposal(&["a", "b"]) },
        Edit::Cast { proposal: key(2, "p"), voter: agent("coder"), number: 1, ballot: ballot(1, "a") },
    ];
    let digest = |number: u8, more: &[Edit]| {
        let document = written(number, &[&base[..], more].concat());
        Picture::of([(document.id().node, document.content())]).digest()
    };
    let reasoned = fedp2p_protocols::vote::Ballot { reason: Some(String::new()), ..ballot(1, "a") };
    let different = [
        digest(1, &[]),
        digest(2, &[]),
        digest(1, &[register("d")]),
        digest(1, &[say("coder", "y", 1)]),
        digest(1, &[say("coder", "x", 2)]),
        digest(1, &[Edit::Close { id: "p".to_owned(), closing: Closing { at: 1, counted: vec![] } }]),
        digest(1, &[Edit::Cast { proposal: key(2, "p"), voter: agent("coder"), number: 2, ballot: ballot(1, "a") }]),
        digest(1, &[Edit::Cast { proposal: key(2, "p"), voter: agent("coder"), number: 2, ballot: reasoned }]),
        Picture::of([]).digest(),
    ];
    let distinct: std::collections::BTreeSet<_> = different.iter().collect();
    assert_eq!(distinct.len(), different.len());
}

#[test]
fn the_digest_of_a_known_picture_never_changes() {
    let edit = Edit::Propose { id: "p".to_owned(), proposal: proposal(&["a", "b"]) };
    let document = written(1, &[register("coder"), say("coder", "x", 1), edit]);
    let digest = Picture::of([(document.id().node, document.content())]).digest();
    assert_eq!(fedp2p_protocols::id::base32(&digest), "jho56qjqp62nnifl6mp3qb6a2cxo5at7sc4q77hedlalt4mad74a");
}
