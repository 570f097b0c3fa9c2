//! Work on tasks that is interrupted, and tasks that are changed meanwhile.

use fedp2p_protocols::api::task_edit;
use fedp2p_protocols::task::State;

use super::tasks::{agreed, edit, next, plain, start, team, update};
use super::*;

/// A task can be held and not be begun: here the process of its holder died before it knew that it had won.
#[test]
fn what_is_held_and_not_begun_waits_for_what_it_comes_after_by_now() {
    let mut world = team();
    world.call(0, plain("design")).unwrap();
    world.call(0, plain("build")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.calls += 1;
    let (id, request) = (CallId(world.calls), start("build"));
    let caller = Caller { name: "p1".parse().unwrap(), kind: AgentKind::Person };
    world.give(1, Input::Call { id, caller, request });
    world.restart(1);
    world.connect(0, 1);
    world.connect(1, 2);
    let again = task_edit::Request { after: Some(vec!["design".to_owned()]), ..Default::default() };
    world.call(0, edit("build", again)).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.blocked, task.holder.is_some()), (State::Submitted, true, true));
    for request in [start("build"), update("build", State::Working, None)] {
        let blocked = refusal(world.call(1, request), ErrorCode::Conflict);
        assert!(blocked.message.contains("comes after design"), "{}", blocked.message);
    }
    assert_eq!(next(&mut world, 1).as_deref(), Some("design"));
    assert_eq!(agreed(&mut world, "build").state, State::Submitted);
    world.call(1, update("design", State::Completed, None)).unwrap();
    assert_eq!(next(&mut world, 1).as_deref(), Some("build"));
    // What was begun goes on, whatever it is to come after since.
    world.call(0, plain("review")).unwrap();
    let later = task_edit::Request { after: Some(vec!["review".to_owned()]), ..Default::default() };
    world.call(0, edit("build", later)).unwrap();
    assert_eq!(next(&mut world, 1).as_deref(), Some("build"));
    world.call(1, update("build", State::InputRequired, Some("is it reviewed?"))).unwrap();
    world.call(1, update("build", State::Working, None)).unwrap();
    world.call(1, update("build", State::Completed, None)).unwrap();
    assert_eq!(agreed(&mut world, "build").state, State::Completed);
}

/// Two calls of one agent for one task, while it cannot be known who wins it: neither is forgotten.
#[test]
fn a_second_call_for_a_task_that_is_being_claimed_is_refused() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.calls += 1;
    let (id, caller) = (CallId(world.calls), Caller { name: "p1".parse().unwrap(), kind: AgentKind::Person });
    world.give(1, Input::Call { id, caller, request: start("build") });
    // Its lease runs out meanwhile, as when the machine slept, so the task looks free.
    world.now += Duration::from_secs(7200);
    let refused = refusal(world.call(1, start("build")), ErrorCode::Conflict);
    assert!(refused.message.contains("another call of p1 is claiming"), "{}", refused.message);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.hosts[1].replies.iter().filter(|(call, _)| *call == id).count(), 1);
}
