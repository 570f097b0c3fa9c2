//! How runners end, and what they end.

use std::fs;

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_protocols::api::task_cancel;
use fedp2p_protocols::task::State;
use fedp2p_tests::{eventually, holds};

use crate::team::Team;

/// Says which process group it leads, and works as long as it is let.
const LASTS: &str = r#"trap 'touch "$here/asked"; exit 1' TERM
echo $$ > "$here/pid.new" && mv "$here/pid.new" "$here/pid"
while ! test -e "$here/go"; do sleep 0.05; done
echo ok"#;

/// Whether a process is there and has not ended.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn who_is_interrupted_finishes_what_it_has_in_hand() {
    let team = Team::new();
    let script = team.script("work.sh", LASTS);
    team.make(["t1", "t2"].map(str::to_owned));
    let mut runner = team.run(&["--name", "worker", "--tasks", "--drain", "5m", "--", &script]);
    team.wait_for_file("pid");
    runner.signal_interrupt();
    runner.wait_for("\"event\":\"stopping\"");
    team.touch("go");
    assert_eq!(runner.wait_for_end(), 0);
    let states = ["t1", "t2"].map(|id| team.task(id).state);
    assert!(states.contains(&State::Completed) && states.contains(&State::Submitted), "{states:?}");
}

#[test]
fn who_is_interrupted_again_hands_back_what_it_has_in_hand() {
    let team = Team::new();
    let script = team.script("work.sh", LASTS);
    team.make(["t1".to_owned()]);
    let mut runner = team.run(&["--name", "worker", "--drain", "5m", "--", &script]);
    let pid = team.wait_for_file("pid");
    let waits = team.node.send(&["worker"], "hello");
    runner.signal_interrupt();
    runner.wait_for("\"event\":\"stopping\"");
    assert_eq!(runner.interrupt(), 0);
    team.wait_for_file("asked");
    assert!(!lives(&pid));
    let task = team.task("t1");
    assert_eq!((task.state, task.note.as_deref()), (State::Submitted, Some("the runner was stopped")));
    assert!(task.holder.is_none(), "{task:?}");
    team.node.wait_for_delivery(&waits, DeliveryState::Stored);
}

#[test]
fn a_program_is_ended_when_its_task_is_canceled() {
    let team = Team::new();
    let script = team.script("work.sh", LASTS);
    team.make(["t1".to_owned()]);
    let mut runner = team.run(&["--name", "worker", "--", &script]);
    let pid = team.wait_for_file("pid");
    assert!(lives(&pid));
    team.node.call(task_cancel::Request { id: "t1".to_owned(), reason: None });
    runner.wait_for("\"event\":\"lost\"");
    eventually("the program is gone", || holds(!lives(&pid), &pid));
    assert_eq!(team.task("t1").state, State::Canceled);
    // It goes on with others.
    team.touch("go");
    team.make(["t2".to_owned()]);
    team.wait_for_task("t2", State::Completed);
    assert_eq!(runner.interrupt(), 0);
}

#[test]
fn the_programs_of_a_runner_that_is_killed_are_ended() {
    let team = Team::new();
    let script = team.script("work.sh", LASTS);
    team.make(["t1".to_owned()]);
    let mut runner = team.run(&["--name", "worker", "--", &script]);
    let pid = team.wait_for_file("pid");
    runner.kill();
    eventually("the program is gone", || holds(!lives(&pid), &pid));
}
