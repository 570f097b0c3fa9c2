//! How far tasks are, which statements count, and what tasks in a circle wait for.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::claim::claims;
use fedp2p_crdt::content::{BidPlace, Content, RolePlace, StatementPlace};
use fedp2p_crdt::picture::Picture;
use fedp2p_crdt::task::{Board, Counts, Standing, bids};
use fedp2p_protocols::claim::{Acknowledgement, Claim, Confirmation, End, Ended, Fence, Resource};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::task::{
    Assignee, Award, Bid, Cancellation, Grant, Offer, Outcome, Priority, State, Statement, Task, TaskKey,
};
use fedp2p_protocols::vote::AgentId;
use proptest::prelude::*;

use crate::claims::claim;
use crate::edits::{agent, node};

/// What some nodes say. The tasks stand on node 1.
#[derive(Default)]
struct Team(BTreeMap<NodeId, Content>);

pub(crate) fn task(title: &str) -> Task {
    Task {
        by: agent("asker"),
        title: title.to_owned(),
        text: None,
        data: None,
        after: Vec::new(),
        priority: Priority::Normal,
        to: Assignee::Anyone,
        due: None,
        revision: 1,
        attempt: 1,
        made: 5,
        offer: None,
        canceled: None,
        closed: None,
    }
}

pub(crate) fn task_key(number: u8, id: &str) -> TaskKey {
    TaskKey { node: node(number), id: id.parse().unwrap() }
}

fn fence(counter: u64, at: u8) -> Fence {
    Fence { counter, node: node(at) }
}

impl Team {
    /// A team with the task `t`.
    fn new() -> Self {
        let mut team = Self::default();
        team.put("t", task("t"));
        team
    }

    fn put(&mut self, id: &str, task: Task) {
        self.0.entry(node(1)).or_default().tasks.insert(id.parse().unwrap(), task);
    }

    fn edit(&mut self, id: &str, edit: impl FnOnce(&mut Task)) {
        edit(self.0.get_mut(&node(1)).unwrap().tasks.get_mut(&id.parse().unwrap()).unwrap());
    }

    /// The coder of a node claims `t`, and holds it if any of three nodes have acknowledged that.
    fn hold(&mut self, at: Fence, acknowledged: u32) {
        let confirmed = (acknowledged > 0).then_some(Confirmation { acknowledged, members: 3, at: 1 });
        let claim = Claim { resource: Resource::Task(task_key(1, "t")), salt: at.counter, confirmed, ..claim("x") };
        let promise = Acknowledgement { claim: claim.hash(), at: 1 };
        self.0.entry(at.node).or_default().claims.insert(at.counter, claim);
        for other in (1..).take(acknowledged as usize) {
            self.0.entry(node(other)).or_default().acknowledged.insert(at, promise);
        }
    }

    fn end(&mut self, at: Fence, cause: End, to: Option<Fence>) {
        let claim = self.0.get_mut(&at.node).unwrap().claims.get_mut(&at.counter).unwrap();
        claim.ended = Some(Ended { cause, to, at: 2 });
    }

    /// The coder of a node says something of `t`.
    fn say(&mut self, at: Fence, number: u32, state: State) {
        let said = Statement { made: 5, attempt: 1, fence: at.counter, state, note: None, result: None, at: 3 };
        let place = StatementPlace { task: task_key(1, "t"), agent: agent("coder"), number };
        self.0.entry(at.node).or_default().statements.insert(place, said);
    }

