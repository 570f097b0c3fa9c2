//! What one member can cause at the others, and that it ends there.

use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::limits::MAX_LOGS_PER_AUTHOR;
use fedp2p_protocols::op::Op;
use fedp2p_protocols::payload::{Change, Checkpoint};
use fedp2p_protocols::sync::{Head, LogKey};

use super::*;
use crate::documents::{Documents, MAX_EPOCHS};

fn frames_to(world: &World, n: usize, peer: NodeId, wanted: fn(&Frame) -> bool) -> usize {
    world.hosts[n].sent.iter().filter(|(to, frame)| *to == peer && wanted(frame)).count()
}

#[test]
fn a_known_header_under_another_signature_is_not_passed_on() {
    let mut world = World::connected(2);
    let (_, ops) = Scribe::log(2, 3, 1);
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    let mut signature = ops[1].signature();
    signature[9] ^= 1;
    let dressed_up = Op::from_parts(ops[1].header_bytes(), &signature, ops[1].payload()).unwrap();
    assert_eq!(world.gossip(1, 0, dressed_up.bytes()), Verdict::Ignore);
    assert_eq!(world.gossip(1, 0, ops[1].bytes()), Verdict::Accept);
}

#[test]
fn one_log_too_many_holds_up_nobody_who_depends_on_it() {
    let mut world = World::new(3);
    let mut scribe = Scribe::new(3, 4);
    let mut starts = Vec::new();
    for number in 0..=MAX_LOGS_PER_AUTHOR as u128 {
        scribe = Scribe { log: LogId::from_bytes(number.to_be_bytes()), last: None, ..scribe };
        starts.push(scribe.start());
    }
    let later = scribe.message("in one log too many");
    // Each of the two takes another one for the one too many, and only one takes what is written in it.
    for n in [0, 1] {
        world.connect(n, 2);
        world.links.clear();
        let all: Vec<&Verified> = if n == 0 { starts.iter().collect() } else { starts.iter().rev().collect() };
        for part in all.chunks(20) {
            world.push(2, n, part);
        }
        world.push(2, n, &[&later]);
        world.disconnect(n, 2);
    }
    assert!(world.holds(0, &starts[0]) && !world.holds(0, &later));
    assert!(world.holds(1, &later) && !world.holds(1, &starts[0]));
    // What is written now depends on logs that the other one does not have.
    for number in 0..20 {
        world.send(1, &[], &format!("message {number}")).unwrap();
    }
    world.connect(0, 1);
    world.wait(Duration::from_secs(20));
    assert!(!world.holds(0, &later));
    assert_eq!(world.texts(0).len(), 20);
}

#[test]
fn whoever_never_has_anything_of_use_is_asked_ever_more_rarely() {
    let mut world = World::connected(3);
    let (_, ops) = Scribe::log(1, 3, 1);
    let header = ops[0].header();
    let (conversation, key) = (header.conversation, LogKey { author: header.author, log: header.log });
    let head = Head { key, height: 9, head: ops[1].id(), floor: 1 };
    let peer = world.id(1);
    world.links.clear();
    world.hosts[0].sent.clear();
    for _ in 0..40 {
        for frame in [
            Frame::Have { conversation, more: false, heads: vec![head] },
            Frame::Ops { conversation, last: true, ops: Vec::new() },
        ] {
            world.give(0, Input::Frame { peer, frame: frame.encode() });
        }
        world.wait(Duration::from_secs(1));
    }
    let asked = frames_to(&world, 0, peer, |frame| matches!(frame, Frame::Want { .. }));
    assert!((5..=12).contains(&asked), "asked {asked} times");
}

#[test]
fn whoever_answers_an_entry_at_the_edge_is_heard_by_a_clock_behind() {
    let mut world = World::connected(2);
    let (mut scribe, ops) = Scribe::log(2, 3, 0);
    let header = Header { hlc: Hlc::at(WALL_MS + 119_000), ..scribe.header(Kind::Message) };
    let edge = scribe.sign(header, &message("at the edge"));
    world.push(1, 0, &[&ops[0], &edge]);
    assert!(world.holds(0, &edge));
    world.skew_ms = -5_000;
    let answer = scribe.message("after it");
    world.push(1, 0, &[&answer]);
    assert!(world.holds(0, &answer));
    let header = Header { hlc: Hlc::at(WALL_MS + 119_001), ..scribe.header(Kind::Message) };
    let later = scribe.sign(header, &message("later still"));
    world.push(1, 0, &[&later]);
    assert!(!world.holds(0, &later));
}

