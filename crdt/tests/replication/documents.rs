//! Single documents: what one edit writes, what cannot be written, epochs, and how others read the result.

use automerge::{Automerge, ReadDoc, Value};
use fedp2p_crdt::content::{Content, Edit, Entry, Invalid, Place, Said, SeenPlace};
use fedp2p_crdt::document::{Document, DocumentId, WriteError, merged};
use fedp2p_crdt::gate::Refusal;
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_EPOCH_CHANGES};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{AgentId, BallotKey, Electorate, Proposal, Rules, Seen};

use crate::edits::{
    agent, ballot, ballot_key, cast, closing, id, key, node, place, proposal, propose, register, replica, reread, said,
    say, written,
};

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
    let edit = propose("p", proposal(&["OAuth2", "JWT"]));
    let first = written(1, &[register("asker"), say("asker", "EXECUTING", 9), edit]);
    let second = written(2, &[register("coder"), cast(key(1, "p"), "coder", 1, ballot(1, "JWT"))]);
    let plain = Automerge::load(&merged([&first, &second]).unwrap()).unwrap();
    let (one, two) = (node(1).to_string(), node(2).to_string());
    let text = |path: &[&str]| look(&plain, path).and_then(|value| Some(value.as_str()?.to_owned()));
    assert_eq!(text(&["nodes", &one, "agents", "asker", "said", "pulse", "action"]).as_deref(), Some("EXECUTING"));
    assert_eq!(text(&["nodes", &one, "proposals", "p", "options", "01"]).as_deref(), Some("JWT"));
    let path = ["nodes", &two, "ballots", &one, "p", "coder", "1"];
    assert_eq!(text(&[&path[..], &["choices", "00"]].concat()).as_deref(), Some("JWT"));
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
    let edit = |action, at| said("coder", pulse(action), at);
    let mut document = written(1, &[register("coder"), edit("WAITING", 1)]);
    assert_eq!(document.write(&[edit("WAITING", 1)], 2_000).unwrap(), None);
    let change = document.write(&[edit("EXECUTING", 2)], 2_000).unwrap().unwrap();
    assert!(change.len() < 200, "{} bytes", change.len());
    let stands = document.content().agents[&agent("coder")].said.clone();
    assert_eq!(stands, Some(Said { pulse: pulse("EXECUTING"), at: 2 }));
    document.write(&[said("coder", Pulse::default(), 3)], 3_000).unwrap();
    let stands = document.content().agents[&agent("coder")].said.clone();
    assert_eq!(stands, Some(Said { pulse: Pulse::default(), at: 3 }));
    assert_eq!(&reread(&document), document.content());
}

fn closed(counted: Vec<BallotKey>) -> Edit {
    propose("p", Proposal { closed: Some(closing(1, counted)), ..proposal(&["a", "b"]) })
}

fn answer(choice: &str) -> Edit {
    cast(key(1, "p"), "coder", 1, ballot(1, choice))
}

/// A document with one agent, one ballot, and one closed proposal.
fn decided() -> Document {
    let document = written(1, &[register("coder"), propose("p", proposal(&["a", "b"])), answer("a"), closed(vec![])]);
    assert!(document.content().proposals["p"].closed.is_some());
    document
}

fn agent_id(number: u8, name: &str) -> AgentId {
    AgentId { node: node(number), name: agent(name) }
}

fn with_electorate(agents: Vec<AgentId>) -> Edit {
    let mut proposal = proposal(&["a", "b"]);
    proposal.rules.electorate = Electorate::Agents(agents);
    propose("q", proposal)
}

#[test]
fn the_largest_proposal_fits_in_one_change() {
    let electorate = (0..100).map(|at| agent_id(at, &format!("voter-{at}"))).collect();
    let mut proposal = proposal(&["a"]);
    proposal.rules = Rules { electorate: Electorate::Agents(electorate), deadline: Some(9), ..Rules::default() };
    proposal.question = "q".repeat(2_048);
    proposal.options = (0..32).map(|option| format!("{option:02}").repeat(128)).collect();
    let document = written(1, &[propose("q", proposal.clone())]);
    assert_eq!(document.content().proposals["q"], proposal);
}