    fn standing<T>(&self, id: &str, look: impl FnOnce(Standing<'_>) -> T) -> T {
        let picture = Picture::of(self.0.iter().map(|(node, content)| (*node, content)));
        let board = Board::of(&picture, &claims(&picture));
        let standing = board.task(&task_key(1, id)).unwrap();
        let among_all = board.tasks().into_iter().find(|other| other.key == standing.key).unwrap();
        assert_eq!(standing, among_all, "a task stands alone as it stands among all");
        look(standing)
    }

    fn outcome(&self, id: &str) -> Option<Outcome> {
        let picture = Picture::of(self.0.iter().map(|(node, content)| (*node, content)));
        Board::of(&picture, &claims(&picture)).outcome(&task_key(1, id))
    }

    /// How far `t` is, and what counts of what was said of it.
    fn t(&self) -> (State, Vec<Counts>) {
        self.standing("t", |standing| (standing.state, standing.said.iter().map(|said| said.counts).collect()))
    }
}

#[test]
fn who_holds_a_task_says_how_far_it_is() {
    let mut team = Team::new();
    assert_eq!(team.t(), (State::Submitted, vec![]));
    team.hold(fence(1, 2), 2);
    assert_eq!(team.t().0, State::Submitted);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::InputRequired);
    assert_eq!(team.t(), (State::InputRequired, vec![Counts::Yes; 2]));
    team.standing("t", |standing| assert_eq!(standing.holder.unwrap().fence(), fence(1, 2)));
}

#[test]
fn the_word_of_one_who_holds_it_no_more_or_never_did_does_not_count() {
    let mut team = Team::new();
    team.hold(fence(1, 3), 0);
    team.say(fence(1, 3), 1, State::Working);
    assert_eq!(team.t(), (State::Submitted, vec![Counts::NotHeld]));
    team.hold(fence(2, 2), 2);
    team.say(fence(2, 2), 1, State::Working);
    team.end(fence(2, 2), End::Expired, None);
    assert_eq!(team.t().0, State::Submitted);
    team.hold(fence(3, 3), 2);
    team.say(fence(3, 3), 2, State::Working);
    team.say(fence(2, 2), 2, State::Completed);
    assert_eq!(team.t(), (State::Working, vec![Counts::NotHeld, Counts::Stale, Counts::Stale, Counts::Yes]));
}

#[test]
fn what_was_said_under_a_claim_that_lost_does_not_count_even_if_its_number_is_higher() {
    let mut team = Team::new();
    team.hold(fence(1, 3), 1);
    team.say(fence(1, 3), 1, State::Working);
    team.say(fence(1, 3), 2, State::Completed);
    assert_eq!(team.t().0, State::Completed);
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    assert_eq!(team.t(), (State::Working, vec![Counts::Yes, Counts::NotHeld, Counts::NotHeld]));
    team.end(fence(1, 3), End::Lost, Some(fence(1, 2)));
    assert_eq!(team.t().0, State::Working);
}

#[test]
fn what_was_said_counts_as_long_as_its_claim_is_there_whether_or_not_it_is_still_acknowledged() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.end(fence(1, 2), End::Released, None);
    let before = team.t();
    for content in team.0.values_mut() {
        content.acknowledged.clear();
    }
    assert_eq!((team.t(), before.0), (before, State::Completed));
    team.0.get_mut(&node(2)).unwrap().claims.clear();
    assert_eq!(team.t(), (State::Submitted, vec![Counts::NotHeld; 2]));
}

#[test]
fn no_number_makes_up_for_a_claim() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(u64::MAX, 3), 1, State::Working);
    team.say(fence(u64::MAX, 3), 2, State::Failed);
    assert_eq!(team.t(), (State::Working, vec![Counts::Yes, Counts::NotHeld, Counts::NotHeld]));
}

#[test]
fn a_claim_that_says_it_was_held_decides_nothing_while_most_members_know_another_holder() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.hold(fence(2, 3), 1);
    team.say(fence(2, 3), 1, State::Working);
    team.say(fence(2, 3), 2, State::Failed);
    team.end(fence(2, 3), End::Released, None);
    assert_eq!(team.t(), (State::Working, vec![Counts::Yes, Counts::NotHeld, Counts::NotHeld]));
}

#[test]
fn nothing_follows_an_end_but_another_attempt() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    for (number, state) in [(1, State::Working), (2, State::Failed), (3, State::Working), (4, State::Completed)] {
        team.say(fence(1, 2), number, state);
    }
    assert_eq!(team.t(), (State::Failed, vec![Counts::Yes, Counts::Yes, Counts::Illegal, Counts::Illegal]));
    team.edit("t", |task| task.attempt = 2);
    assert_eq!(team.t(), (State::Submitted, vec![Counts::OtherAttempt; 4]));
}