#[test]
fn a_node_that_sends_nothing_of_what_it_claims_is_not_asked_again_for_a_while() {
    let mut world = World::connected(3);
    let (_, ops) = Scribe::log(1, 3, 1);
    let header = ops[0].header();
    let key = LogKey { author: header.author, log: header.log };
    let head = Head { key, height: 9, head: ops[1].id(), floor: 1 };
    let claim = Frame::Have { conversation: header.conversation, more: false, heads: vec![head] }.encode();
    let liar = world.id(1);
    let wants = |world: &World| frames_to(world, 0, liar, |frame| matches!(frame, Frame::Want { .. }));
    world.links.clear();
    world.hosts[0].sent.clear();
    world.give(0, Input::Frame { peer: liar, frame: claim.clone() });
    assert_eq!(wants(&world), 1);
    world.wait(Duration::from_secs(6));
    world.give(0, Input::Frame { peer: liar, frame: claim.clone() });
    assert_eq!(wants(&world), 1);
    world.wait(Duration::from_secs(25));
    world.give(0, Input::Frame { peer: liar, frame: claim });
    assert_eq!(wants(&world), 2);
}

#[test]
fn a_member_whose_certificate_has_expired_is_cut_off_and_not_renewed() {
    let mut world = World::connected(2);
    let peer = world.id(1);
    world.links.clear();
    world.skew_ms = 31 * 24 * 3600 * 1000;
    world.wait(Duration::from_secs(6));
    assert!(world.hosts[0].thrown_out.iter().any(|why| why.contains("expired")));
    world.give(0, Input::Frame { peer, frame: Frame::Renew.encode() });
    assert_eq!(frames_to(&world, 0, peer, |frame| matches!(frame, Frame::Renewed(_))), 0);
}

#[test]
fn a_flood_of_renewals_is_answered_once() {
    let mut world = World::connected(2);
    let peer = world.id(1);
    for _ in 0..10 {
        world.give(0, Input::Frame { peer, frame: Frame::Renew.encode() });
    }
    assert_eq!(frames_to(&world, 0, peer, |frame| matches!(frame, Frame::Renewed(_))), 1);
}

#[test]
fn what_could_not_be_stored_is_not_told_to_those_who_watch() {
    let mut world = World::connected(1);
    world.say(0, "stored");
    let told =
        |world: &World| world.hosts[0].events.iter().filter(|event| matches!(event, watch::Event::Pulse(_))).count();
    assert_eq!(told(&world), 1);
    world.hosts[0].disk.full = true;
    let pulse = Pulse { summary: Some("never".to_owned()), ..Pulse::default() };
    let state = Request::State(api::state::Request { pulse, clear: Vec::new() });
    refusal(world.call(0, state), ErrorCode::Storage);
    let never = |event: &watch::Event| matches!(event, watch::Event::Pulse(row) if row.pulse.summary.as_deref() == Some("never"));
    assert!(!world.hosts[0].events.iter().any(never));
}

/// A log of the third member that begins a document epoch and says in it that these agents are there: a start, a
/// checkpoint, and a change for each.
fn epoch(log: u8, epoch: u32, names: &[&str]) -> Vec<Verified> {
    let mut scribe = Scribe { log: LogId::from_bytes([log; 16]), ..Scribe::new(2, 3) };
    let conversation = ConversationId::lobby(&scribe.chain.network());
    let mut document = Document::new(DocumentId { node: scribe.key.id(), log: scribe.log, conversation, epoch });
    let mut ops = vec![scribe.start()];
    let header = scribe.header(Kind::Checkpoint);
    ops.push(scribe.sign(header, &Checkpoint { epoch, changes: names.len() as u32 }.encode()));
    for name in names {
        let entry = Entry::Agent(name.parse().unwrap(), Agent { kind: AgentKind::Ai, said: None });
        let change = document.write(&[entry.into()], WALL_MS).unwrap().unwrap();
        let header = scribe.header(Kind::Change);
        ops.push(scribe.sign(header, &Change { epoch, change }.encode()));
    }
    ops
}

/// The agents of the third member, as node `n` sees it.
fn third(world: &World, n: usize) -> Vec<String> {
    let core = &world.hosts[n].core;
    let content = core.documents.content(&core.lobby, &key(3).id());
    content.agents.keys().map(|name| name.as_str().to_owned()).collect()
}

/// Gives ops to the first node, and to the second in the opposite order of logs.
fn give_both(world: &mut World, logs: &[&[Verified]]) {
    for ops in logs {
        world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    }
    for ops in logs.iter().rev() {
        world.push(0, 1, &ops.iter().collect::<Vec<_>>());
    }
    for n in 0..2 {
        let full = world.hosts[n].core.bounds();
        assert!(full.iter().all(|bound| bound.found <= bound.most), "{full:?}");
    }
}

