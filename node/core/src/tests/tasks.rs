//! Tasks at the doors: what may be done with them, by whom, and what everybody sees.

use fedp2p_protocols::api::claim::State::Overdue;
use fedp2p_protocols::api::task::{Assignee, Bidding, Counts, Task};
use fedp2p_protocols::api::{
    role_assign, task_award, task_bid, task_cancel, task_claim, task_edit, task_list, task_new, task_next, task_show,
    task_update,
};
use fedp2p_protocols::task::{Priority, State};

use super::*;

fn new(id: &str, more: task_new::Request) -> Request {
    Request::TaskNew(task_new::Request { id: Some(id.to_owned()), title: format!("do {id}"), ..more })
}

pub(super) fn plain(id: &str) -> Request {
    new(id, task_new::Request::default())
}

fn after(id: &str, needs: &[&str]) -> Request {
    let after = needs.iter().map(|need| (*need).to_owned()).collect();
    new(id, task_new::Request { after, ..Default::default() })
}

fn to(id: &str, to: &str) -> Request {
    new(id, task_new::Request { to: Some(to.to_owned()), ..Default::default() })
}

pub(super) fn start(id: &str) -> Request {
    Request::TaskClaim(task_claim::Request { id: id.to_owned(), ..Default::default() })
}

pub(super) fn update(id: &str, state: State, note: Option<&str>) -> Request {
    let note = note.map(str::to_owned);
    Request::TaskUpdate(task_update::Request { id: id.to_owned(), state: Some(state), note, result: None })
}

pub(super) fn edit(id: &str, more: task_edit::Request) -> Request {
    Request::TaskEdit(task_edit::Request { id: id.to_owned(), ..more })
}

fn retry(id: &str) -> Request {
    edit(id, task_edit::Request { retry: true, ..Default::default() })
}

fn cancel(id: &str) -> Request {
    Request::TaskCancel(task_cancel::Request { id: id.to_owned(), reason: None })
}

fn bid(id: &str, cost: Option<u32>, reason: &str) -> Request {
    Request::TaskBid(task_bid::Request { id: id.to_owned(), cost, reason: Some(reason.to_owned()) })
}

fn award(id: &str, agent: Option<&str>) -> Request {
    let agent = agent.map(str::to_owned);
    Request::TaskAward(task_award::Request { id: id.to_owned(), agent, reason: Some("fits".to_owned()) })
}

fn analyst(agent: &str, subtask: Option<(&str, &str)>) -> Request {
    Request::RoleAssign(role_assign::Request {
        agent: agent.to_owned(),
        role: "analyst".parse().unwrap(),
        subtask: subtask.map(|(_, text)| text.to_owned()),
        subtask_id: subtask.map(|(id, _)| id.to_owned()),
        conversation: None,
    })
}

pub(super) fn next(world: &mut World, n: usize) -> Option<String> {
    world.ask(n, task_next::Request::default()).task.map(|task| task.id)
}

fn ready(world: &mut World, n: usize) -> Vec<String> {
    let tasks = world.ask(n, task_list::Request { ready: true, ..Default::default() }).tasks;
    tasks.into_iter().map(|task| task.id).collect()
}

fn shown(world: &mut World, n: usize, id: &str) -> Task {
    *world.ask(n, task_show::Request { id: id.to_owned() })
}

/// A task as all nodes show it; it must be the same.
pub(super) fn agreed(world: &mut World, id: &str) -> Task {
    let first = shown(world, 0, id);
    for n in 1..world.hosts.len() {
        assert_eq!(shown(world, n, id), first, "n{n}");
    }
    first
}

pub(super) fn team() -> World {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    world
}

