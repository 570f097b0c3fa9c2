//! Hostile records of claims, tasks and roles: each is well formed and signed as it should be, and says more than is so.

use fedp2p_crdt::content::{Edit, Place, RolePlace, StatementPlace};
use fedp2p_protocols::api::claim::State as Held;
use fedp2p_protocols::api::{
    claim_list, claim_take, role_assign, role_list, task_claim, task_edit, task_new, task_next, task_show, task_update,
};
use fedp2p_protocols::claim::{Acknowledgement, Claim, Confirmation, Fence, Mode, Replaced, Resource};
use fedp2p_protocols::task::{Assignee, Grant, Priority, State, Statement, Task, TaskKey};

use super::*;

/// A third member, whose log the first two hold, and its document.
struct Rogue {
    scribe: Scribe,
    document: Document,
}

impl Rogue {
    /// Everything that it says passes `crdt/src/check.rs`.
    fn speaks(world: &mut World, edits: &[Edit]) -> Self {
        let mut scribe = Scribe::new(2, 3);
        let document = scribe.document();
        let begin = [scribe.start(), scribe.checkpoint()];
        for op in &begin {
            world.push(1, 0, &[op]);
        }
        let mut rogue = Self { scribe, document };
        rogue.says(world, edits);
        rogue
    }

    fn says(&mut self, world: &mut World, edits: &[Edit]) {
        let bytes = self.document.write(edits, WALL_MS).unwrap().unwrap();
        let op = self.scribe.change(&bytes);
        world.push(1, 0, &[&op]);
        world.wait(Duration::from_secs(60));
        assert!((0..2).all(|n| world.holds(n, &op)), "both have heard it");
    }
}

fn rogue_id() -> NodeId {
    key(3).id()
}

fn files(glob: &str) -> Resource {
    Resource::Files { repository: "fedp2p".parse().unwrap(), globs: vec![glob.parse().unwrap()] }
}

fn rogue_claim(glob: &str) -> Claim {
    Claim {
        resource: files(glob),
        by: "ghost".parse().unwrap(),
        mode: Mode::Exclusive,
        ttl_s: 3600,
        why: None,
        salt: 7,
        replaces: Vec::new(),
        taken: WALL_MS,
        renewals: 0,
        renewed: WALL_MS,
        confirmed: None,
        ended: None,
    }
}

/// The claim, and the rogue's own promise about it.
fn with_own_promise(counter: u64, claim: Claim) -> Vec<Edit> {
    let promise = Acknowledgement { claim: claim.hash(), at: WALL_MS };
    let fence = Fence { counter, node: rogue_id() };
    vec![Entry::Claim(counter, claim).into(), Entry::Acknowledged(fence, promise).into()]
}

fn take(world: &mut World, n: usize, file: &str) {
    let request = claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: vec![file.to_owned()],
        mode: Mode::Exclusive,
        ttl_s: 3600,
        why: None,
        no_wait: true,
    };
    world.call_as(n, "coder", Request::ClaimTake(request)).unwrap();
}

/// How the claims of n0's coder stand, as both nodes show it.
fn coders_claims(world: &mut World) -> [Vec<Held>; 2] {
    [0, 1].map(|n| {
        let claims = world.ask(n, claim_list::Request { all: true, ..Default::default() }).claims;
        claims.iter().filter(|claim| claim.by.to_string() == "coder@n0").map(|claim| claim.state).collect()
    })
}

/// No claim at all, and the highest number there is.
#[test]
fn who_never_held_a_task_says_nothing_of_it() {
    let mut world = World::connected(2);
    world.say(0, "here");
    world.say(1, "here");
    let id = || "build".to_owned();
    let new = task_new::Request { id: Some(id()), title: "build it".to_owned(), ..Default::default() };
    world.call(0, Request::TaskNew(new)).unwrap();
    world.call(1, Request::TaskClaim(task_claim::Request { id: id(), ..Default::default() })).unwrap();
    let done = task_update::Request { id: id(), state: Some(State::Completed), ..Default::default() };
    world.call(1, Request::TaskUpdate(done)).unwrap();
    let place = StatementPlace {
        task: TaskKey { node: world.id(0), id: "build".parse().unwrap() },
        agent: "ghost".parse().unwrap(),
        number: 1,
    };
    let (made, state) = (world.clock().wall_ms, State::Working);
    let lie = Statement { made, attempt: 1, fence: u64::MAX, state, note: None, result: None, at: WALL_MS };
    Rogue::speaks(&mut world, &[Entry::Statement(place, lie).into()]);
    for n in 0..2 {
        let shown = world.ask(n, task_show::Request { id: id() });
        assert_eq!(shown.state, State::Completed, "n{n}");
    }
}

