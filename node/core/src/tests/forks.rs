//! Nodes that contradict themselves, and nodes that find their own log further on than they wrote it.

use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::payload::{Change, Checkpoint};

use super::*;

fn forked(n: usize, count: usize) -> (Vec<Verified>, Vec<Verified>) {
    let (mut scribe, ops) = Scribe::log(n, count, 2);
    let mut other = Scribe { last: Some(ops[1].clone()), ..Scribe::new(n, count) };
    let mut left = ops[..3].to_vec();
    left.push(scribe.message("left 3"));
    let mut right = ops[..2].to_vec();
    right.extend([other.message("right 2"), other.message("right 3"), other.message("right 4")]);
    (left, right)
}

#[test]
fn a_fork_is_proven_and_the_log_frozen_alike_everywhere() {
    let mut world = World::new(3);
    let (left, right) = forked(3, 4);
    world.connect(0, 2);
    world.push(2, 0, &left.iter().collect::<Vec<_>>());
    world.disconnect(0, 2);
    world.connect(1, 2);
    world.push(2, 1, &right.iter().collect::<Vec<_>>());
    for (a, b) in [(0, 1), (0, 2)] {
        world.connect(a, b);
    }
    world.wait(Duration::from_secs(40));
    world.assert_agreed();
    for n in 0..3 {
        let forks = world.status(n).forks;
        assert_eq!(forks.len(), 1, "n{n}");
        assert_eq!(forks[0].seq, 3);
    }
    let shown: Vec<bool> = world.history(0).iter().map(|message| message.verified).collect();
    assert_eq!(shown, [true, false, false]);
    let digest = world.ask(0, api::digest::Request::default());
    assert_eq!(digest.text.matches("(not verified)").count(), 2, "{}", digest.text);
    for n in 0..3 {
        world.restart(n);
    }
    world.assert_agreed();
}

#[test]
fn both_sides_of_a_fork_in_one_frame_are_noticed() {
    let mut world = World::connected(2);
    let (left, right) = forked(2, 3);
    let all: Vec<&Verified> = left[..3].iter().chain([&right[2]]).collect();
    world.push(1, 0, &all);
    assert_eq!(world.status(0).forks.len(), 1);
    world.wait(Duration::from_secs(10));
    world.assert_agreed();
}

#[test]
fn a_fork_at_the_very_start_leaves_nothing_of_the_log() {
    let mut world = World::connected(2);
    let (_, one) = Scribe::log(2, 3, 1);
    let mut other = Scribe::new(2, 3);
    let header = Header { hlc: fedp2p_protocols::hlc::Hlc::at(WALL_MS + 5), ..other.header(Kind::LogStart) };
    let payload = LogStart { chain: other.chain.clone(), previous: None }.encode();
    let second = other.sign(header, &payload);
    world.push(1, 0, &one.iter().collect::<Vec<_>>());
    world.push(0, 1, &[&second]);
    world.wait(Duration::from_secs(40));
    assert_eq!(world.status(0).forks.len(), 1);
    world.assert_agreed();
}

#[test]
fn what_others_wrote_on_a_frozen_part_is_not_held_up_by_it() {
    let mut world = World::new(3);
    let (left, right) = forked(3, 4);
    world.connect(0, 1);
    world.push(1, 0, &left.iter().collect::<Vec<_>>());
    world.send(0, &[], "written on the left side").unwrap();
    world.wait(Duration::from_secs(1));
    world.disconnect(0, 1);
    // The third learns of the fork before it gets the left side.
    world.connect(1, 2);
    world.push(1, 2, &right.iter().collect::<Vec<_>>());
    world.push(1, 2, &[&left[2]]);
    world.connect(0, 2);
    world.wait(Duration::from_secs(20));
    assert!(world.texts(2).contains(&"written on the left side".to_owned()));
    world.assert_agreed();
}

#[test]
fn a_proof_that_proves_nothing_changes_nothing() {
    let mut world = World::connected(2);
    let (mut scribe, ops) = Scribe::log(2, 3, 2);
    let side = |op: &Verified| (op.header_bytes().to_vec(), op.signature());
    let proof = fedp2p_protocols::payload::ForkProof { one: side(&ops[1]), other: side(&ops[1]) };
    let header = scribe.header(Kind::ForkProof);
    let claim = scribe.sign(header, &proof.encode());
    world.push(1, 0, &ops.iter().chain([&claim]).collect::<Vec<_>>());
    assert!(world.holds(0, &claim));
    assert!(world.status(0).forks.is_empty());
}