#[test]
fn a_task_goes_from_its_maker_to_who_does_it_and_back() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    assert_eq!(agreed(&mut world, "build").state, State::Submitted);
    world.call(1, start("build")).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.holder.unwrap().agent.to_string()), (State::Working, "p1@n1".to_owned()));
    world.call(1, update("build", State::Working, Some("half done"))).unwrap();
    world.call(1, update("build", State::InputRequired, Some("which flag?"))).unwrap();
    assert_eq!(agreed(&mut world, "build").note.as_deref(), Some("which flag?"));
    world.call(1, start("build")).unwrap();
    assert_eq!(agreed(&mut world, "build").state, State::Working, "it goes on with what it waited for");
    let done = task_update::Request {
        id: "build".to_owned(),
        state: Some(State::Completed),
        note: None,
        result: Some("target/app".to_owned()),
    };
    world.call(1, Request::TaskUpdate(done)).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.holder, task.result.as_deref()), (State::Completed, None, Some("target/app")));
    assert!(task.statements.iter().all(|said| said.counts == Counts::Yes));
    world.restart(1);
    assert_eq!(shown(&mut world, 1, "build").state, State::Completed);
}

#[test]
fn what_may_not_follow_is_refused_and_changes_nothing() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    refusal(world.call(1, update("build", State::Completed, None)), ErrorCode::Conflict);
    refusal(world.call(1, update("build", State::Canceled, None)), ErrorCode::Invalid);
    world.call(1, start("build")).unwrap();
    let before = agreed(&mut world, "build");
    // Another holds it, and the one that does cannot go everywhere from here.
    let held = refusal(world.call(2, start("build")), ErrorCode::Conflict);
    assert!(held.message.contains("p1@n1 holds"), "{}", held.message);
    refusal(world.call(2, update("build", State::Completed, None)), ErrorCode::Conflict);
    refusal(world.call(1, update("build", State::Rejected, None)), ErrorCode::Conflict);
    refusal(world.call(1, update("build", State::Working, None)), ErrorCode::Invalid);
    let early = task_update::Request { id: "build".to_owned(), result: Some("x".to_owned()), ..Default::default() };
    refusal(world.call(1, Request::TaskUpdate(early)), ErrorCode::Invalid);
    refusal(world.call(1, update("build", State::Working, Some(&"x".repeat(1025)))), ErrorCode::TooLarge);
    assert_eq!(agreed(&mut world, "build"), before);
    world.call(1, update("build", State::Completed, None)).unwrap();
    for state in [State::Submitted, State::Working, State::InputRequired, State::Completed, State::Failed] {
        refusal(world.call(1, update("build", state, Some("again"))), ErrorCode::Conflict);
    }
    refusal(world.call(1, update("build", State::Rejected, None)), ErrorCode::Conflict);
    refusal(world.call(2, start("build")), ErrorCode::Conflict);
    refusal(world.call(0, cancel("build")), ErrorCode::Conflict);
    refusal(world.call(0, retry("build")), ErrorCode::Conflict);
    assert_eq!(agreed(&mut world, "build").state, State::Completed);
}

#[test]
fn a_task_that_is_no_task_is_refused() {
    let mut world = team();
    for (request, code) in [
        (new("Build It", task_new::Request::default()), ErrorCode::Invalid),
        (after("build", &["nothing"]), ErrorCode::NotFound),
        (after("build", &["build"]), ErrorCode::Invalid),
        (to("build", "nobody"), ErrorCode::NotFound),
        (to("build", "role:nobody"), ErrorCode::NotFound),
        (new("build", task_new::Request { due_s: Some(0), ..Default::default() }), ErrorCode::Invalid),
        (new("build", task_new::Request { text: Some("x".repeat(8193)), ..Default::default() }), ErrorCode::TooLarge),
        (
            new("build", task_new::Request { data: Some("x".repeat(4096).into()), ..Default::default() }),
            ErrorCode::TooLarge,
        ),
        (
            new(
                "build",
                task_new::Request { offer: Some(Bidding { until_s: None, auto: true }), ..Default::default() },
            ),
            ErrorCode::Invalid,
        ),
        (Request::TaskNew(task_new::Request { title: " ".to_owned(), ..Default::default() }), ErrorCode::Invalid),
        (Request::TaskNew(task_new::Request { title: "x".repeat(257), ..Default::default() }), ErrorCode::Invalid),
        (start("build"), ErrorCode::NotFound),
    ] {
        refusal(world.call(0, request), code);
    }
    assert_eq!(world.ask(0, task_list::Request { all: true, ..Default::default() }).tasks.len(), 0);
    world.call(0, plain("build")).unwrap();
    refusal(world.call(0, plain("build")), ErrorCode::Conflict);
    let meant = refusal(world.call(1, start("biuld")), ErrorCode::NotFound);
    assert_eq!(meant.suggestions, ["build"]);
    world.call(1, plain("build")).unwrap();
    assert_eq!(refusal(world.call(2, start("build")), ErrorCode::Ambiguous).suggestions, ["build@n0", "build@n1"]);
    world.call(2, start("build@n1")).unwrap();
    assert_eq!(shown(&mut world, 0, "build@n1").id, "build@n1");
}