/// A claim and a confirmation of its own on a task that is over, with any number.
#[test]
fn nobody_reopens_a_task_that_is_over() {
    let mut world = World::connected(2);
    world.say(0, "here");
    world.say(1, "here");
    let id = || "build".to_owned();
    let new = task_new::Request { id: Some(id()), title: "build it".to_owned(), ..Default::default() };
    world.call(0, Request::TaskNew(new)).unwrap();
    world.call(1, Request::TaskClaim(task_claim::Request { id: id(), ..Default::default() })).unwrap();
    let task = TaskKey { node: world.id(0), id: "build".parse().unwrap() };
    let made = world.ask(0, task_show::Request { id: id() }).made;
    let claim = || Claim { resource: Resource::Task(task.clone()), ..rogue_claim("x") };
    let confirmed = Some(Confirmation { acknowledged: 1, members: 3, at: WALL_MS });
    let say = |counter: u64, number: u32, state: State| -> Edit {
        let place = StatementPlace { task: task.clone(), agent: "ghost".parse().unwrap(), number };
        let said = Statement { made, attempt: 1, fence: counter, state, note: None, result: None, at: WALL_MS };
        Entry::Statement(place, said).into()
    };
    let mut lies = with_own_promise(7, Claim { confirmed, salt: 1, ..claim() });
    lies.push(say(7, 1, State::Rejected));
    let mut rogue = Rogue::speaks(&mut world, &lies);
    let shown = |world: &mut World| [0, 1].map(|n| world.ask(n, task_show::Request { id: id() }).state);
    assert_eq!(shown(&mut world), [State::Working; 2]);
    let done = task_update::Request { id: id(), state: Some(State::Completed), ..Default::default() };
    world.call(1, Request::TaskUpdate(done)).unwrap();
    assert_eq!(shown(&mut world), [State::Completed; 2]);
    let mut lies = with_own_promise(100, Claim { confirmed, ..claim() });
    lies.push(say(100, 2, State::Working));
    rogue.says(&mut world, &lies);
    assert_eq!(shown(&mut world), [State::Completed; 2]);
    rogue.says(&mut world, &[say(100, 3, State::Failed)]);
    assert_eq!(shown(&mut world), [State::Completed; 2]);
    let promised = |n: usize| content(&world, n, world.id(n)).acknowledged.keys().any(|fence| fence.counter == 100);
    assert!(!promised(0) && !promised(1), "nobody acknowledges a claim on what is over");
    world.assert_agreed();
}

/// "1 of 1 members".
#[test]
fn a_member_that_says_there_are_no_others_is_no_majority() {
    let mut world = World::connected(2);
    world.say(0, "here");
    take(&mut world, 0, "src");
    let confirmed = Some(Confirmation { acknowledged: 1, members: 1, at: WALL_MS });
    Rogue::speaks(&mut world, &with_own_promise(2, Claim { confirmed, ..rogue_claim("src") }));
    assert_eq!(coders_claims(&mut world), [vec![Held::Confirmed], vec![Held::Confirmed]]);
}

/// A minority that names more renewals than there can be.
#[test]
fn nobody_takes_over_renewals_that_were_not_made() {
    let mut world = World::connected(2);
    world.say(0, "here");
    take(&mut world, 0, "src");
    let replaces = vec![Replaced { fence: Fence { counter: 1, node: world.id(0) }, renewals: u32::MAX }];
    let confirmed = Some(Confirmation { acknowledged: 1, members: 3, at: WALL_MS });
    let claim = Claim { confirmed, replaces, ..rogue_claim("src") };
    Rogue::speaks(&mut world, &with_own_promise(2, claim));
    assert_eq!(coders_claims(&mut world), [vec![Held::Confirmed], vec![Held::Confirmed]]);
}

/// A number that is shown and taken away again.
#[test]
fn a_claim_stands_whatever_becomes_of_the_numbers_below_it() {
    let mut world = World::connected(2);
    world.say(0, "here");
    let far = 1 << 32;
    let mut rogue = Rogue::speaks(&mut world, &with_own_promise(far, rogue_claim("elsewhere")));
    take(&mut world, 0, "src");
    assert_eq!(coders_claims(&mut world), [vec![Held::Confirmed], vec![Held::Confirmed]]);
    rogue.says(&mut world, &[Edit::Remove(Place::Claim(far))]);
    assert_eq!(coders_claims(&mut world), [vec![Held::Confirmed], vec![Held::Confirmed]]);
    let again = claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: vec!["src/a.rs".to_owned()],
        mode: Mode::Exclusive,
        ttl_s: 3600,
        why: None,
        no_wait: true,
    };
    // And would be confirmed by most, with a lower number.
    assert!(world.call_as(1, "tester", Request::ClaimTake(again)).is_err());
}

/// Each batch has lower numbers than the one before, so no promise about a batch is ever "over".
#[test]
fn promises_about_claims_that_are_gone_are_not_kept() {
    let mut world = World::connected(2);
    world.say(0, "here");
    let batch = |at: u64| (1000 - 20 * at..1020 - 20 * at).rev();
    let put = |counter: u64| Entry::Claim(counter, rogue_claim(&format!("dir-{counter}"))).into();
    let first: Vec<Edit> = batch(0).map(put).collect();
    let mut rogue = Rogue::speaks(&mut world, &first);
    for at in 1..5 {
        let gone = batch(at - 1).map(|counter| Edit::Remove(Place::Claim(counter)));
        let edits: Vec<Edit> = gone.chain(batch(at).map(put)).collect();
        rogue.says(&mut world, &edits);
    }
    for n in 0..2 {
        let kept = content(&world, n, world.id(n)).acknowledged.len();
        assert!(kept <= 40, "n{n} keeps {kept} promises about 20 claims");
    }
}

