//! Tasks in the simulation: what clients do with them, and what must hold of them in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_protocols::api::task::{Assignee, Bidding, Counts, Task};
use fedp2p_protocols::api::{
    Reply, Request, task_award, task_bid, task_cancel, task_claim, task_edit, task_list, task_new, task_next,
    task_show, task_update,
};
use fedp2p_protocols::claim::{Fence, Resource};
use fedp2p_protocols::name::{Address, AgentName};
use fedp2p_protocols::task::{Priority, State};

use crate::check::Invariant;
use crate::dice::Dice;
use crate::sim::Sim;

/// The role that agents are given.
pub(crate) const ROLE: &str = "builder";
/// How many ids the clients use that others use as well.
const SHARED_IDS: usize = 4;
/// In how many rounds agents do what is left, each of them one task in each.
const ROUNDS: usize = 80;
/// For how long an award keeps a task from the others, and more.
const AWARD: Duration = Duration::from_secs(1_000);

/// Which task: the node of its creator, and its id there.
type Key = (String, String);

/// A task that its agent was told is completed.
#[derive(Debug)]
struct Done {
    key: Key,
    attempt: u32,
    /// The claim under which it was done, as people read it.
    fence: String,
    by: AgentName,
    node: usize,
}

/// What clients did with tasks.
#[derive(Debug, Default)]
pub(crate) struct Work {
    made: usize,
    /// Who said of what that it is completed, whether or not that was taken.
    said: BTreeSet<(AgentName, String)>,
    done: Vec<Done>,
    /// Tasks that agents were given to do next: at which node, to whom, by which name.
    pub(crate) begun: Vec<(usize, usize, String)>,
}

/// An id without the node that is named where several chose the same.
pub(crate) fn bare(id: &str) -> &str {
    id.split_once('@').map_or(id, |(id, _)| id)
}

fn key(task: &Task) -> Key {
    (task.by.node.to_string(), bare(&task.id).to_owned())
}

/// The number of a node, by its name.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('n')?.parse().ok()
}

impl Sim {
    fn listed(&mut self, node: usize, all: bool) -> Vec<Task> {
        let list = Request::TaskList(task_list::Request { all, ..task_list::Request::default() });
        match self.ask(node, list) {
            Some(Reply::TaskList(list)) => list.tasks,
            _ => Vec::new(),
        }
    }

    /// What a client does with tasks next: mostly with those that it sees, and of those with its own.
    pub(crate) fn some_task_call(&mut self, node: usize, agent: usize, dice: &mut Dice) -> Request {
        let tasks = self.listed(node, dice.percent(10));
        let me = self.nodes[node].agents[agent].clone();
        let some = |dice: &mut Dice, wanted: &dyn Fn(&Task) -> bool| {
            let fit: Vec<&Task> = tasks.iter().filter(|task| wanted(task)).collect();
            let from = if fit.is_empty() || dice.percent(15) { tasks.iter().collect() } else { fit };
            from.get(dice.index(from.len())).map_or_else(|| "none".to_owned(), |task| task.id.clone())
        };
        let held = |task: &Task| task.holder.as_ref().is_some_and(|holder| holder.agent.agent == me);
        let own = |task: &Task| task.by.agent == me;
        let offered = |task: &Task| task.offer.as_ref().is_some_and(|offer| offer.award.is_none());
        let ttl_s = Some(5 + dice.below(20) as u32);
        match dice.below(100) {
            0..=21 => self.some_new_task(some(dice, &|_| true), dice),
            22..=41 => Request::TaskNext(task_next::Request { ttl_s, another: dice.percent(20), except: Vec::new() }),
            42..=51 => {
                let id = some(dice, &|task| task.ready);
                let (id, create) = if dice.percent(10) { (self.some_task_id(dice), true) } else { (id, false) };
                Request::TaskClaim(task_claim::Request { id, create, ttl_s, description: None })
            }
            52..=79 => {
                let id = some(dice, &held);
                let update = some_update(id.clone(), dice);
                if update.state == Some(State::Completed) {
                    self.clients.work.said.insert((me, bare(&id).to_owned()));
                }
                Request::TaskUpdate(update)
            }
            80..=86 => {
                let id = some(dice, &own);
                let other = some(dice, &|task| task.id != id);
                let after = (dice.percent(50) && other != id).then(|| vec![other]);
                let offer = dice.percent(20).then(|| bidding(dice));
                let retry = dice.percent(50);
                Request::TaskEdit(task_edit::Request { id, after, offer, retry, ..Default::default() })
            }
            87..=88 => Request::TaskCancel(task_cancel::Request { id: some(dice, &own), reason: None }),
            89..=96 => {
                let id = some(dice, &offered);
                Request::TaskBid(task_bid::Request { id, cost: Some(dice.below(9) as u32), reason: None })
            }
            _ => Request::TaskAward(task_award::Request { id: some(dice, &offered), ..Default::default() }),
        }
    }