#[test]
fn tasks_wait_for_what_they_come_after() {
    let mut world = team();
    world.call(0, plain("design")).unwrap();
    world.call(1, after("build", &["design"])).unwrap();
    world.call(2, after("ship", &["build", "design"])).unwrap();
    assert_eq!(ready(&mut world, 1), ["design"]);
    let blocked = refusal(world.call(1, start("ship")), ErrorCode::Conflict);
    assert!(blocked.message.contains("comes after build, design"), "{}", blocked.message);
    for (n, id) in [(1, "design"), (2, "build"), (0, "ship")] {
        assert_eq!(next(&mut world, n).as_deref(), Some(id));
        assert_eq!(next(&mut world, (n + 1) % 3), None);
        assert_eq!(next(&mut world, n).as_deref(), Some(id), "it works on that one");
        world.call(n, update(id, State::Completed, None)).unwrap();
    }
    assert_eq!(world.ask(0, task_next::Request::default()).open, 0);
}

#[test]
fn circles_are_refused_and_one_that_two_halves_made_holds_up_nobody() {
    let mut world = team();
    world.call(0, plain("a")).unwrap();
    world.call(1, after("b", &["a"])).unwrap();
    world.call(2, after("c", &["b"])).unwrap();
    let after_c = |id: &str| edit(id, task_edit::Request { after: Some(vec!["c".to_owned()]), ..Default::default() });
    let circle = refusal(world.call(0, after_c("a")), ErrorCode::Conflict);
    assert_eq!(circle.message, "a circle: a after c after b after a");
    world.call(0, plain("d")).unwrap();
    world.call(1, plain("e")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(0, 2);
    let after_one = |id: &str, need: &str| {
        edit(id, task_edit::Request { after: Some(vec![need.to_owned()]), ..Default::default() })
    };
    world.call(0, after_one("d", "e")).unwrap();
    world.call(1, after_one("e", "d")).unwrap();
    world.connect(0, 1);
    world.connect(0, 2);
    world.wait(Duration::from_secs(30));
    let (d, e) = (agreed(&mut world, "d"), agreed(&mut world, "e"));
    assert_eq!([d.after[0].circle, e.after[0].circle].iter().filter(|circle| **circle).count(), 1);
    assert_eq!([d.blocked, e.blocked].iter().filter(|blocked| **blocked).count(), 1);
}

#[test]
fn the_most_pressing_task_comes_first() {
    let mut world = team();
    let of = |priority, due_s| task_new::Request { priority, due_s, ..Default::default() };
    world.call(0, new("old", of(Priority::Normal, None))).unwrap();
    world.wait(Duration::from_secs(1));
    world.call(0, new("due-later", of(Priority::Normal, Some(90)))).unwrap();
    world.call(0, new("due", of(Priority::Normal, Some(60)))).unwrap();
    world.call(0, new("urgent", of(Priority::Urgent, None))).unwrap();
    world.call(0, new("low", of(Priority::Low, Some(1)))).unwrap();
    assert_eq!(ready(&mut world, 1), ["urgent", "due", "due-later", "old", "low"]);
    assert_eq!(next(&mut world, 2).as_deref(), Some("urgent"));
    let list = world.ask(1, task_list::Request { limit: Some(2), ..Default::default() });
    assert_eq!((list.tasks.len(), list.more), (2, 3));
}

#[test]
fn a_task_is_for_those_whom_it_names() {
    let mut world = team();
    world.call(0, to("mine", "p1@n1")).unwrap();
    world.call(0, analyst("p2", None)).unwrap();
    world.call(0, to("profile", "role:analyst")).unwrap();
    assert_eq!(ready(&mut world, 0), [""; 0]);
    refusal(world.call(0, start("mine")), ErrorCode::Forbidden);
    refusal(world.call(1, start("profile")), ErrorCode::Forbidden);
    assert_eq!((next(&mut world, 1).as_deref(), next(&mut world, 2).as_deref()), (Some("mine"), Some("profile")));
    world.call(0, to("other", "p1@n1")).unwrap();
    refusal(world.call(2, update("other", State::Rejected, None)), ErrorCode::Forbidden);
    world.call(1, update("other", State::Rejected, Some("no time"))).unwrap();
    let task = agreed(&mut world, "other");
    assert_eq!((task.state, task.note.as_deref(), task.holder), (State::Rejected, Some("no time"), None));
    let everybody = task_edit::Request { to: Some("anyone".to_owned()), retry: true, ..Default::default() };
    world.call(0, edit("other", everybody)).unwrap();
    assert_eq!(agreed(&mut world, "other").to, Assignee::Anyone);
    assert_eq!(next(&mut world, 0).as_deref(), Some("other"));
}

#[test]
fn a_task_that_was_handed_back_or_failed_can_be_done_by_another() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    world.call(1, start("build")).unwrap();
    world.call(1, update("build", State::Submitted, Some("needs a Mac"))).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.holder, task.note.as_deref()), (State::Submitted, None, Some("needs a Mac")));
    world.call(2, start("build")).unwrap();
    assert_eq!(agreed(&mut world, "build").statements[0].counts, Counts::Stale);
    world.call(2, update("build", State::Failed, Some("no linker"))).unwrap();
    refusal(world.call(1, start("build")), ErrorCode::Conflict);
    refusal(world.call(1, retry("build")), ErrorCode::Forbidden);
    world.call(0, retry("build")).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.attempt, task.note), (State::Submitted, 2, None));
    assert!(task.statements.iter().all(|said| said.counts == Counts::OtherAttempt));
    world.call(1, start("build")).unwrap();
    world.call(1, update("build", State::Completed, None)).unwrap();
    assert_eq!(agreed(&mut world, "build").state, State::Completed);
}

