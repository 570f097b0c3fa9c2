//! What a killed daemon must not lose.

use std::collections::BTreeMap;

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::id::OpId;
use fedp2p_tests::node::{Node, Session, message};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

const MESSAGES: usize = 1_000;

/// What one node was told is durable, in order.
#[derive(Default)]
struct Told {
    acknowledged: Vec<OpId>,
    unknown: usize,
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_a_node_is_killed_midway() {
    let world = World::new();
    let mut nodes = world.mesh(["taichi", "aorus", "baby"]);
    let mut told: [Told; 3] = Default::default();
    let mut sessions: Vec<Option<Session>> = nodes.iter().map(|node| Some(node.session())).collect();
    for number in 0..MESSAGES {
        match number {
            // The call is on its way when the daemon dies: its outcome is not known, or it was done.
            400 => nodes[1].kill(),
            600 => {
                nodes[1].up(&[]);
                sessions[1] = Some(nodes[1].session());
            }
            _ => {}
        }
        let author = number % nodes.len();
        let Some(session) = &mut sessions[author] else { continue };
        match session.call(message(&[], &format!("{author}:{number}"))) {
            Ok(reply) => told[author].acknowledged.push(reply.id),
            Err(_) => {
                assert!(!nodes[author].is_running(), "a running daemon does its work");
                told[author].unknown += 1;
                sessions[author] = None;
            }
        }
    }
    assert!(told[1].unknown <= 1);
    assert!(told.iter().map(|told| told.acknowledged.len()).sum::<usize>() > MESSAGES * 9 / 10);
    agree(&nodes);
    for node in &nodes {
        check(node, &nodes, &told);
    }
}

/// Waits until all hold the same entries.
fn agree(nodes: &[Node]) {
    eventually("all hold the same", || {
        let lobbies: Vec<_> = nodes.iter().map(|node| node.status().conversations.swap_remove(0)).collect();
        let same = lobbies.iter().all(|lobby| {
            (&lobby.ops_digest, &lobby.picture_digest) == (&lobbies[0].ops_digest, &lobbies[0].picture_digest)
        });
        holds(same, lobbies)
    });
}

fn check(node: &Node, nodes: &[Node], told: &[Told]) {
    let history = node.history();
    let mut authors: BTreeMap<String, Vec<&Message>> = BTreeMap::new();
    for message in &history {
        authors.entry(message.from.to_string()).or_default().push(message);
    }
    for (author, told) in nodes.iter().zip(told) {
        let messages = &authors[&format!("ada@{}", author.name())];
        let numbers: Vec<usize> =
            messages.iter().map(|message| message.text.split(':').nth(1).unwrap().parse().unwrap()).collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "{} has {}'s messages in order and once",
            node.name(),
            author.name()
        );
        let here: Vec<OpId> = messages.iter().map(|message| message.id).collect();
        let missing = told.acknowledged.iter().filter(|id| !here.contains(id)).count();
        assert_eq!(missing, 0, "{} has all of {}'s", node.name(), author.name());
        assert!(here.len() <= told.acknowledged.len() + told.unknown);
    }
}

#[test]
fn a_node_killed_while_it_writes_comes_back_whole_and_keeps_its_log() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let epoch = taichi.status().log_epoch;
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut session = taichi.session();
        for number in 0..20 {
            sent.push(session.call(message(&[], &format!("{round}.{number}"))).unwrap().id);
        }
        taichi.kill();
        taichi.up(&[]);
        let here: Vec<OpId> = taichi.history().iter().map(|message| message.id).collect();
        assert_eq!(here, sent);
    }
    assert_eq!(taichi.status().log_epoch, epoch, "a killed process is no power cut");
    assert!(taichi.cli(&["log", "verify"]).ok().stdout.contains("all as signed"));
}

#[test]
fn a_stopped_process_holds_nobody_up_and_catches_up() {
    use rustix::process::Signal;
    let world = World::new();
    let [taichi, aorus, baby] = world.mesh(["taichi", "aorus", "baby"]);
    baby.signal(Signal::STOP);
    let id = taichi.send(&["ada@aorus"], "while baby sleeps");
    taichi.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    taichi.cli(&["send", "--all", "for everybody"]).ok();
    baby.signal(Signal::CONT);
    eventually("baby has it", || {
        let texts: Vec<String> = baby.history().into_iter().map(|message| message.text).collect();
        holds(texts == ["while baby sleeps", "for everybody"], texts)
    });
    agree(&[taichi, aorus, baby]);
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_is_finished_by_the_next() {
    let world = World::new();
    for (number, file) in ["lock", "fedp2p.db", "node.key", "organisation.key", "fedp2p.db-wal"].iter().enumerate() {
        let mut node = world.node(&format!("n{number}"));
        let path = node.home().join(file);
        let start = node.follow(&["up", "--listen", "127.0.0.1:0", "--no-mdns"]);
        eventually(file, || holds(path.exists(), file));
        drop(start);
        node.up(&[]);
        node.send(&[], "alive");
        assert_eq!(node.history().len(), 1, "killed when {file} was there");
        node.cli(&["log", "verify"]).ok();
    }
}

#[test]
fn joining_that_was_killed_midway_is_finished_with_the_same_ticket() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let mut baby = world.node("baby");
    let ticket = taichi.invite();
    let start = baby.follow(&["up", "--name", "baby", "--join", &ticket, "--listen", "127.0.0.1:0", "--no-mdns"]);
    taichi.wait_for_line("baby joined", |line| line.to_string().contains("baby joined").then_some(()));
    drop(start);
    baby.up(&["--join", &ticket]);
    baby.wait_for_peers(1);
    assert_eq!((taichi.status().members, baby.status().members), (1, 1));
    assert_eq!(baby.status().node.organisation, taichi.status().node.organisation);
}

#[test]
fn an_inviter_that_is_killed_keeps_its_tickets_and_its_members() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let ticket = taichi.invite();
    taichi.kill();
    taichi.up(&[]);
    taichi.wait_for_peers(1);
    let mut baby = world.node("baby");
    baby.up(&["--join", &ticket]);
    taichi.kill();
    taichi.up(&[]);
    for node in [&taichi, &aorus, &baby] {
        node.wait_for_peers(2);
    }
}