#[test]
fn what_is_not_allowed_from_the_start_does_not_count() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Completed);
    team.say(fence(1, 2), 2, State::Canceled);
    assert_eq!(team.t(), (State::Submitted, vec![Counts::Illegal; 2]));
}

#[test]
fn its_creator_cancels_a_task_whatever_was_said_of_it() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.edit("t", |task| task.canceled = Some(Cancellation { reason: None, at: 9 }));
    assert_eq!(team.t().0, State::Canceled);
}

/// The word of a node that was away, or of one that lies.
#[test]
fn what_is_recorded_of_a_task_stands_whatever_is_said_or_cleared_away() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.end(fence(1, 2), End::Released, None);
    let outcome = team.outcome("t").unwrap();
    assert_eq!((outcome.state, outcome.fence), (State::Completed, fence(1, 2)));
    team.edit("t", |task| task.closed = Some(outcome.clone()));
    assert_eq!((team.t(), team.outcome("t")), ((State::Completed, vec![Counts::Yes; 2]), None));
    team.hold(fence(7, 3), 2);
    team.say(fence(7, 3), 1, State::Working);
    team.say(fence(7, 3), 2, State::Failed);
    assert_eq!(team.t().1, [Counts::Yes, Counts::Yes, Counts::Stale, Counts::Stale]);
    for content in team.0.values_mut() {
        content.statements.clear();
        content.claims.clear();
    }
    assert_eq!(team.t(), (State::Completed, vec![]));
    // A new attempt begins with nothing said.
    team.edit("t", |task| (task.attempt, task.closed) = (2, None));
    assert_eq!(team.t().0, State::Submitted);
}

#[test]
fn what_was_said_of_a_task_is_not_said_of_a_new_one_with_its_id() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.edit("t", |task| task.made = 6);
    assert_eq!(team.t(), (State::Submitted, vec![Counts::OtherAttempt; 2]));
}

#[test]
fn a_task_that_was_cleared_away_is_not_waited_for() {
    let mut team = Team::new();
    team.put("u", Task { after: vec![task_key(1, "v"), task_key(2, "w")], ..task("u") });
    let waits = |team: &Team| team.standing("u", |standing| standing.needs.iter().map(|need| need.is_open()).collect());
    let first: Vec<bool> = waits(&team);
    // Of the other node nothing is known yet.
    assert_eq!(first, [false, true]);
    team.hold(fence(1, 2), 2);
    let then: Vec<bool> = waits(&team);
    assert_eq!(then, [false, false]);
}

#[test]
fn a_task_waits_for_what_it_comes_after_even_if_nobody_knows_that() {
    let mut team = Team::new();
    team.put("u", Task { after: vec![task_key(1, "t"), task_key(2, "unknown")], ..task("u") });
    team.standing("u", |standing| {
        assert_eq!(standing.needs.iter().map(|need| need.state).collect::<Vec<_>>(), [Some(State::Submitted), None]);
        assert!(standing.is_blocked() && !standing.is_open());
    });
    team.edit("u", |task| task.after.truncate(1));
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.standing("u", |standing| assert!(standing.is_open()));
}

#[test]
fn the_cheapest_bid_is_the_best_and_of_equals_the_earliest() {
    let bid = |cost, at| Bid { made: 5, attempt: 1, cost, reason: None, revision: 1, at };
    let others = [Bid { attempt: 2, ..bid(Some(1), 1) }, Bid { made: 4, ..bid(Some(1), 1) }];
    let offered = [bid(None, 1), bid(Some(5), 4), bid(Some(5), 3), bid(Some(5), 3)].into_iter().chain(others);
    let mut team = Team::new();
    let place = || BidPlace { task: task_key(1, "t"), agent: agent("coder") };
    for (number, bid) in offered.enumerate() {
        team.0.entry(node(9 - number as u8)).or_default().bids.insert(place(), bid);
    }
    let bidders = |team: &Team, task: &Task| -> Vec<NodeId> {
        let picture = Picture::of(team.0.iter().map(|(node, content)| (*node, content)));
        bids(&picture, &task_key(1, "t"), task).into_iter().map(|(agent, _)| agent.node).collect()
    };
    assert_eq!(bidders(&team, &task("t")), [6, 7, 8, 9].map(node));
    // Who has no part in it has no say in it, also once it was awarded.
    let asked = Assignee::Role("builder".parse().unwrap());
    let role = RolePlace { role: "builder".parse().unwrap(), agent: AgentId { node: node(9), name: agent("coder") } };
    let grant = Grant { by: agent("asker"), has: true, revision: 1, at: 1 };
    team.0.entry(node(1)).or_default().roles.insert(role, grant);
    let for_builders = Task { to: asked.clone(), ..task("t") };
    assert_eq!(bidders(&team, &for_builders), [node(9)]);
    let to = AgentId { node: node(9), name: agent("coder") };
    let award = Some(Award { to: to.clone(), reason: None, at: 1, before: asked });
    let offer = Some(Offer { until: None, auto: false, award });
    assert_eq!(bidders(&team, &Task { to: Assignee::Agent(to), offer, ..for_builders }), [node(9)]);
}