#[test]
fn what_its_maker_cancels_is_over_for_whoever_works_on_it() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    world.call(1, start("build")).unwrap();
    refusal(world.call(1, cancel("build")), ErrorCode::Forbidden);
    world.call(0, cancel("build")).unwrap();
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.holder), (State::Canceled, None));
    assert_eq!(world.texts(1), ["task \"build\", which you hold under claim 1, is canceled; stop working on it"]);
    refusal(world.call(1, update("build", State::Completed, None)), ErrorCode::Conflict);
    world.call(0, retry("build")).unwrap();
    assert_eq!(next(&mut world, 2).as_deref(), Some("build"));
}

#[test]
fn a_task_that_nobody_made_can_be_made_by_who_claims_it() {
    let mut world = team();
    let claim = |create| {
        Request::TaskClaim(task_claim::Request {
            id: "memory-profile".to_owned(),
            description: Some("Running valgrind analysis".to_owned()),
            create,
            ttl_s: None,
        })
    };
    refusal(world.call(1, claim(false)), ErrorCode::NotFound);
    world.call(1, claim(true)).unwrap();
    let task = agreed(&mut world, "memory-profile");
    assert_eq!((task.state, task.title.as_str()), (State::Working, "Running valgrind analysis"));
    assert_eq!(task.note.as_deref(), Some("Running valgrind analysis"));
    refusal(world.call(2, claim(true)), ErrorCode::Conflict);
}

#[test]
fn a_role_can_come_with_something_to_do() {
    let mut world = team();
    let text = "Profile memory allocation in auth module\nwith valgrind";
    world.call(0, analyst("p1", Some(("memory-profile", text)))).unwrap();
    let task = agreed(&mut world, "memory-profile");
    assert_eq!(task.title, "Profile memory allocation in auth module");
    assert_eq!((task.text.as_deref(), task.to), (Some(text), Assignee::Agent("p1@n1".parse().unwrap())));
    refusal(world.call(0, analyst("p2", Some(("memory-profile", "again")))), ErrorCode::Conflict);
    refusal(world.call(0, analyst("p2", Some(("", "again")))), ErrorCode::Invalid);
    assert_eq!(world.ask(0, fedp2p_protocols::api::role_list::Request::default()).roles.len(), 1);
}

