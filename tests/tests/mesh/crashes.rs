//! What a killed daemon must not lose, beyond what the faults play.

use fedp2p_protocols::id::OpId;
use fedp2p_tests::node::message;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

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