#[test]
fn a_claim_that_only_its_own_node_knows_of_reopens_nothing() {
    let mut team = Team::new();
    team.hold(fence(1, 2), 2);
    team.say(fence(1, 2), 1, State::Working);
    team.say(fence(1, 2), 2, State::Completed);
    team.end(fence(1, 2), End::Released, None);
    team.hold(fence(7, 3), 1);
    team.say(fence(7, 3), 1, State::Working);
    let most = (State::Completed, vec![Counts::Yes, Counts::Yes, Counts::NotHeld]);
    assert_eq!(team.t(), most);
    // Also where nobody keeps who had acknowledged the first.
    for content in team.0.values_mut() {
        content.acknowledged.retain(|fence, _| fence.counter == 7);
    }
    assert_eq!(team.t(), (State::Completed, vec![Counts::Yes, Counts::Yes, Counts::Stale]));
}

#[test]
fn the_bare_word_of_a_node_does_not_count_on_what_is_for_another() {
    let mut team = Team::new();
    team.hold(fence(1, 3), 1);
    team.say(fence(1, 3), 1, State::Rejected);
    assert_eq!(team.t().0, State::Rejected);
    let hers = AgentId { node: node(2), name: agent("coder") };
    team.edit("t", |task| task.to = Assignee::Agent(hers));
    assert_eq!(team.t(), (State::Submitted, vec![Counts::NotHeld]));
    team.edit("t", |task| {
        (task.to, task.offer) = (Assignee::Anyone, Some(Offer { until: None, auto: true, award: None }))
    });
    assert_eq!(team.t(), (State::Submitted, vec![Counts::NotHeld]));
}

proptest! {
    #[test]
    fn what_tasks_wait_for_leaves_an_order_and_loses_nothing_without_need(
        edges in prop::collection::btree_set((0u8..8, 0u8..8), 0..24),
    ) {
        let mut team = Team::default();
        let id = |number: u8| format!("t{number}");
        for number in 0..8 {
            let after = edges.iter().filter(|(from, _)| *from == number).map(|(_, to)| task_key(1, &id(*to)));
            team.put(&id(number), Task { after: after.collect(), ..task("t") });
        }
        let needs = |number: u8| team.standing(&id(number), |standing| standing.needs);
        let held = |circle: bool| -> BTreeSet<(u8, u8)> {
            let number = |key: &TaskKey| key.id.as_str()[1..].parse::<u8>().unwrap();
            let of = |from: u8| needs(from).into_iter().filter(move |need| need.circle == circle);
            (0..8).flat_map(|from| of(from).map(move |need| (from, number(&need.key)))).collect()
        };
        let (kept, dropped) = (held(false), held(true));
        let reaches = |edges: &BTreeSet<(u8, u8)>, from: u8, to: u8| {
            let mut open = vec![from];
            let mut seen = BTreeSet::new();
            while let Some(at) = open.pop() {
                for (_, next) in edges.iter().filter(|(a, _)| *a == at) {
                    if seen.insert(*next) {
                        open.push(*next);
                    }
                }
            }
            seen.contains(&to)
        };
        for number in 0..8 {
            prop_assert!(!reaches(&kept, number, number));
        }
        for (from, to) in dropped {
            prop_assert!(reaches(&edges, to, from));
        }
    }
}