/// All tasks as a node shows them, without what depends on the time that it saw pass.
fn everything(world: &mut World, n: usize) -> Vec<Task> {
    let list = world.ask(n, task_list::Request { all: true, ..Default::default() });
    list.tasks.iter().map(|task| shown(world, n, &task.id)).collect()
}

#[test]
fn a_task_whose_holder_dies_is_done_by_another() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    let short = task_claim::Request { id: "build".to_owned(), ttl_s: Some(10), ..Default::default() };
    world.call_as(1, "robot", Request::TaskClaim(short)).unwrap();
    world.wait(Duration::from_secs(5));
    assert_eq!(ready(&mut world, 2), [""; 0]);
    world.wait(Duration::from_secs(10));
    assert_eq!(agreed(&mut world, "build").state, State::Submitted);
    assert_eq!(next(&mut world, 2).as_deref(), Some("build"));
    // Back from the dead, it is told.
    let late = refusal(world.call_as(1, "robot", update("build", State::Completed, None)), ErrorCode::Conflict);
    assert!(late.message.contains("p2@n2 holds"), "{}", late.message);
    world.call(2, update("build", State::Completed, None)).unwrap();
    assert_eq!(agreed(&mut world, "build").state, State::Completed);
}

#[test]
fn a_task_whose_holders_machine_dies_is_done_by_another() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    let short =
        || Request::TaskClaim(task_claim::Request { id: "build".to_owned(), ttl_s: Some(10), ..Default::default() });
    world.call(1, short()).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    refusal(world.call(2, start("build")), ErrorCode::Conflict);
    world.wait(Duration::from_secs(15));
    assert_eq!(ready(&mut world, 2), ["build"]);
    assert_eq!(next(&mut world, 2).as_deref(), Some("build"));
    world.call(2, update("build", State::Completed, None)).unwrap();
    // What the one that was cut off says meanwhile does not count.
    drop(world.call(1, update("build", State::Completed, Some("me too"))));
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(Duration::from_secs(40));
    let task = agreed(&mut world, "build");
    assert_eq!(task.state, State::Completed);
    let counted: Vec<&str> = task
        .statements
        .iter()
        .filter(|said| said.counts == Counts::Yes && said.state == State::Completed)
        .map(|said| said.by.agent.as_str())
        .collect();
    assert_eq!(counted, ["p2"]);
}

#[test]
fn what_was_done_stays_done_however_much_is_done_after_it() {
    let mut world = team();
    world.call(0, plain("again")).unwrap();
    for at in 0..40 {
        let id = format!("t{at}");
        world.call(0, plain(&id)).unwrap();
        for (id, state) in [(id.as_str(), State::Completed), ("again", State::Submitted)] {
            world.call(1, start(id)).unwrap();
            world.call(1, update(id, state, None)).unwrap();
        }
    }
    for at in 0..40 {
        assert_eq!(agreed(&mut world, &format!("t{at}")).state, State::Completed, "t{at}");
    }
    let core = &world.hosts[1].core;
    let kept = core.documents.content(&core.lobby, &core.me()).claims.len();
    assert!(kept < 80, "{kept} claims are kept; those on what was handed back or is recorded are not needed");
}

