//! The proof of the stored history.

use std::fs;

use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;

/// Changes one byte of a text that is stored, and returns how many places held it.
fn tamper(node: &Node, text: &str) -> usize {
    let mut places = 0;
    for name in ["fedp2p.db", "fedp2p.db-wal"] {
        let path = node.home().join(name);
        let Ok(mut bytes) = fs::read(&path) else { continue };
        let found: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text.as_bytes())
            .map(|(at, _)| at)
            .collect();
        for at in &found {
            bytes[*at] ^= 1;
        }
        if !found.is_empty() {
            // Written in place: the daemon may have the file open.
            use std::os::unix::fs::FileExt;
            let file = fs::File::options().write(true).open(&path).unwrap();
            for at in &found {
                file.write_all_at(&bytes[*at..=*at], *at as u64).unwrap();
            }
        }
        places += found.len();
    }
    places
}

#[test]
fn every_entry_is_proven_with_and_without_a_daemon() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let id = aorus.send(&["ada@taichi"], "hello");
    aorus.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    let running = taichi.json(&["log", "verify"]);
    assert!(
        running["broken"].is_null() && running["ops"].as_u64() > Some(2) && running["logs"].as_u64() >= Some(2),
        "{running}"
    );
    taichi.down();
    let stopped = taichi.json(&["log", "verify"]);
    assert!(stopped["broken"].is_null() && stopped["ops"].as_u64() >= running["ops"].as_u64(), "{stopped}");
    let text = taichi.cli(&["log", "verify"]).ok().stdout;
    assert!(text.contains("all as signed"), "{text}");
}

#[test]
fn the_first_broken_entry_is_named_after_a_byte_was_changed_by_hand() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    for number in 0..20 {
        taichi.send(&[], &format!("the invoice is {number:04} euros"));
    }
    let broken_at = taichi.history()[7].position;
    taichi.down();
    assert_eq!(tamper(&taichi, "the invoice is 0007 euros"), 1);

    let offline = taichi.cli(&["log", "verify"]);
    assert_eq!(offline.code, 1);
    assert!(offline.stderr.contains(&format!("entry {broken_at} ")), "{offline:#?}");
    assert!(!offline.hint().is_empty());
    let output = taichi.cli(&["log", "verify", "--json"]);
    let envelope = output.envelope();
    assert_eq!((output.code, &envelope["log_verify"]["broken"]["position"]), (1, &broken_at.into()));
    assert_eq!(envelope["error"]["code"], "storage");

    // A daemon that uses the same file says the same, and goes on.
    taichi.up(&[]);
    let online = taichi.cli(&["log", "verify"]);
    assert_eq!(online.code, 1);
    assert!(online.stderr.contains(&format!("entry {broken_at} ")), "{online:#?}");
    taichi.send(&[], "business goes on");
    assert!(taichi.is_running());
    assert_eq!(taichi.cli(&["log", "verify"]).code, 1);
}

#[test]
fn a_home_without_history_says_so() {
    let world = World::new();
    let taichi = world.node("taichi");
    let (code, error) = taichi.refused(&["log", "verify"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("not_found")));
}