    /// An id that nobody has yet, or one that others may choose at the same time.
    fn some_task_id(&mut self, dice: &mut Dice) -> String {
        self.clients.work.made += 1;
        if dice.percent(15) {
            return format!("shared{}", dice.index(SHARED_IDS));
        }
        format!("t{}", self.clients.work.made)
    }

    fn some_new_task(&mut self, other: String, dice: &mut Dice) -> Request {
        let id = self.some_task_id(dice);
        let to = match dice.below(10) {
            0 => Some(format!("role:{ROLE}")),
            1 => Some(self.some_agent(dice).to_string()),
            _ => None,
        };
        Request::TaskNew(task_new::Request {
            title: format!("do {id}"),
            after: if dice.percent(40) && other != "none" && bare(&other) != id { vec![other] } else { Vec::new() },
            id: Some(id),
            priority: if dice.percent(20) { Priority::High } else { Priority::Normal },
            to,
            offer: dice.percent(20).then(|| bidding(dice)),
            ..task_new::Request::default()
        })
    }

    /// An agent was told that it has begun a task, or how far it is now.
    pub(crate) fn worked(&mut self, node: usize, agent: usize, task: &Task, asked: Duration) {
        let me = self.nodes[node].agents[agent].clone();
        let said = task.statements.iter().rev().find(|said| said.counts == Counts::Yes);
        let Some(said) = said.filter(|said| said.by.agent == me && said.state == task.state) else { return };
        if said.state == State::Working && begun_since(task, self.nodes[node].clock(asked).wall_ms) {
            self.check_order(node, task);
        }
        if task.state == State::Completed {
            let done = Done { key: key(task), attempt: task.attempt, fence: said.fence.clone(), by: me, node };
            self.clients.work.done.push(done);
        }
    }

    /// Nothing is begun before what it comes after was completed by somebody. What was begun goes on, also if its creator
    /// says since that it comes after something.
    fn check_order(&mut self, node: usize, task: &Task) {
        // What a hostile member does of its own tasks nobody here saw.
        if self.scenario.hostile.nodes > 0 {
            return;
        }
        let said = |id: &str| self.clients.work.said.iter().any(|(_, other)| other == bare(id));
        let early = task.after.iter().find(|need| !need.circle && !need.gone && !said(&need.id));
        if let Some(need) = early {
            let text = format!("n{node} lets begin with {}, and nobody has completed {}", task.id, need.id);
            self.fault(Invariant::Tasks, text);
        }
    }

    /// All tasks as a node shows them, without what depends on the time that it saw pass.
    fn tasks_of(&mut self, node: usize) -> Option<Vec<Task>> {
        let mut tasks = Vec::new();
        for task in self.listed(node, true) {
            let show = Request::TaskShow(task_show::Request { id: task.id });
            let Some(Reply::TaskShow(mut shown)) = self.ask(node, show) else { return None };
            shown.ready = false;
            if let Some(holder) = &mut shown.holder {
                holder.lapsed = false;
            }
            tasks.push(*shown);
        }
        Some(tasks)
    }

    /// All agents do what is left, one task after the other, until there is nothing that any of them can do.
    pub(crate) fn do_what_is_left(&mut self) {
        for wait in [Duration::ZERO, AWARD] {
            // What was awarded to one that is not there is free again after a while.
            self.play_until(self.now + wait);
            for _ in 0..ROUNDS {
                if !self.faults.is_empty() || !self.do_one_each() {
                    break;
                }
            }
        }
    }

    /// Each agent takes one task and completes it. Returns whether any did, or may yet.
    fn do_one_each(&mut self) -> bool {
        self.clients.work.begun.clear();
        for node in self.honest() {
            for agent in 0..self.nodes[node].agents.len() {
                self.call(node, agent, Request::TaskNext(task_next::Request { ttl_s: Some(20), ..Default::default() }));
            }
        }
        self.play_until(self.now + Duration::from_secs(3));
        let waits = self.clients.asked.values().any(|asked| asked.request == "task_next");
        let begun = std::mem::take(&mut self.clients.work.begun);
        for (node, agent, id) in &begun {
            let update = task_update::Request { id: id.clone(), state: Some(State::Completed), ..Default::default() };
            let me = self.nodes[*node].agents[*agent].clone();
            self.clients.work.said.insert((me, bare(id).to_owned()));
            self.call(*node, *agent, Request::TaskUpdate(update));
        }
        self.play_until(self.now + Duration::from_secs(2));
        waits || !begun.is_empty()
    }

    /// Every task is the same everywhere, is completed only by those who said so, and stays completed.
    pub(crate) fn check_tasks(&mut self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = Vec::new();
        for node in self.honest() {
            if let Some(tasks) = self.tasks_of(node) {
                seen.insert(format!("{tasks:?}"), node);
                last = tasks;
            }
        }
        if seen.len() > 1 {
            let text = format!("{} different pictures of the tasks: {seen:?}", seen.len());
            self.fault(Invariant::Tasks, text);
            return;
        }
        let forged = last.iter().filter_map(|task| self.forged(task));
        let undone = self.clients.work.done.iter().filter_map(|done| self.undone(done, &last));
        let found: Vec<String> = forged.chain(undone).chain(self.done_twice()).collect();
        for text in found {
            self.fault(Invariant::Tasks, text);
        }
        if self.scenario.focus == crate::scenario::Focus::Tasks {
            self.check_forgotten(&last);
        }
    }

