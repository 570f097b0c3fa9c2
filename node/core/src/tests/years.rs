//! What piles up over years leaves the documents, and nothing that was decided changes by that.

use fedp2p_protocols::api::task::{Counts as TaskCounts, Task};
use fedp2p_protocols::api::{
    approval_answer, approval_ask, attention_set, inbox, pin_set, role_assign, role_remove, task_cancel, task_claim,
    task_edit, task_list, task_new, task_show, task_update, vote_ack, vote_cast, vote_close, vote_list, vote_new,
    vote_show,
};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::task::State;

use super::*;

const PIN: &str = "correct horse";
/// As long as it takes until something that is gone is believed to be.
const LONG: Duration = Duration::from_secs(1300);

fn make(id: &str) -> Request {
    Request::TaskNew(task_new::Request { id: Some(id.to_owned()), title: format!("do {id}"), ..Default::default() })
}

fn start(id: &str) -> Request {
    Request::TaskClaim(task_claim::Request { id: id.to_owned(), ttl_s: Some(60), ..Default::default() })
}

fn done(id: &str) -> Request {
    Request::TaskUpdate(task_update::Request {
        id: id.to_owned(),
        state: Some(State::Completed),
        note: None,
        result: Some(format!("did {id}")),
    })
}

fn cancel(id: &str) -> Request {
    Request::TaskCancel(task_cancel::Request { id: id.to_owned(), reason: None })
}

fn ask(id: &str) -> Request {
    Request::VoteNew(vote_new::Request {
        question: "Which auth approach?".to_owned(),
        options: ["OAuth2", "JWT"].map(str::to_owned).to_vec(),
        id: Some(id.to_owned()),
        ..Default::default()
    })
}

fn cast(id: &str, choice: &str) -> Request {
    Request::VoteCast(vote_cast::Request { id: id.to_owned(), choices: vec![choice.to_owned()], ..Default::default() })
}

fn close(id: &str) -> Request {
    Request::VoteClose(vote_close::Request { id: id.to_owned(), withdraw: false })
}

fn task(world: &mut World, n: usize, id: &str) -> Task {
    *world.ask(n, task_show::Request { id: id.to_owned() })
}

/// A tally as one node shows it.
fn tally(world: &mut World, n: usize, id: &str) -> String {
    let shown = *world.ask(n, vote_show::Request { id: id.to_owned() });
    format!("{:?} {:?} {:?} {:?}", shown.winner, shown.votes, shown.outcome, shown.cause)
}

/// Nodes that all know each other, of which the last one comes only in the end.
fn late(count: usize) -> World {
    let mut world = World::new(count);
    for b in 0..count - 1 {
        (0..b).for_each(|a| world.connect(a, b));
    }
    (0..count - 1).for_each(|n| world.say(n, "here"));
    world
}

/// How much the document of a node says: tasks, statements, claims, promises, questions, answers, agents.
fn size(world: &World, n: usize) -> [usize; 7] {
    let core = &world.hosts[n].core;
    let own = core.documents.content(&core.lobby, &core.me());
    [
        own.tasks.len(),
        own.statements.len(),
        own.claims.len(),
        own.acknowledged.len(),
        own.proposals.len(),
        own.ballots.len(),
        own.agents.len(),
    ]
}

/// The late one comes, and everybody says the same and can go on.
fn all_agree(world: &mut World) {
    let last = world.hosts.len() - 1;
    world.connect(0, last);
    world.wait(Duration::from_secs(60));
    world.assert_agreed();
    for n in 0..world.hosts.len() {
        world.say(n, "still here");
    }
    world.wait(Duration::from_secs(60));
    world.assert_agreed();
}

fn many_tasks(count: usize) {
    let mut world = late(3);
    for number in 0..count {
        let id = format!("t{number}");
        world.call(0, make(&id)).unwrap();
        world.call(1, start(&id)).unwrap();
        world.call(1, done(&id)).unwrap();
        world.wait(Duration::from_millis(10));
    }
    world.wait(Duration::from_secs(60));
    let busy = size(&world, 1);
    assert!(busy[1] <= 200 && busy[2] <= 80, "{busy:?}");
    all_agree(&mut world);
    world.wait(LONG);
    let (maker, worker) = (size(&world, 0), size(&world, 1));
    assert!(maker[0] <= 128 && worker[1] <= 200 && worker[2] <= 40 && maker[3] <= 40, "{maker:?} {worker:?}");
    let last = format!("t{}", count - 1);
    for n in 0..3 {
        let shown = task(&mut world, n, &last);
        assert_eq!((shown.state, shown.result), (State::Completed, Some(format!("did {last}"))), "n{n}");
        let gone =
            refusal(world.call(n, Request::TaskShow(task_show::Request { id: "t0".to_owned() })), ErrorCode::NotFound);
        assert!(gone.hint.unwrap().contains("log"), "n{n}");
    }
    assert_eq!(world.ask(0, task_list::Request::default()).tasks.len(), 0);
}

