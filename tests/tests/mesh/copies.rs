//! A home that was copied: two processes with one node key.

use std::path::Path;

use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_copied_home_starts_a_new_log_and_contradicts_nothing() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.send(&[], "before the copy");
    taichi.down();
    let mut twin = world.node("twin");
    copy(taichi.home(), twin.home());
    taichi.up(&[]);
    let epoch = taichi.status().log_epoch;
    twin.up(&[]);
    assert_eq!(twin.status().node.id, taichi.status().node.id);
    assert_ne!(twin.status().log_epoch, epoch, "the copy writes another log");
    for round in 0..5 {
        for (node, who) in [(&taichi, "original"), (&twin, "copy"), (&aorus, "aorus")] {
            node.send(&[], &format!("{who} {round}"));
        }
    }
    // The network takes turns with two processes of one key; what each wrote arrives once it is alone at the latest.
    twin.down();
    eventually("aorus has what the original wrote", || {
        let texts: Vec<String> = aorus.history().into_iter().map(|message| message.text).collect();
        holds((0..5).all(|round| texts.contains(&format!("original {round}"))), texts)
    });
    taichi.down();
    twin.up(&[]);
    eventually("aorus has what the copy wrote", || {
        let texts: Vec<String> = aorus.history().into_iter().map(|message| message.text).collect();
        holds((0..5).all(|round| texts.contains(&format!("copy {round}"))), texts)
    });
    eventually("the copy has everything", || holds(twin.history().len() == 16, twin.history().len()));
    for node in [&twin, &aorus] {
        assert!(node.status().forks.is_empty(), "{:?}", node.status().forks);
        node.cli(&["log", "verify"]).ok();
    }
}

#[test]
fn a_restored_backup_starts_a_new_log_and_gets_back_what_it_lost() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.send(&[], "in the backup");
    taichi.down();
    let backup = world.path("backup");
    copy(taichi.home(), &backup);
    taichi.up(&[]);
    let lost = taichi.send(&["ada@aorus"], "after the backup");
    taichi.cli(&["state", "--summary", "after the backup"]).ok();
    taichi.wait_for_delivery(&lost, fedp2p_protocols::api::message::DeliveryState::Stored);
    taichi.down();
    std::fs::remove_dir_all(taichi.home()).unwrap();
    copy(&backup, taichi.home());
    taichi.up(&[]);
    taichi.send(&[], "after the restore");
    eventually("both have everything", || {
        let texts = |node: &fedp2p_tests::node::Node| -> Vec<String> {
            let mut texts: Vec<String> = node.history().into_iter().map(|message| message.text).collect();
            texts.sort();
            texts
        };
        let expected = ["after the backup", "after the restore", "in the backup"];
        holds(texts(&taichi) == expected && texts(&aorus) == expected, (texts(&taichi), texts(&aorus)))
    });
    for node in [&taichi, &aorus] {
        assert!(node.status().forks.is_empty(), "{:?}", node.status().forks);
    }
    eventually("they agree", || {
        let [a, b] = [&taichi, &aorus].map(|node| node.status().conversations.swap_remove(0));
        holds(a.ops_digest == b.ops_digest && a.picture_digest == b.picture_digest, (a, b))
    });
}

#[test]
fn a_backup_written_over_the_file_itself_is_a_proven_fork_that_stops_nobody() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.down();
    let database = taichi.folders().database();
    let backup = world.path("backup.db");
    std::fs::copy(&database, &backup).unwrap();
    taichi.up(&[]);
    taichi.wait_for_peers(1);
    let lost = taichi.send(&["ada@aorus"], "after the backup");
    taichi.wait_for_delivery(&lost, fedp2p_protocols::api::message::DeliveryState::Stored);
    taichi.down();
    // The same file with the old content: nothing at its place tells that it was not there all the time.
    std::fs::copy(&backup, &database).unwrap();
    aorus.signal(rustix::process::Signal::STOP);
    taichi.up(&[]);
    taichi.send(&[], "contradicts");
    aorus.signal(rustix::process::Signal::CONT);
    for node in [&taichi, &aorus] {
        eventually(&format!("{} has the proof", node.name()), || {
            let forks = node.status().forks;
            holds(forks.len() == 1, forks)
        });
    }
    let id = taichi.send(&["ada@aorus"], "goes on");
    taichi.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    let id = aorus.send(&["ada@taichi"], "goes on");
    aorus.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    eventually("they agree", || {
        let [a, b] = [&taichi, &aorus].map(|node| node.status().conversations.swap_remove(0));
        holds(a.ops_digest == b.ops_digest && a.picture_digest == b.picture_digest, (a, b))
    });
}