    /// A completion of an honest agent counts that it never said.
    fn forged(&self, task: &Task) -> Option<String> {
        let completed = |said: &&fedp2p_protocols::api::task::Statement| {
            said.counts == Counts::Yes && said.state == State::Completed
        };
        let mut completions = task.statements.iter().filter(completed);
        let first = completions.next()?;
        if completions.next().is_some() {
            return Some(format!("{} is completed twice: {task:?}", task.id));
        }
        let agent = &first.by.agent;
        let honest = self.is_honest(&first.by);
        let said = self.clients.work.said.contains(&(agent.clone(), bare(&task.id).to_owned()));
        (honest && !said).then(|| format!("{} is completed by {}, who never said so", task.id, first.by))
    }

    /// A completion under a claim that most members had acknowledged does not hold, and no such claim has overtaken it.
    fn undone(&self, done: &Done, last: &[Task]) -> Option<String> {
        let (counter, node) = done.fence.split_once('@')?;
        let node = number(node).filter(|node| *node < self.nodes.len())?;
        let fence = Fence { counter: counter.parse().ok()?, node: self.nodes[node].id() };
        let excused = |node: usize| {
            let node = &self.nodes[node];
            node.twin || node.forgot || node.gone || node.adversary.is_some()
        };
        let maker = number(&done.key.0).filter(|maker| *maker < self.nodes.len())?;
        // Two copies of a home each say their own; one that was put back forgot what it had said, until others tell it. A
        // hostile member takes back its own tasks as it likes.
        if excused(done.node) || excused(maker) || !self.leases.ever_held.contains_key(&fence) {
            return None;
        }
        let maker = self.nodes[maker].id();
        let on_it = |resource: &Resource| matches!(resource, Resource::Task(key) if key.node == maker && key.id.as_str() == done.key.1);
        let overtaken = self.leases.ever_held.iter().any(|(other, claim)| *other > fence && on_it(&claim.resource));
        let Some(task) = last.iter().find(|task| key(task) == done.key) else {
            return Some(format!("{:?} was completed by {} and is nowhere", done.key, done.by));
        };
        let stands = matches!(task.state, State::Completed | State::Canceled) || task.attempt > done.attempt;
        let text =
            || format!("{} was told by n{} that {} is completed, and it is {task:?}", done.by, done.node, task.id);
        (!stands && !overtaken).then(text)
    }

    /// One attempt that two agents were told they completed, although nothing ever came between them.
    fn done_twice(&self) -> Vec<String> {
        let faults = &self.scenario.faults;
        if *faults != crate::scenario::Faults::default() || self.scenario.hostile.nodes > 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for done in &self.clients.work.done {
            if !seen.insert((&done.key, done.attempt)) {
                found.push(format!("{:?} was completed twice, at last by {}", done.key, done.by));
            }
        }
        found
    }

    /// What is left waits for something that was given up, or for somebody who is not there.
    fn check_forgotten(&mut self, last: &[Task]) {
        // What is for somebody who is not there, or for a role that a hostile member took from everybody, only its creator
        // can give to another.
        let there = |agent: &Address| self.is_honest(agent);
        let can_be_done = |task: &&Task| match &task.to {
            Assignee::Anyone => true,
            Assignee::Role(_) => self.scenario.hostile.nodes == 0,
            Assignee::Agent(agent) => there(agent),
        };
        let left = last.iter().filter(|task| !task.state.is_terminal() && !task.blocked);
        let left: Vec<Task> = left.filter(can_be_done).cloned().collect();
        for task in left {
            let text = format!("nothing is in the way of {}, and all agents were idle: {task:?}", task.id);
            self.fault(Invariant::Forgotten, text);
        }
    }
}

/// Whether a task was begun no earlier than then, in milliseconds since 1970 by the clock of who holds it.
fn begun_since(task: &Task, since: u64) -> bool {
    let mut counting = task.statements.iter().filter(|said| said.counts == Counts::Yes);
    counting.find(|said| said.state == State::Working).is_some_and(|begun| begun.at >= since)
}

fn bidding(dice: &mut Dice) -> Bidding {
    Bidding { until_s: Some(1 + dice.below(10) as u32), auto: true }
}

fn some_update(id: String, dice: &mut Dice) -> task_update::Request {
    let states = [State::Working, State::InputRequired, State::Completed, State::Completed, State::Failed];
    let rarely = [State::Submitted, State::Rejected];
    let state = if dice.percent(20) { rarely[dice.index(2)] } else { states[dice.index(5)] };
    let note = Some(format!("note {}", dice.below(1000)));
    task_update::Request { id, state: Some(state), note, result: None }
}
