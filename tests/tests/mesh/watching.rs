//! Commands that stay, and outputs that break.

use std::fs::File;

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_protocols::api::state;
use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::pulse::Pulse;
use fedp2p_tests::world::World;

#[test]
fn an_inbox_that_is_watched_hands_out_what_comes_and_ends_with_the_daemon() {
    let world = World::new();
    let [taichi, mut aorus] = world.mesh(["taichi", "aorus"]);
    let before = taichi.send(&["ada@aorus"], "came before");
    taichi.wait_for_delivery(&before, DeliveryState::Stored);
    let mut words = aorus.follow(&["inbox", "--watch"]);
    words.wait_for("came before");
    taichi.wait_for_delivery(&before, DeliveryState::Surfaced);
    let after = taichi.send(&["ada@aorus"], "came after");
    words.wait_for("came after");
    taichi.wait_for_delivery(&after, DeliveryState::Surfaced);
    let json = aorus.follow(&["inbox", "--watch", "--json", "--agent", "coder"]);
    taichi.wait_for_agents(&["coder@aorus".to_owned()]);
    taichi.send(&["coder@aorus"], "for a program");
    json.wait_for("for a program");
    aorus.down();
    assert_eq!(words.wait_for_end(), 3, "whoever restarts it is told why it ended");
}

#[test]
fn a_pulse_that_is_watched_shows_every_change() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let words = taichi.follow(&["pulse", "--watch"]);
    let json = taichi.follow(&["pulse", "--watch", "--json"]);
    aorus.cli(&["state", "--summary", "Refactoring"]).ok();
    words.wait_for("Refactoring");
    json.wait_for("Refactoring");
    aorus.cli(&["state", "--summary", "Testing"]).ok();
    words.wait_for("Testing");
    json.wait_for("Testing");
}

#[test]
fn pulses_that_follow_each_other_within_a_millisecond_are_all_told() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let mut events = aorus.session().watch(&[Topic::Pulse]);
    let mut session = taichi.session();
    for number in 0..100 {
        let pulse = Pulse { action: Some(format!("STEP {number}")), ..Pulse::default() };
        session.call(state::Request { pulse, clear: Vec::new() }).unwrap();
    }
    for number in 0..100 {
        let action = format!("STEP {number}");
        events.wait(&action, |event| {
            let Event::Pulse(row) = event else { return None };
            assert_eq!(row.pulse.action.as_deref(), Some(action.as_str()), "the next one is told next");
            Some(())
        });
    }
}

#[test]
fn a_daemon_in_a_terminal_prints_what_happens_and_stops_when_interrupted() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let baby = world.node("baby");
    let up = ["up", "--name", "baby", "--listen", "127.0.0.1:0", "--no-mdns", "--join", &taichi.invite()];
    let mut log = baby.follow(&up);
    log.wait_for("is ready");
    log.wait_for("taichi is reachable");
    baby.wait_for_peers(1);
    taichi.wait_for_agents(&["ada@baby".to_owned()]);
    taichi.send(&["ada@baby"], "hello\u{1b}[2J\u{202e}");
    log.wait_for("hello");
    assert_eq!(log.interrupt(), 0);
    assert_eq!(baby.cli(&["status"]).code, 3);
}

#[test]
fn what_could_not_be_printed_stays_unread() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    taichi.cli(&["send", "ada", "precious", "--agent", "coder"]).ok();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_ne!(taichi.cli_into(&["inbox"], writer), 0);
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        assert_eq!(taichi.cli_into(&["inbox", "--json"], full), 1);
    }
    assert!(taichi.cli(&["inbox"]).ok().stdout.contains("precious"));
}

#[test]
fn what_peers_write_cannot_reach_the_terminal_as_commands() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[31mred\u{9b}2J\u{202e}cod\u{2066}";
    let id = aorus.send(&["ada@taichi"], evil);
    aorus.wait_for_delivery(&id, DeliveryState::Stored);
    aorus.cli(&["state", "--summary", evil]).ok();
    aorus.cli(&["vote", "new", evil, "yes", evil, "--id", "evil"]).ok();
    fedp2p_tests::eventually("taichi sees the question", || {
        let shown = taichi.cli(&["vote", "show", "evil"]);
        fedp2p_tests::holds(shown.code == 0, shown)
    });
    for arguments in
        [&["history"][..], &["pulse"], &["agents"], &["vote", "list"], &["vote", "show", "evil"], &["inbox"]]
    {
        let output = taichi.cli(arguments).ok();
        let bad = output.stdout.chars().find(|c| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}".contains(*c));
        assert_eq!(bad, None, "{arguments:?}: {output:#?}");
        assert!(output.stdout.contains("red"), "{arguments:?}: {output:#?}");
    }
    assert_eq!(taichi.json(&["history"])["messages"][0]["text"], evil, "programs get the text as it is");
}