#[test]
fn an_author_that_completes_no_epoch_fills_nobodys_memory_and_takes_only_its_own_word_away() {
    let mut world = World::connected(2);
    world.links.clear();
    give_both(&mut world, &[&epoch(99, 1, &["old"])]);
    let logs: Vec<Vec<Verified>> = (1..=20).map(|log| epoch(log, 1_000_000, &["one", "two"])).collect();
    let begun: Vec<&[Verified]> = logs.iter().map(|ops| &ops[..3]).collect();
    for (count, says) in [(3, vec!["old".to_owned()]), (20, Vec::new())] {
        give_both(&mut world, &begun[..count]);
        assert_eq!([third(&world, 0), third(&world, 1)], [says.clone(), says]);
    }
    assert_eq!(world.hosts[0].core.documents.most_epochs(), MAX_EPOCHS);
    // The one that is completed was left out: it is too late for it, also after a restart.
    give_both(&mut world, &[&logs[0][3..]]);
    for n in 0..2 {
        assert!(third(&world, n).is_empty());
        world.restart(n);
        assert!(third(&world, n).is_empty());
        assert_eq!(world.hosts[n].core.documents.most_epochs(), MAX_EPOCHS);
    }
    // One that was not is heard, and so is a greater one, by which an author that keeps the rules goes on.
    world.connect(0, 1);
    world.links.clear();
    give_both(&mut world, &[&logs[17][3..]]);
    assert_eq!([third(&world, 0), third(&world, 1)], [["one", "two"], ["one", "two"]]);
    give_both(&mut world, &[&epoch(21, 1_000_001, &["new"])]);
    assert_eq!([third(&world, 0), third(&world, 1)], [["new"], ["new"]]);
    for n in 0..2 {
        world.restart(n);
        assert_eq!(third(&world, n), ["new"]);
        assert_eq!(world.hosts[n].core.documents.most_epochs(), 1);
    }
}

#[test]
fn which_epoch_counts_does_not_depend_on_the_order_of_logs() {
    // Of each log the epoch, and how many of its changes are missing.
    let epochs = [(3, 0), (9, 1), (7, 0), (7, 1), (8, 0), (9, 2), (2, 0), (6, 0), (10, 1), (4, 0)];
    for hidden in [0, 1] {
        let of = |(log, (number, missing)): (usize, &(u32, usize))| {
            let mut ops = epoch(log as u8, *number, &["one", "two"]);
            // The second time, the one that counted is begun and not completed: none of the greatest is.
            let missing = if *number == 8 { hidden } else { *missing };
            ops.truncate(4 - missing);
            ops
        };
        let mut logs: Vec<Vec<Verified>> = epochs.iter().enumerate().map(of).collect();
        let header = logs[0][0].header().clone();
        for _ in 0..logs.len() {
            logs.rotate_left(1);
            let one_by_one: Vec<&Verified> = logs.iter().flatten().collect();
            let in_turns = (0..4).flat_map(|at| logs.iter().filter_map(move |ops| ops.get(at))).collect();
            let backwards = logs.iter().rev().flatten().collect();
            for order in [one_by_one, in_turns, backwards] {
                let mut documents = Documents::default();
                for op in order {
                    documents.apply(op.header(), op.payload());
                    assert!(documents.most_epochs() <= MAX_EPOCHS);
                }
                let counts = (hidden == 0).then_some(LogId::from_bytes([4; 16]));
                assert_eq!(documents.log(&header.conversation, &header.author), counts);
            }
        }
    }
}

#[test]
fn what_a_fork_brings_back_is_gone_on_with_after_a_restart() {
    let mut world = World::connected(2);
    world.links.clear();
    let (ahead, behind) = (epoch(1, 9, &["gone"]), epoch(2, 8, &["one", "two"]));
    world.push(1, 0, &ahead.iter().chain(&behind[..3]).collect::<Vec<_>>());
    assert_eq!(third(&world, 0), ["gone"]);
    let mut other = Scribe { log: LogId::from_bytes([1; 16]), last: Some(ahead[0].clone()), ..Scribe::new(2, 3) };
    let fork = other.message("the other side");
    world.push(1, 0, &[&fork]);
    assert_eq!(world.hosts[0].core.forks.len(), 1);
    assert!(third(&world, 0).is_empty());
    world.restart(0);
    world.connect(0, 1);
    world.links.clear();
    world.push(1, 0, &[&behind[3]]);
    assert_eq!(third(&world, 0), ["one", "two"]);
}