#[test]
fn a_proof_reaches_all_though_the_entry_that_brought_it_is_never_taken() {
    let mut world = World::new(3);
    let (left, right) = forked(3, 4);
    for (a, b) in [(0, 1), (0, 2)] {
        world.connect(a, b);
    }
    world.push(1, 0, &left.iter().collect::<Vec<_>>());
    world.wait(Duration::from_secs(5));
    assert!(world.holds(2, &left[3]));
    world.disconnect(0, 2);
    // Whoever signed both sides proves it in a log of which nobody has the start.
    let side = |op: &Verified| (op.header_bytes().to_vec(), op.signature());
    let proof = fedp2p_protocols::payload::ForkProof { one: side(&left[2]), other: side(&right[2]) };
    let mut scribe = Scribe { log: LogId::from_bytes([78; 16]), ..Scribe::new(3, 4) };
    scribe.start();
    let header = scribe.header(Kind::ForkProof);
    let carrier = scribe.sign(header, &proof.encode());
    world.push(1, 0, &[&carrier]);
    assert_eq!(world.status(0).forks.len(), 1);
    world.wait(Duration::from_secs(70));
    world.connect(0, 2);
    world.wait(Duration::from_secs(20));
    assert!(!world.holds(0, &carrier));
    assert_eq!(world.status(2).forks.len(), 1);
    world.assert_agreed();
}

/// The proof that two entries fork their log, written by this hand.
fn proof_by(scribe: &mut Scribe, left: &Verified, right: &Verified) -> Verified {
    let side = |op: &Verified| (op.header_bytes().to_vec(), op.signature());
    let proof = fedp2p_protocols::payload::ForkProof { one: side(left), other: side(right) };
    let header = scribe.header(Kind::ForkProof);
    scribe.sign(header, &proof.encode())
}

/// The third node holds one side of a fork, and then all others learn of it by an entry that it does not get.
fn learns_of_the_fork(left: &[Verified], proofs: &[Verified], restarted: bool) {
    let mut world = World::new(3);
    world.connect(0, 1);
    world.connect(0, 2);
    world.push(1, 0, &left.iter().collect::<Vec<_>>());
    world.wait(Duration::from_secs(5));
    assert!(world.holds(2, left.last().unwrap()));
    world.disconnect(0, 2);
    for proof in proofs {
        world.push(1, 0, &[proof]);
        world.wait(Duration::from_secs(5));
        if restarted {
            world.restart(0);
            world.restart(1);
            world.connect(0, 1);
            world.wait(Duration::from_secs(5));
        }
    }
    world.connect(0, 2);
    world.wait(Duration::from_secs(20));
    assert_eq!(world.status(2).forks.len(), world.status(0).forks.len());
    world.assert_agreed();
}

#[test]
fn a_proof_reaches_all_though_its_place_was_taken_where_it_came() {
    let (left, right) = forked(3, 5);
    let (mut scribe, mut held) = Scribe::log(4, 5, 1);
    let mut other = Scribe { last: held.last().cloned(), ..Scribe::new(4, 5) };
    held.extend([scribe.message("in its place")]);
    let brings = proof_by(&mut other, &left[2], &right[2]);
    held.extend(left.iter().cloned());
    learns_of_the_fork(&held, &[brings], false);
}

#[test]
fn a_proof_reaches_all_though_it_stands_in_the_part_that_it_voids() {
    let (left, right) = forked(3, 4);
    let mut scribe = Scribe { last: left.last().cloned(), ..Scribe::new(3, 4) };
    let proof = proof_by(&mut scribe, &left[2], &right[2]);
    learns_of_the_fork(&left, &[proof], false);
}

#[test]
fn a_proof_reaches_all_though_the_log_that_brought_it_forks_as_well() {
    forks_as_well(false);
}

#[test]
fn a_proof_reaches_all_though_nobody_remembers_where_it_stood() {
    forks_as_well(true);
}

fn forks_as_well(restarted: bool) {
    let (left, right) = forked(3, 5);
    let (mut scribe, mut second) = Scribe::log(4, 5, 1);
    let mut other = Scribe { last: second.last().cloned(), ..Scribe::new(4, 5) };
    let brings = proof_by(&mut scribe, &left[2], &right[2]);
    let against = other.message("the other side");
    let voids = proof_by(&mut Scribe { log: LogId::from_bytes([78; 16]), ..Scribe::new(4, 5) }, &brings, &against);
    second.insert(0, left[0].clone());
    second.extend(left[1..].iter().cloned());
    learns_of_the_fork(&second, &[brings, against, voids], restarted);
}

#[test]
fn a_restored_backup_starts_a_new_log_and_gets_everything_back() {
    let mut world = World::connected(2);
    world.say(0, "before");
    let backup = world.hosts[0].disk.clone();
    world.wait(Duration::from_secs(1));
    world.send(0, &["p1"], "after the backup").unwrap();
    world.say(0, "after");
    let lost = world.ops(0);
    world.hosts[0].disk = backup;
    world.restart(0);
    let epoch = world.status(0).log_epoch;
    world.connect(0, 1);
    world.wait(Duration::from_secs(10));
    assert_ne!(world.status(0).log_epoch, epoch);
    assert!(world.status(0).forks.is_empty());
    assert!(world.ops(0) >= lost);
    let Ok(Reply::Pulse(picture)) = world.call(0, Request::Pulse(api::pulse::Request::default())) else { panic!() };
    assert_eq!(picture.agents[0].pulse.summary.as_deref(), Some("after"));
    world.assert_agreed();
    world.send(0, &["p1"], "and it goes on").unwrap();
    assert_eq!(world.texts(1), ["after the backup", "and it goes on"]);
    world.restart(0);
    world.assert_agreed();
}