#[test]
fn tasks_that_are_over_leave_and_new_ones_are_made() {
    many_tasks(300);
}

fn many_questions(count: usize) {
    let mut world = late(3);
    let mut tallies = Vec::new();
    for number in 0..count {
        let id = format!("q{number}");
        world.call(0, ask(&id)).unwrap();
        world.call(1, Request::VoteAck(vote_ack::Request { id: id.clone(), revision: None })).unwrap();
        world.call(1, cast(&id, "jwt")).unwrap();
        world.call(1, cast(&id, "oauth2")).unwrap();
        world.call_as(0, "coder", cast(&id, if number % 3 == 0 { "jwt" } else { "oauth2" })).unwrap();
        world.call(0, close(&id)).unwrap();
        tallies.push(tally(&mut world, 0, &id));
        world.wait(Duration::from_millis(10));
    }
    world.wait(Duration::from_secs(60));
    all_agree(&mut world);
    for n in 0..3 {
        let shown = world.ask(n, vote_list::Request { all: true, ..Default::default() }).proposals;
        assert_eq!(shown.len(), 64, "n{n}");
        for (number, before) in tallies.iter().enumerate().skip(count - 64) {
            assert_eq!(tally(&mut world, n, &format!("q{number}")), *before, "n{n}");
        }
    }
    world.wait(LONG);
    let (asker, voter) = (size(&world, 0), size(&world, 1));
    assert!(asker[4] == 64 && asker[5] <= 200 && voter[5] <= 200, "{asker:?} {voter:?}");
    let core = &world.hosts[1].core;
    assert_eq!(core.documents.content(&core.lobby, &core.me()).seen.len(), 0);
    world.assert_agreed();
    for (number, before) in tallies.iter().enumerate().skip(count - 64) {
        assert_eq!(tally(&mut world, 2, &format!("q{number}")), *before);
    }
}

#[test]
fn questions_that_are_closed_leave_and_tallies_stay() {
    many_questions(200);
}

/// Agents that call once and never again.
fn many_agents(count: usize) {
    let mut world = late(3);
    let look = || Request::Inbox(inbox::Request::default());
    world.call_as(0, "stays", start("nothing")).unwrap_err();
    for number in 0..count {
        if number % 200 == 0 {
            world.wait(Duration::from_secs(700));
            world.call_as(0, "stays", look()).unwrap();
        }
        let name = format!("run{number}");
        world.call_as(0, &name, look()).unwrap();
        let attention = attention_set::Request { mode: Mode::Focus, urgent: Vec::new() };
        world.call_as(0, &name, Request::AttentionSet(attention)).unwrap();
    }
    world.wait(LONG);
    assert!(size(&world, 0)[6] <= 256, "{:?}", size(&world, 0));
    all_agree(&mut world);
    let core = &world.hosts[0].core;
    let own = core.documents.content(&core.lobby, &core.me());
    assert!(own.agents.keys().any(|name| name.as_str() == "p0"), "people stay");
    assert!(own.attention.len() <= own.agents.len());
    // Who calls again is there again.
    world.call_as(0, "run0", look()).unwrap();
    world.send(1, &["run0"], "welcome back").unwrap();
}

#[test]
fn agents_that_have_gone_leave_and_may_come_back() {
    many_agents(600);
}

#[test]
fn a_node_has_room_for_so_many_agents_at_a_time() {
    let mut world = World::connected(1);
    let look = || Request::Inbox(inbox::Request::default());
    let refused = (0..600).find_map(|number| world.call_as(0, &format!("run{number}"), look()).err()).unwrap();
    assert!(refused.hint.unwrap().contains("10 min"), "{}", refused.message);
    world.say(0, "still here");
    world.wait(LONG);
    world.call_as(0, "another", look()).unwrap();
}

