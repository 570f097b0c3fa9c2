//! `fedp2p wait`, from the shell.

use std::thread;

use fedp2p_tests::world::World;

#[test]
fn waiting_ends_when_something_concerns_the_agent() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let wait = |words: &[&str]| taichi.json(&[&["--agent", "coder", "wait", "--timeout", "60s"], words].concat());
    taichi.cli(&["--agent", "coder", "state", "--status", "READY"]).ok();
    let message = thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&[]));
        taichi.send(&["coder"], "wake up");
        waiting.join().unwrap()
    });
    assert_eq!(message["messages"][0]["text"], "wake up");
    assert_eq!(wait(&["--for", "message"])["messages"][0]["text"], "wake up", "nothing is marked as read");

    taichi.cli(&["vote", "new", "Which?", "a", "b", "--id", "which"]).ok();
    assert_eq!(wait(&["--for", "decision"])["decisions"][0]["id"], "which");
    taichi.cli(&["task", "new", "Anybody", "--id", "free"]).ok();
    let tasks = wait(&["--for", "task"]);
    assert_eq!((tasks["tasks"][0]["id"].as_str(), tasks["messages"].as_array().map(Vec::len)), (Some("free"), Some(0)));
    let words = taichi.cli(&["--agent", "coder", "wait"]).ok().stdout;
    assert!(words.contains("wake up") && words.contains("which") && !words.contains("Anybody"), "{words}");
}

#[test]
fn what_comes_is_seen_behind_everything_that_was_not_read() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    taichi.cli(&["--agent", "coder", "state", "--status", "READY"]).ok();
    for number in 0..60 {
        taichi.send(&["coder"], &format!("old {number}"));
    }
    let found = thread::scope(|scope| {
        let waiting = scope.spawn(|| taichi.json(&["--agent", "coder", "wait", "--new", "--timeout", "60s"]));
        // What comes before it looks for the first time is old.
        while !waiting.is_finished() {
            taichi.send(&["coder"], "new");
        }
        waiting.join().unwrap()
    });
    let texts: Vec<&str> =
        found["messages"].as_array().unwrap().iter().filter_map(|one| one["text"].as_str()).collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| *text == "new"), "{texts:?}");
}

#[test]
fn waiting_for_what_does_not_come_ends_with_its_own_code() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let (code, error) = taichi.refused(&["--agent", "coder", "wait", "--timeout", "50ms"]);
    assert_eq!((code, error["code"].as_str()), (4, Some("not_yet")), "{error}");
    taichi.send(&["coder"], "old");
    assert_eq!(taichi.cli(&["--agent", "coder", "wait", "--new", "--timeout", "50ms"]).code, 4);
    assert_eq!(taichi.cli(&["--agent", "coder", "wait", "--for", "claim", "--timeout", "50ms"]).code, 4);
    assert_eq!(taichi.cli(&["wait", "--for", "godot"]).code, 2);
    assert_eq!(world.node("nobody").cli(&["wait"]).code, 3);
}

#[test]
fn waiting_ends_when_the_daemon_does() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let mut waiting = taichi.follow(&["--agent", "coder", "wait"]);
    taichi.wait_for_agents(&["coder@taichi".to_owned()]);
    taichi.down();
    assert_eq!(waiting.wait_for_end(), 3);
}