#[test]
fn records_over_a_limit_are_refused_and_change_nothing() {
    let with = |edit: fn(&mut Proposal)| {
        let mut proposal = proposal(&["a", "b"]);
        edit(&mut proposal);
        propose("q", proposal)
    };
    let mut document = decided();
    let before = (document.content().clone(), document.save().unwrap());
    let mut refused = |edit: Edit| match document.write(&[register("other"), edit], 1) {
        Err(WriteError::Invalid(invalid)) => Some(invalid),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(refused(with(|p| p.options = vec!["a".to_owned(); 2])), Some(Invalid::Options));
    assert_eq!(refused(with(|p| p.options.clear())), Some(Invalid::Options));
    assert_eq!(refused(with(|p| p.options[0].clear())), Some(Invalid::Option));
    assert_eq!(refused(with(|p| p.question = "x".repeat(2_049))), Some(Invalid::Question));
    assert_eq!(refused(with(|p| p.revision = 0)), Some(Invalid::Revision));
    assert_eq!(refused(propose("", proposal(&["a"]))), Some(Invalid::Key));
    assert_eq!(refused(cast(key(1, "p"), "coder", 0, ballot(1, "a"))), Some(Invalid::Key));
    let many = (0..4_097).map(|number| ballot_key(1, &format!("voter-{number}"), 1));
    let counted = Proposal { closed: Some(closing(1, many)), ..proposal(&["a"]) };
    assert_eq!(refused(propose("q", counted)), Some(Invalid::TooManyCounted));
    let two = agent_id(1, "coder");
    let asked = |agents| with_electorate(agents);
    assert_eq!(refused(asked(vec![])), Some(Invalid::Electorate));
    assert_eq!(refused(asked(vec![two.clone(), two])), Some(Invalid::Electorate));
    let mut beyond = closing(1, [ballot_key(1, "coder", 1)]);
    beyond.counted.values_mut().flat_map(|voters| voters.values_mut()).for_each(|counted| counted.choices = vec![2]);
    let counted = Proposal { closed: Some(beyond), ..proposal(&["a", "b"]) };
    assert_eq!(refused(propose("q", counted)), Some(Invalid::Counted));
    assert!(matches!(refused(say("coder", &"x".repeat(1_025), 1)), Some(Invalid::Pulse(_))));
    assert_eq!((document.content().clone(), document.save().unwrap()), before);
}

#[test]
fn what_was_decided_or_cast_does_not_change() {
    let mut document = decided();
    let before = (document.content().clone(), document.save().unwrap());
    let mut refused = |edit: Edit| match document.write(&[edit], 1) {
        Err(WriteError::Invalid(invalid)) => Some(invalid),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(refused(closed(vec![ballot_key(1, "coder", 1)])), Some(Invalid::Closed));
    assert_eq!(refused(propose("p", proposal(&["a", "b"]))), Some(Invalid::Closed));
    assert_eq!(refused(answer("b")), Some(Invalid::Cast));
    assert!(matches!(document.write(&[], u64::MAX), Err(WriteError::Time)));
    assert_eq!(document.write(&[answer("a"), closed(vec![])], 1).unwrap(), None);
    assert_eq!((document.content().clone(), document.save().unwrap()), before);
}

#[test]
fn what_is_removed_is_gone_everywhere() {
    let mut document = decided();
    let nothing = Edit::Remove(Place::Proposal("none".to_owned()));
    assert_eq!(document.write(&[nothing], 1).unwrap(), None);
    let ballot = Edit::Remove(Place::Ballot(place(key(1, "p"), "coder", 1)));
    document.write(&[ballot, Edit::Remove(Place::Proposal("p".to_owned()))], 1).unwrap().unwrap();
    assert!(document.content().proposals.is_empty() && document.content().ballots.is_empty());
    assert_eq!(document.content().agents.len(), 1);
    assert_eq!(replica(&document).content(), document.content());
    assert_eq!(&reread(&document), document.content());
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
fn an_epoch_is_worn_by_saying_the_same_things_again_and_not_by_saying_much() {
    let mut small = Document::new(id(1));
    small.write(&[register("coder")], 1).unwrap();
    let worn_at = (1..MAX_EPOCH_CHANGES).find(|&at| {
        small.write(&[say("coder", &format!("step {at}"), at)], 1).unwrap().unwrap();
        small.is_worn()
    });
    assert!(worn_at.is_some_and(|at| (16..80).contains(&at)), "{worn_at:?}");
    let (again, _) = Document::restate(DocumentId { epoch: 1, ..id(1) }, small.content(), 1).unwrap();
    assert!(!again.is_worn());

    let mut large = Document::new(id(1));
    for at in 0..MAX_EPOCH_CHANGES {
        large.write(&[say(&format!("agent-{at}"), "step", at)], 1).unwrap().unwrap();
        assert!(!large.is_worn(), "after {at} changes");
    }
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
        content.ballots.insert(place(key(3, "p"), name.as_str(), 1), ballot(1, &"c".repeat(256)));
    }
    // So many voters that the closing entry hardly fits in a change.
    let counted = (0..20u8).flat_map(|at| (0..8).map(move |voter| ballot_key(at, &format!("voter-{voter:02}"), 1)));
    let mut decided = proposal(&["a"; 1]);
    decided.question = "q".repeat(2_048);
    decided.options = (0..32).map(|option| format!("{option:02}").repeat(128)).collect();
    decided.closed = Some(closing(1, counted));
    content.proposals.insert("p".to_owned(), decided);
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

fn seen(revision: u32) -> Edit {
    let place = SeenPlace { proposal: key(2, "p"), agent: agent("coder") };
    Entry::Seen(place, Seen { revision, asked: ballot(revision, "a").asked, at: 1 }).into()
}

#[test]
fn the_digest_sees_every_part_of_the_picture() {
    let base = [
        register("coder"),
        say("coder", "x", 1),
        propose("p", proposal(&["a", "b"])),
        cast(key(2, "p"), "coder", 1, ballot(1, "a")),
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
        digest(1, &[closed(vec![])]),
        digest(1, &[cast(key(2, "p"), "coder", 2, ballot(1, "a"))]),
        digest(1, &[cast(key(2, "p"), "coder", 2, reasoned)]),
        digest(1, &[seen(1)]),
        digest(1, &[seen(2)]),
        Picture::of([]).digest(),
    ];
    let distinct: std::collections::BTreeSet<_> = different.iter().collect();
    assert_eq!(distinct.len(), different.len());
}

#[test]
fn the_digest_of_a_known_picture_never_changes() {
    let document = written(1, &[register("coder"), say("coder", "x", 1), propose("p", proposal(&["a", "b"]))]);
    let digest = Picture::of([(document.id().node, document.content())]).digest();
    assert_eq!(fedp2p_protocols::id::base32(&digest), "sz4f2gd7mhyklebgywt4t4ksn6nb7qqgbzd45l2yrx6e2dghlbvq");
}