#[test]
fn a_restored_backup_that_wrote_before_it_met_anybody_says_it_again_in_a_new_log() {
    let mut world = World::connected(2);
    let backup = world.hosts[0].disk.clone();
    world.send(0, &["p1"], "forgotten").unwrap();
    world.hosts[0].disk = backup;
    world.restart(0);
    world.wait(Duration::from_secs(1));
    world.say(0, "alone");
    world.connect(0, 1);
    world.wait(Duration::from_secs(20));
    assert_eq!(world.status(0).forks.len(), 1);
    assert_eq!(world.status(1).forks.len(), 1);
    world.assert_agreed();
    let Ok(Reply::Pulse(picture)) = world.call(1, Request::Pulse(api::pulse::Request::default())) else { panic!() };
    assert_eq!(picture.agents[0].pulse.summary.as_deref(), Some("alone"));
}

/// A document can be made again when the store has entries of it of which the node does not know yet.
#[test]
fn a_change_counts_once_though_its_document_is_made_again_before_its_commit_is_told() {
    let mut world = World::connected(2);
    let (left, right) = forked(2, 3);
    let mut scribe = Scribe { log: LogId::from_bytes([78; 16]), ..Scribe::new(2, 3) };
    let start = scribe.start();
    let id = DocumentId { node: scribe.key.id(), log: scribe.log, conversation: world.hosts[0].core.lobby, epoch: 1 };
    let mut document = Document::new(id);
    let mut changes = Vec::new();
    for name in ["one", "two"] {
        let agent = Agent { kind: AgentKind::Ai, said: None };
        changes.extend(document.write(&[Entry::Agent(name.parse().unwrap(), agent).into()], WALL_MS).unwrap());
    }
    let header = scribe.header(Kind::Checkpoint);
    let checkpoint = Checkpoint { epoch: id.epoch, changes: changes.len() as u32 }.encode();
    let mut ops = vec![scribe.sign(header, &checkpoint)];
    for change in changes {
        let header = scribe.header(Kind::Change);
        ops.push(scribe.sign(header, &Change { epoch: id.epoch, change }.encode()));
    }
    world.push(1, 0, &left.iter().chain([&start]).collect::<Vec<_>>());
    let peer = world.id(1);
    let push = |ops: &[Verified]| {
        let ops = ops.iter().map(|op| op.bytes().to_vec()).collect();
        Input::Frame { peer, frame: Frame::Push { ops }.encode() }
    };
    let mut untold = world.give_untold(0, push(&ops[..2]));
    assert!(world.holds(0, &ops[1]));
    // The other log of that node is proven to fork.
    untold.extend(world.give_untold(0, push(&right[2..3])));
    assert!(world.hosts[0].core.forks.len() == 1 && world.hosts[0].core.remaking.is_empty());
    for input in untold {
        world.give(0, input);
    }
    world.give(0, push(&ops[2..]));
    let content = world.hosts[0].core.documents.content(&id.conversation, &id.node);
    let names: Vec<&str> = content.agents.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
}

/// Another home with the key of a node has the last word on what that node says, and then its log turns out to fork.
#[test]
fn what_a_node_said_in_another_log_that_forks_it_says_again() {
    let mut world = World::connected(2);
    world.say(0, "of old");
    let (mut scribe, mut ops) = Scribe::log(0, 2, 0);
    let start = scribe.last.clone();
    let id = DocumentId { node: world.id(0), log: scribe.log, conversation: world.hosts[0].core.lobby, epoch: 9 };
    let content = world.hosts[0].core.documents.content(&id.conversation, &id.node).clone();
    let (mut document, mut changes) = Document::restate(id, &content, WALL_MS).unwrap();
    let agent = Agent { kind: AgentKind::Ai, said: None };
    changes.extend(document.write(&[Entry::Agent("elsewhere".parse().unwrap(), agent).into()], WALL_MS).unwrap());
    let checkpoint = Checkpoint { epoch: id.epoch, changes: changes.len() as u32 }.encode();
    let header = scribe.header(Kind::Checkpoint);
    ops.push(scribe.sign(header, &checkpoint));
    for change in changes {
        let header = scribe.header(Kind::Change);
        ops.push(scribe.sign(header, &Change { epoch: id.epoch, change }.encode()));
    }
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    world.push(0, 1, &ops.iter().collect::<Vec<_>>());
    for host in &world.hosts {
        assert_eq!(host.core.documents.log(&id.conversation, &id.node), Some(id.log));
    }
    scribe.last = start;
    let other = scribe.message("the other side");
    world.push(0, 1, &[&other]);
    world.wait(Duration::from_secs(40));
    world.assert_agreed();
    assert_eq!(world.status(0).forks.len(), 1);
    let content = world.hosts[1].core.documents.content(&id.conversation, &id.node);
    let names: Vec<&str> = content.agents.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["elsewhere", "p0"]);
    world.restart(0);
    world.connect(0, 1);
    world.assert_agreed();
}