#[test]
fn a_voter_that_changes_its_mind_for_ever_is_stopped() {
    let mut world = World::connected(1);
    world.call(0, ask("auth")).unwrap();
    let refused = (0..40).find_map(|_| world.call_as(0, "coder", cast("auth", "jwt")).err());
    assert!(refused.is_some_and(|error| error.code == ErrorCode::TooLarge && error.hint.is_some()));
    let back = vote_cast::Request { id: "auth".to_owned(), ..Default::default() };
    world.call_as(0, "coder", Request::VoteCast(back)).unwrap();
}

/// Makes and cancels so many tasks on n0 that what was over before is cleared away.
fn clear_tasks(world: &mut World) {
    world.wait(Duration::from_secs(1));
    for number in 0..130 {
        let id = format!("filler{number}");
        world.call(0, make(&id)).unwrap();
        world.call(0, cancel(&id)).unwrap();
    }
    world.wait(Duration::from_secs(60));
}

fn clear_questions(world: &mut World) {
    world.wait(Duration::from_secs(1));
    for number in 0..70 {
        let id = format!("filler{number}");
        world.call(0, ask(&id)).unwrap();
        world.call(0, close(&id)).unwrap();
    }
    world.wait(Duration::from_secs(60));
}

#[test]
fn a_node_that_comes_back_reopens_nothing_that_was_recorded() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    for id in ["build", "ship"] {
        world.call(0, make(id)).unwrap();
        world.call(1, start(id)).unwrap();
    }
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    // It says that it is done, and its leases run out elsewhere.
    world.call(1, done("build")).unwrap();
    world.wait(Duration::from_secs(200));
    for id in ["build", "ship"] {
        world.call(2, start(id)).unwrap();
        world.call(2, done(id)).unwrap();
    }
    world.wait(Duration::from_secs(60));
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(Duration::from_secs(60));
    world.assert_agreed();
    for n in 0..3 {
        for id in ["build", "ship"] {
            let shown = task(&mut world, n, id);
            assert_eq!((shown.state, shown.holder, shown.result), (State::Completed, None, Some(format!("did {id}"))));
            let counted: Vec<_> = shown.statements.iter().filter(|said| said.counts == TaskCounts::Yes).collect();
            assert!(counted.iter().all(|said| said.by.to_string() == "p2@n2"), "{counted:?}");
        }
    }
}

#[test]
fn what_was_said_of_a_task_that_left_is_not_said_of_a_new_one_with_its_name() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    world.call(0, make("build")).unwrap();
    world.call(1, start("build")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.call(1, done("build")).unwrap();
    world.wait(Duration::from_secs(200));
    world.call(2, start("build")).unwrap();
    world.call(2, done("build")).unwrap();
    clear_tasks(&mut world);
    refusal(world.call(0, Request::TaskShow(task_show::Request { id: "build".to_owned() })), ErrorCode::NotFound);
    world.call(0, make("build")).unwrap();
    // The one that is away has said something of what it knew.
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(Duration::from_secs(60));
    world.assert_agreed();
    for n in 0..3 {
        let shown = task(&mut world, n, "build");
        assert_eq!((shown.state, shown.result), (State::Submitted, None), "n{n}");
        assert!(shown.statements.iter().all(|said| said.counts != TaskCounts::Yes), "n{n}");
    }
    world.call(2, start("build")).unwrap();
    world.call(2, done("build")).unwrap();
    assert_eq!(task(&mut world, 1, "build").state, State::Completed);
}

#[test]
fn what_comes_after_a_task_that_left_is_not_in_its_way() {
    let mut world = World::connected(2);
    world.call(0, make("design")).unwrap();
    world.call(0, make("prove")).unwrap();
    let after = vec!["design".to_owned(), "prove".to_owned()];
    let build =
        task_new::Request { id: Some("build".to_owned()), title: "build".to_owned(), after, ..Default::default() };
    world.call(1, Request::TaskNew(build)).unwrap();
    world.call(1, start("design")).unwrap();
    world.call(1, done("design")).unwrap();
    world.call(0, cancel("prove")).unwrap();
    clear_tasks(&mut world);
    // What was not completed stays for the sake of what comes after it.
    let needs = task(&mut world, 0, "build").after;
    assert_eq!(needs.iter().map(|need| need.state).collect::<Vec<_>>(), [None, Some(State::Canceled)]);
    refusal(world.call(1, start("build")), ErrorCode::Conflict);
    let free = task_edit::Request { id: "build".to_owned(), after: Some(Vec::new()), ..Default::default() };
    world.call(1, Request::TaskEdit(free)).unwrap();
    world.call(0, start("build")).unwrap();
}