#[test]
fn of_two_halves_that_take_one_task_one_keeps_it() {
    let mut world = World::connected(5);
    for n in 0..5 {
        world.say(n, "here");
    }
    world.call(0, plain("build")).unwrap();
    for (a, b) in [(0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4)] {
        world.disconnect(a, b);
    }
    for n in [0, 3] {
        world.calls += 1;
        let (id, request) = (CallId(world.calls), start("build"));
        let caller = Caller { name: format!("p{n}").parse().unwrap(), kind: AgentKind::Person };
        world.give(n, Input::Call { id, caller, request });
    }
    world.wait(Duration::from_secs(60));
    assert_eq!(shown(&mut world, 1, "build").holder.unwrap().agent.to_string(), "p0@n0");
    drop(world.call(3, update("build", State::Completed, None)));
    for (a, b) in [(0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4)] {
        world.connect(a, b);
    }
    world.wait(Duration::from_secs(40));
    // Which of the two is heard follows from the numbers of their claims, and is the same everywhere.
    let task = agreed(&mut world, "build");
    let heard = |task: &Task| -> BTreeSet<String> {
        let counted = task.statements.iter().filter(|said| said.counts == Counts::Yes);
        counted.map(|said| said.by.agent.to_string()).collect()
    };
    let done = heard(&task) == BTreeSet::from(["p3".to_owned()]);
    assert!(done || heard(&task) == BTreeSet::from(["p0".to_owned()]), "{task:?}");
    assert_eq!((task.state == State::Completed, task.holder.is_none()), (done, done));
    assert_eq!(world.call(0, update("build", State::Completed, None)).is_err(), done);
    let task = agreed(&mut world, "build");
    assert_eq!((task.state, task.holder.is_none(), heard(&task).len()), (State::Completed, true, 1));
    for n in 0..5 {
        assert_eq!(everything(&mut world, n).len(), 1);
    }
    world.assert_agreed();
}

#[test]
fn bids_lead_to_an_award_that_everybody_understands() {
    let mut world = team();
    let offer = Some(Bidding::default());
    world.call(0, new("profile", task_new::Request { offer, ..Default::default() })).unwrap();
    assert_eq!(next(&mut world, 1), None);
    refusal(world.call(1, start("profile")), ErrorCode::Conflict);
    refusal(world.call(0, award("profile", None)), ErrorCode::Conflict);
    world.call(1, bid("profile", Some(8), "I know valgrind")).unwrap();
    world.call(2, bid("profile", Some(9), "idle")).unwrap();
    world.call(2, bid("profile", Some(5), "idle, and I know it too")).unwrap();
    let offer = agreed(&mut world, "profile").offer.unwrap();
    let bidders: Vec<String> = offer.bids.iter().map(|bid| bid.by.to_string()).collect();
    assert_eq!(bidders, ["p2@n2", "p1@n1"]);
    refusal(world.call(0, award("profile", Some("p0"))), ErrorCode::Conflict);
    refusal(world.call(1, award("profile", None)), ErrorCode::Forbidden);
    world.call(0, award("profile", Some("p1"))).unwrap();
    let award = agreed(&mut world, "profile").offer.unwrap().award.unwrap();
    assert_eq!((award.to.to_string().as_str(), award.reason.as_deref()), ("p1@n1", Some("fits")));
    refusal(world.call(2, bid("profile", None, "late")), ErrorCode::Conflict);
    assert_eq!((next(&mut world, 2), next(&mut world, 1).as_deref()), (None, Some("profile")));
}

#[test]
fn the_best_bid_gets_a_task_by_itself_when_the_time_is_up_even_over_a_restart() {
    let mut world = team();
    let offer = Some(Bidding { until_s: Some(20), auto: true });
    world.call(0, new("profile", task_new::Request { offer, ..Default::default() })).unwrap();
    world.call(0, new("nobody-wants", task_new::Request { offer, ..Default::default() })).unwrap();
    world.call(1, bid("profile", None, "for nothing in return")).unwrap();
    world.call(2, bid("profile", Some(100), "dear")).unwrap();
    world.restart(0);
    world.connect(0, 1);
    world.connect(0, 2);
    world.wait(Duration::from_secs(25));
    assert_eq!(agreed(&mut world, "profile").to, Assignee::Agent("p2@n2".parse().unwrap()));
    assert_eq!(next(&mut world, 1).as_deref(), Some("nobody-wants"));
}

