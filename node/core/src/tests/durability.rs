//! Commits that fail, processes that start again, documents that begin a new epoch.

use super::*;

#[test]
fn a_failed_commit_is_told_and_the_next_send_works_without_a_gap() {
    let mut world = World::connected(2);
    world.send(0, &["p1"], "one").unwrap();
    world.hosts[0].disk.full = true;
    let error = refusal(world.send(0, &["p1"], "two"), ErrorCode::Storage);
    assert!(error.hint.is_some());
    refusal(world.send(0, &["p1"], "three"), ErrorCode::Storage);
    world.hosts[0].disk.full = false;
    world.send(0, &["p1"], "four").unwrap();
    assert_eq!(world.texts(1), ["one", "four"]);
    world.assert_agreed();
}

#[test]
fn a_failed_commit_takes_back_what_was_said() {
    let mut world = World::connected(2);
    world.say(0, "before");
    world.hosts[0].disk.full = true;
    let pulse = Pulse { summary: Some("never".to_owned()), ..Pulse::default() };
    let state = Request::State(api::state::Request { pulse, clear: Vec::new() });
    refusal(world.call(0, state), ErrorCode::Storage);
    world.hosts[0].disk.full = false;
    world.assert_agreed();
    let Ok(Reply::Pulse(picture)) = world.call(0, Request::Pulse(api::pulse::Request::default())) else { panic!() };
    assert_eq!(picture.agents[0].pulse.summary.as_deref(), Some("before"));
    world.say(0, "after");
    world.assert_agreed();
}

#[test]
fn an_agent_whose_registration_failed_registers_again() {
    let mut world = World::connected(2);
    world.hosts[0].disk.full = true;
    let request = |text: &str| Request::Send(api::send::Request { text: text.to_owned(), ..Default::default() });
    refusal(world.call_as(0, "coder", request("one")), ErrorCode::Storage);
    world.hosts[0].disk.full = false;
    world.call_as(0, "coder", request("two")).unwrap();
    world.send(1, &["coder@n0"], "hello").unwrap();
    world.assert_agreed();
}

#[test]
fn what_could_not_be_stored_from_others_is_fetched_again() {
    let mut world = World::connected(2);
    world.hosts[1].disk.full = true;
    world.send(0, &["p1"], "one").unwrap();
    assert_eq!(world.history(1).len(), 0);
    world.hosts[1].disk.full = false;
    world.wait(Duration::from_secs(31));
    assert_eq!(world.texts(1), ["one"]);
    world.assert_agreed();
}

#[test]
fn a_fork_that_could_not_be_stored_is_stored_later() {
    let mut world = World::connected(2);
    let (mut scribe, ops) = Scribe::log(2, 3, 1);
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    scribe.last = Some(ops[0].clone());
    let other = scribe.message("something else");
    world.hosts[0].disk.full = true;
    world.push(1, 0, &[&other]);
    world.hosts[0].disk.full = false;
    world.wait(Duration::from_secs(40));
    assert_eq!(world.hosts[0].disk.forks.len(), 1);
    assert_eq!(world.status(1).forks.len(), 1);
    world.assert_agreed();
}

#[test]
fn a_message_too_large_for_an_entry_leaves_no_gap() {
    let mut world = World::connected(2);
    // Each character takes six bytes as JSON.
    let text = "\u{1}".repeat(30_000);
    let request = api::send::Request { to: vec!["p1".to_owned()], text, ..Default::default() };
    refusal(world.call_as(0, "coder", Request::Send(request)), ErrorCode::TooLarge);
    world.send(0, &["p1"], "short").unwrap();
    assert_eq!(world.texts(1), ["short"]);
    world.assert_agreed();
}

#[test]
fn six_hundred_pulses_go_through_epochs_and_survive_a_restart() {
    let mut world = World::connected(3);
    for number in 0..600 {
        world.say(0, &format!("pulse {number}"));
        world.now += Duration::from_millis(10);
        if number == 300 {
            world.restart(2);
            world.connect(0, 2);
            world.connect(1, 2);
        }
    }
    world.assert_agreed();
    let before = world.digests(0);
    for n in 0..3 {
        world.restart(n);
        assert_eq!(world.digests(n), before, "n{n}");
    }
    let checkpoints = world.hosts[0].disk.ops.values().filter(|write| {
        let header = write.op.header();
        header.kind == Kind::Checkpoint && header.author == world.hosts[0].key.id()
    });
    // One agent has little to restate, so an epoch is short; and restating is the smaller part of what is written.
    let checkpoints = checkpoints.count();
    assert!((8..30).contains(&checkpoints), "{checkpoints}");
    let loaded = world.hosts[0].disk.load().changes.len();
    assert!(loaded < 100, "{loaded}");
}

#[test]
fn a_late_joiner_catches_up_with_a_thousand_entries() {
    let mut world = World::new(2);
    for number in 0..1000 {
        world.send(0, &[], &format!("message {number} {}", "x".repeat(500))).unwrap();
    }
    world.connect(0, 1);
    world.wait(Duration::from_secs(1));
    world.assert_agreed();
    assert_eq!(world.ops(0), world.ops(1));
}

#[test]
fn own_entries_go_on_where_they_were_after_a_restart() {
    let mut world = World::connected(2);
    world.send(0, &["p1"], "one").unwrap();
    world.restart(0);
    world.send(0, &["p1"], "two").unwrap();
    world.connect(0, 1);
    assert_eq!(world.texts(1), ["one", "two"]);
    assert_eq!(world.hosts[0].disk.logs.values().filter(|log| log.key.author == key(1).id()).count(), 1);
}

#[test]
fn nothing_is_told_to_others_before_it_is_durable() {
    let mut world = World::connected(2);
    world.hosts[0].sent.clear();
    world.hosts[0].disk.full = true;
    refusal(world.send(0, &["p1"], "never"), ErrorCode::Storage);
    let pushed = world.hosts[0].sent.iter().any(|(_, frame)| matches!(frame, Frame::Push { .. }));
    assert!(!pushed && world.hosts[0].published == 0);
}

#[test]
fn a_clock_that_was_a_day_ahead_keeps_nothing_back_once_it_is_right() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let mut world = World::connected(2);
    world.disconnect(0, 1);
    world.skew_ms = DAY_MS;
    let early = world.send(0, &["p1"], "from tomorrow").unwrap();
    world.skew_ms = 0;
    let now = world.send(0, &["p1"], "from today").unwrap();
    world.say(0, "back in time");
    world.connect(0, 1);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.texts(1), ["from today"]);
    let pulse = world.ask(1, api::pulse::Request::default());
    assert!(pulse.agents.iter().any(|row| row.pulse.summary.as_deref() == Some("back in time")), "{pulse:?}");
    assert!(world.notices(0).iter().any(|notice| notice.contains("clock was ahead")), "{:?}", world.notices(0));
    // What the other node says can be answered and built on meanwhile.
    world.send(1, &["p0"], "and yours?").unwrap();
    world.send(0, &["p1"], "right again").unwrap();
    assert_eq!(world.texts(0), ["and yours?"]);
    assert!(world.texts(1).contains(&"right again".to_owned()));
    // A day later the early one is taken as well, and nothing was lost or taken twice.
    world.skew_ms = DAY_MS;
    world.wait(Duration::from_secs(60));
    let ids: Vec<_> = world.history(1).iter().map(|message| message.id).collect();
    assert!(ids.contains(&early.id) && ids.contains(&now.id), "{ids:?}");
    world.assert_agreed();
}