/// Two of three cannot be reached: what one alone says of its task may turn out otherwise.
#[test]
fn what_most_members_had_no_part_in_is_recorded_late() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    world.disconnect(0, 1);
    world.disconnect(0, 2);
    let recorded = |world: &World| {
        let core = &world.hosts[0].core;
        core.documents.content(&core.lobby, &core.me()).tasks.values().any(|task| task.closed.is_some())
    };
    world.call(0, make("build")).unwrap();
    let request = task_claim::Request { id: "build".to_owned(), ttl_s: Some(600), ..Default::default() };
    world.wait(Duration::from_secs(60));
    let caller = Caller { name: "p0".parse().unwrap(), kind: AgentKind::Person };
    world.give(0, Input::Call { id: CallId(900), caller, request: Request::TaskClaim(request) });
    world.wait(Duration::from_secs(5));
    world.call(0, done("build")).unwrap();
    world.wait(Duration::from_secs(60));
    assert!(!recorded(&world));
    world.wait(LONG);
    assert!(recorded(&world));
    assert_eq!(task(&mut world, 0, "build").state, State::Completed);
}

fn approve(id: &str) -> Request {
    Request::ApprovalAnswer(approval_answer::Request {
        id: id.to_owned(),
        approve: true,
        pin: Some(PIN.to_owned()),
        ..Default::default()
    })
}

fn ask_approval(id: &str) -> Request {
    let request =
        approval_ask::Request { question: "Deploy?".to_owned(), id: Some(id.to_owned()), ..Default::default() };
    Request::ApprovalAsk(request)
}

#[test]
fn an_approval_that_left_approves_nothing_that_is_asked_again() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    world.call(1, Request::PinSet(pin_set::Request { pin: PIN.to_owned(), old: None })).unwrap();
    world.call_as(0, "coder", ask_approval("deploy")).unwrap();
    world.call(1, approve("deploy")).unwrap();
    assert!(tally(&mut world, 2, "deploy").contains("Some(\"approve\")"));
    // The one who approved is away while the question leaves, and does not know that.
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    clear_questions(&mut world);
    refusal(world.call(0, Request::VoteShow(vote_show::Request { id: "deploy".to_owned() })), ErrorCode::NotFound);
    world.call_as(0, "coder", ask_approval("deploy")).unwrap();
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(Duration::from_secs(60));
    for n in 0..3 {
        let shown = *world.ask(n, vote_show::Request { id: "deploy".to_owned() });
        assert_eq!((shown.open, shown.winner), (true, None), "n{n}");
    }
    world.call(1, approve("deploy")).unwrap();
    assert!(tally(&mut world, 2, "deploy").contains("Some(\"approve\")"));
    world.assert_agreed();
}

#[test]
fn a_late_ballot_of_one_that_was_away_changes_no_tally() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    world.call(0, ask("auth")).unwrap();
    world.call(2, cast("auth", "jwt")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.call(1, cast("auth", "oauth2")).unwrap();
    world.call(0, close("auth")).unwrap();
    let before = tally(&mut world, 0, "auth");
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(LONG);
    for n in 0..3 {
        assert_eq!(tally(&mut world, n, "auth"), before, "n{n}");
    }
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    clear_questions(&mut world);
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(LONG);
    assert_eq!(size(&world, 1)[5], 0, "what nobody asks any more is not answered");
    world.assert_agreed();
}

#[test]
fn roles_that_are_given_and_taken_for_ever_leave_room() {
    let mut world = World::connected(2);
    world.call_as(1, "coder", Request::Inbox(inbox::Request::default())).unwrap();
    for number in 0..600 {
        let role: fedp2p_protocols::name::RoleName = format!("role{number}").parse().unwrap();
        let (agent, conversation) = ("coder".to_owned(), None);
        let assign = role_assign::Request { agent, role, subtask: None, subtask_id: None, conversation };
        let remove =
            role_remove::Request { agent: assign.agent.clone(), role: assign.role.clone(), conversation: None };
        world.call(0, Request::RoleAssign(assign)).unwrap();
        world.call(0, Request::RoleRemove(remove)).unwrap();
        if number % 50 == 0 {
            world.wait(Duration::from_secs(10));
        }
    }
    world.wait(Duration::from_secs(60));
    let core = &world.hosts[0].core;
    assert!(core.documents.content(&core.lobby, &core.me()).roles.len() <= 100);
    world.assert_agreed();
}