/// Seventeen claims that ran out and that nobody ends, on a task that is first on every board.
#[test]
fn what_a_vanished_member_left_open_keeps_nobody_from_the_board() {
    let mut world = World::connected(2);
    world.say(0, "here");
    world.say(1, "here");
    let new = task_new::Request { id: Some("build".to_owned()), title: "build it".to_owned(), ..Default::default() };
    world.call(0, Request::TaskNew(new)).unwrap();
    let trap = Task {
        by: "ghost".parse().unwrap(),
        title: "trap".to_owned(),
        text: None,
        data: None,
        after: Vec::new(),
        priority: Priority::Urgent,
        to: Assignee::Anyone,
        due: Some(1),
        revision: 1,
        attempt: 1,
        made: 1,
        offer: None,
        canceled: None,
        closed: None,
    };
    let key = TaskKey { node: rogue_id(), id: "trap".parse().unwrap() };
    let claims = (1..=17).map(|counter| {
        let resource = Resource::Task(key.clone());
        let by = format!("ghost{counter}").parse().unwrap();
        Entry::Claim(counter, Claim { resource, by, ttl_s: 5, ..rogue_claim("x") }).into()
    });
    let edits: Vec<Edit> = claims.chain([Entry::Task("trap".parse().unwrap(), trap).into()]).collect();
    Rogue::speaks(&mut world, &edits);
    for n in 0..2 {
        let next = world.call(n, Request::TaskNext(task_next::Request::default()));
        assert!(next.is_ok(), "n{n}: {next:?}");
    }
}

/// A claim on a task that is for somebody else.
#[test]
fn nobody_acknowledges_that_one_takes_a_task_that_is_for_another() {
    let mut world = World::connected(2);
    world.say(0, "here");
    world.say(1, "here");
    let task = |id: &str, to: Option<&str>| {
        let (id, to) = (Some(id.to_owned()), to.map(str::to_owned));
        Request::TaskNew(task_new::Request { id, to, title: "build it".to_owned(), ..Default::default() })
    };
    world.call(0, task("hers", Some("p1"))).unwrap();
    world.call(0, task("anyones", None)).unwrap();
    let on = |counter: u64, id: &str| -> Edit {
        let resource = Resource::Task(TaskKey { node: key(1).id(), id: id.parse().unwrap() });
        Entry::Claim(counter, Claim { resource, ..rogue_claim("x") }).into()
    };
    Rogue::speaks(&mut world, &[on(1, "hers"), on(2, "anyones")]);
    for n in 0..2 {
        let promised = &content(&world, n, world.id(n)).acknowledged;
        let counters: Vec<u64> = promised.keys().map(|fence| fence.counter).collect();
        assert_eq!(counters, [2], "n{n}");
    }
    let edit = task_edit::Request { id: "hers".to_owned(), to: Some("anyone".to_owned()), ..Default::default() };
    world.call(0, Request::TaskEdit(edit)).unwrap();
    world.wait(Duration::from_secs(1));
    assert_eq!(content(&world, 1, world.id(1)).acknowledged.len(), 2, "it is looked at again");
}

/// What is said on a role with the highest number there is, or with one that was taken away again.
#[test]
fn what_one_says_on_a_role_can_be_outdone() {
    let mut world = World::connected(2);
    world.say(0, "here");
    world.say(1, "here");
    let agent = || fedp2p_protocols::vote::AgentId { node: key(1).id(), name: "p0".parse().unwrap() };
    let place = || RolePlace { role: "lead".parse().unwrap(), agent: agent() };
    let takes = |revision: u32| -> Edit {
        let grant = Grant { by: "ghost".parse().unwrap(), has: false, revision, at: WALL_MS };
        Entry::Role(place(), grant).into()
    };
    let give = || {
        Request::RoleAssign(role_assign::Request {
            agent: "p0".to_owned(),
            role: "lead".parse().unwrap(),
            subtask: None,
            subtask_id: None,
            conversation: None,
        })
    };
    let leads = |world: &mut World| [0, 1].map(|n| world.ask(n, role_list::Request::default()).roles.len());
    let mut rogue = Rogue::speaks(&mut world, &[takes(1 << 24)]);
    world.call(1, give()).unwrap();
    assert_eq!(leads(&mut world), [1, 1]);
    // Now what n1 said follows upon nothing.
    rogue.says(&mut world, &[Edit::Remove(Place::Role(place()))]);
    assert_eq!(leads(&mut world), [0, 0]);
    world.call(1, give()).unwrap();
    assert_eq!(leads(&mut world), [1, 1]);
    rogue.says(&mut world, &[takes(u32::MAX)]);
    assert_eq!(leads(&mut world), [1, 1]);
    world.assert_agreed();
}
