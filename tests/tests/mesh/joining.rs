//! Tickets: who may join, and what is kept.

use fedp2p_tests::node::{Node, Output};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

fn texts(node: &Node) -> Vec<String> {
    node.history().into_iter().map(|message| message.text).collect()
}

#[test]
fn a_running_node_that_is_alone_joins_and_keeps_what_it_wrote() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let mut baby = world.node("baby");
    baby.up(&[]);
    let own = baby.status();
    assert_ne!(own.node.organisation, taichi.status().node.organisation);
    baby.send(&[], "a note from before");
    let joined = baby.json(&["join", &taichi.invite()]);
    assert_eq!(joined["node"]["organisation"], serde_json::json!(taichi.status().node.organisation));
    for node in [&taichi, &baby] {
        node.wait_for_peers(1);
    }
    assert_eq!(baby.status().pid, own.pid, "the same daemon went on");
    assert_eq!(baby.status().node.id, own.node.id);
    assert_eq!(texts(&baby), ["a note from before"]);
    assert!(taichi.history().is_empty(), "what was written for nobody else stays here");
    baby.wait_for_agents(&["ada@taichi".to_owned()]);
    let id = baby.send(&["ada@taichi"], "hello");
    baby.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    baby.down();
    baby.up(&[]);
    assert_eq!(texts(&baby), ["a note from before", "hello"]);
    baby.wait_for_peers(1);
    baby.cli(&["log", "verify"]).ok();
}

#[test]
fn a_member_among_others_is_told_so_and_loses_nothing() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let mut stranger = world.node("stranger");
    stranger.up(&[]);
    let ticket = stranger.invite();
    for node in [&taichi, &aorus] {
        let before = node.status().node;
        let (code, error) = node.refused(&["join", &ticket]);
        assert_eq!((code, error["code"].as_str()), (1, Some("conflict")));
        assert!(error["message"].as_str().unwrap().contains("nothing was changed"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--home"), "{error}");
        assert_eq!(node.status().node, before);
    }
    let id = taichi.send(&["ada@aorus"], "still together");
    taichi.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
    // The ticket was not used up by the attempts.
    let mut fresh = world.node("fresh");
    fresh.up(&["--join", &ticket]);
    fresh.wait_for_peers(1);
}

#[test]
fn a_ticket_works_once() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let ticket = taichi.invite();
    let mut aorus = world.node("aorus");
    aorus.up(&["--join", &ticket]);
    let mut baby = world.node("baby");
    let output = baby.try_up(&["--join", &ticket]).unwrap_err();
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("used"), "{output:#?}");
    assert!(!baby.folders().organisation_key().exists(), "nothing was founded instead");
    let ticket = taichi.invite();
    baby.up(&["--join", &ticket]);
    baby.wait_for_peers(2);
}

#[test]
fn a_node_that_shows_its_own_used_ticket_again_is_let_in_again() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let ticket = taichi.invite();
    let mut aorus = world.node("aorus");
    aorus.up(&["--join", &ticket]);
    aorus.down();
    // The same command line after a restart, as a service would have it.
    aorus.up(&["--join", &ticket]);
    aorus.wait_for_peers(1);
    assert_eq!(taichi.status().members, 1);
}

#[test]
fn damaged_tickets_and_silent_inviters_are_told_apart() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let ticket = taichi.invite();
    let mut fresh = world.node("fresh");
    fresh.up(&[]);
    let before = fresh.status().node;
    let refused = |ticket: &str| {
        let (code, error) = fresh.refused(&["join", ticket]);
        assert_eq!(fresh.status().node, before);
        (code, error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    };
    let (code, kind, message) = refused("hello");
    assert_eq!((code, kind.as_str()), (1, "invalid"));
    assert!(message.contains("not a ticket"), "{message}");
    let (code, kind, message) = refused(&ticket[..ticket.len() - 3]);
    assert_eq!((code, kind.as_str()), (1, "invalid"));
    assert!(message.contains("damaged"), "{message}");
    taichi.down();
    let (code, kind, message) = refused(&ticket);
    assert_eq!((code, kind.as_str()), (1, "not_found"), "{message}");
    // The ticket is stored: it still works after a restart.
    taichi.up(&[]);
    fresh.json(&["join", &ticket]);
    fresh.wait_for_peers(1);
}

#[test]
fn an_expired_ticket_says_so() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let ticket = taichi.invite();
    taichi.down();
    let database = rusqlite::Connection::open(taichi.folders().database()).unwrap();
    assert_eq!(database.execute("UPDATE tickets SET expires = expires - 2 * 3600 * 1000", ()).unwrap(), 1);
    drop(database);
    taichi.up(&[]);
    let mut baby = world.node("baby");
    let output = baby.try_up(&["--join", &ticket]).unwrap_err();
    assert!(output.stdout.contains("expired") && output.stdout.contains("fedp2p invite"), "{output:#?}");
}

#[test]
fn names_in_an_organisation_are_unique() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let mut other = world.node("other").called("taichi");
    let output: Output = other.try_up(&["--join", &taichi.invite()]).unwrap_err();
    assert!(output.stdout.contains("another node has this name"), "{output:#?}");
}

#[test]
fn only_who_may_admit_invites() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let (code, error) = aorus.refused(&["invite"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("forbidden")));
    assert_eq!(taichi.cli(&["invite", "--valid", "5s"]).code, 1);
    assert_eq!(taichi.cli(&["invite", "--valid", "soon"]).code, 2);
    let ticket = taichi.cli(&["invite", "--valid", "2d"]).ok();
    assert_eq!(ticket.stdout.lines().count(), 1, "only the ticket goes to stdout");
}

#[test]
fn a_ticket_comes_by_stdin_and_join_starts_a_daemon() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let baby = world.node("baby");
    // Without flags it would listen everywhere; a service of ours would not do that in a test.
    let up = ["up", "--detach", "--join", "-", "--name", "baby", "--listen", "127.0.0.1:0", "--no-mdns"];
    baby.cli_with_input(&up, format!("{}\n", taichi.invite()).as_bytes()).ok();
    baby.wait_for_peers(1);
    assert!(baby.cli(&["up", "--detach"]).ok().stderr.contains("already running"));
    let down = baby.cli(&["down"]).ok();
    assert!(down.stdout.contains("stopped"));
    assert_eq!(baby.cli(&["status"]).code, 3);
    eventually("taichi notices", || holds(taichi.status().reachable == 0, taichi.peers()));
}