#[test]
fn a_task_whose_winner_does_not_begin_is_free_again_for_those_who_were_asked() {
    let mut world = team();
    for agent in ["p1", "p2"] {
        world.call(0, analyst(agent, None)).unwrap();
    }
    let offer = Some(Bidding { until_s: Some(20), auto: true });
    for id in ["left", "begun"] {
        let to = Some("role:analyst".to_owned());
        world.call(0, new(id, task_new::Request { offer, to, ..Default::default() })).unwrap();
        refusal(world.call(0, bid(id, Some(1), "not asked")), ErrorCode::Forbidden);
        world.call(1, bid(id, Some(2), "idle")).unwrap();
        world.call(2, bid(id, Some(5), "busy")).unwrap();
    }
    world.wait(Duration::from_secs(25));
    for id in ["left", "begun"] {
        assert_eq!(agreed(&mut world, id).to, Assignee::Agent("p1@n1".parse().unwrap()), "{id}");
    }
    world.call(1, start("begun")).unwrap();
    world.wait(Duration::from_secs(800));
    assert_eq!(next(&mut world, 2), None);
    world.call(1, update("begun", State::Working, Some("half done"))).unwrap();
    world.wait(Duration::from_secs(150));
    assert_eq!(agreed(&mut world, "left").to, Assignee::Role("analyst".parse().unwrap()));
    assert_eq!(agreed(&mut world, "begun").to, Assignee::Agent("p1@n1".parse().unwrap()));
    assert_eq!(next(&mut world, 2).as_deref(), Some("left"));
    // Nor is it kept for ever for one that began.
    world.wait(Duration::from_secs(2_000));
    assert_eq!(next(&mut world, 2).as_deref(), Some("left"), "it was not finished");
    assert_eq!(agreed(&mut world, "begun").to, Assignee::Role("analyst".parse().unwrap()));
    world.assert_agreed();
}

#[test]
fn those_who_watch_see_what_becomes_of_tasks() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    world.call(1, start("build")).unwrap();
    world.call(1, update("build", State::Completed, None)).unwrap();
    let states = |events: &[watch::Event]| -> Vec<State> {
        let state = |event: &watch::Event| if let watch::Event::Task(task) = event { Some(task.state) } else { None };
        let mut states: Vec<State> = events.iter().filter_map(state).collect();
        states.dedup();
        states
    };
    for n in 0..3 {
        assert_eq!(states(&world.hosts[n].events), [State::Submitted, State::Working, State::Completed], "n{n}");
    }
}

#[test]
fn an_agent_that_asks_for_another_works_on_several_and_leaves_out_what_it_names() {
    let mut world = team();
    for id in ["one", "two", "three"] {
        world.call(0, plain(id)).unwrap();
    }
    let another = |world: &mut World, except: &[&str]| {
        let except = except.iter().map(|id| (*id).to_owned()).collect();
        world.ask(1, task_next::Request { another: true, except, ..Default::default() }).task.map(|task| task.id)
    };
    assert_eq!(another(&mut world, &["one", "two@n0", "over-long-ago"]).as_deref(), Some("three"));
    assert_eq!(next(&mut world, 1).as_deref(), Some("three"), "who does not ask for another goes on where it was");
    let more = [another(&mut world, &[]), another(&mut world, &[])];
    assert!(more.iter().flatten().all(|id| id != "three") && more[0] != more[1], "{more:?}");
    assert_eq!(another(&mut world, &[]), None);
    assert_eq!(next(&mut world, 2), None);
    let except = vec!["one".to_owned(); 65];
    let request = task_next::Request { except, ..Default::default() };
    refusal(world.call(1, Request::TaskNext(request)), ErrorCode::TooLarge);
}

#[test]
fn those_who_wait_for_work_are_told_when_the_lease_of_a_vanished_node_runs_out() {
    let mut world = team();
    world.call(0, plain("build")).unwrap();
    let request = task_claim::Request { id: "build".to_owned(), ttl_s: Some(60), ..Default::default() };
    world.call(1, Request::TaskClaim(request)).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.hosts[2].events.clear();
    world.wait(Duration::from_secs(61));
    let overdue = |event: &watch::Event| matches!(event, watch::Event::Claim(claim) if claim.state == Overdue);
    assert_eq!(world.hosts[2].events.iter().filter(|event| overdue(event)).count(), 1);
    assert_eq!(next(&mut world, 2).as_deref(), Some("build"));
}
