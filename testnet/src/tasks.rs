//! Tasks in the simulation: what clients do with them, and what must hold of them in the end.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::api::task::{Bidding, Counts, Task};
use fedp2p_protocols::api::{
    Reply, Request, task_award, task_bid, task_cancel, task_claim, task_edit, task_list, task_new, task_next,
    task_show, task_update,
};
use fedp2p_protocols::task::{Priority, State};

use crate::check::Invariant;
use crate::dice::Dice;
use crate::sim::Sim;

/// How many different ids the clients use: few enough that they meet on them.
const IDS: usize = 12;

fn id(dice: &mut Dice) -> String {
    format!("t{}", dice.index(IDS))
}

/// What a client does with tasks next.
pub(crate) fn some_task_call(dice: &mut Dice) -> Request {
    let id = id(dice);
    // A task that comes after itself is refused, which is not what is looked for here.
    let others: Vec<String> = (0..IDS).map(|number| format!("t{number}")).filter(|other| *other != id).collect();
    let other = others[dice.index(others.len())].clone();
    match dice.below(100) {
        0..=24 => Request::TaskNew(task_new::Request {
            title: format!("do {id}"),
            after: if dice.percent(40) { vec![other] } else { Vec::new() },
            id: Some(id),
            priority: if dice.percent(20) { Priority::High } else { Priority::Normal },
            offer: dice.percent(15).then(|| Bidding { until_s: Some(1 + dice.below(10) as u32), auto: true }),
            ..task_new::Request::default()
        }),
        25..=39 => Request::TaskNext(task_next::Request {
            ttl_s: Some(5 + dice.below(20) as u32),
            ..task_next::Request::default()
        }),
        40..=54 => Request::TaskClaim(task_claim::Request {
            id,
            create: dice.percent(20),
            ttl_s: Some(5 + dice.below(20) as u32),
            ..task_claim::Request::default()
        }),
        55..=79 => some_update(id, dice),
        80..=87 => {
            let after = dice.percent(50).then(|| vec![other]);
            Request::TaskEdit(task_edit::Request { id, after, retry: dice.percent(50), ..Default::default() })
        }
        88..=90 => Request::TaskCancel(task_cancel::Request { id, reason: None }),
        91..=96 => Request::TaskBid(task_bid::Request { id, cost: Some(dice.below(9) as u32), reason: None }),
        _ => Request::TaskAward(task_award::Request { id, ..task_award::Request::default() }),
    }
}

fn some_update(id: String, dice: &mut Dice) -> Request {
    let states = [State::Working, State::InputRequired, State::Completed, State::Completed, State::Failed];
    let rarely = [State::Submitted, State::Rejected];
    let state = if dice.percent(20) { rarely[dice.index(2)] } else { states[dice.index(5)] };
    let note = Some(format!("note {}", dice.below(1000)));
    Request::TaskUpdate(task_update::Request { id, state: Some(state), note, result: None })
}

impl Sim {
    /// All tasks as a node shows them, without what depends on the time that it saw pass.
    fn tasks_of(&mut self, node: usize) -> Option<Vec<Task>> {
        let list = Request::TaskList(task_list::Request { all: true, ..task_list::Request::default() });
        let Some(Reply::TaskList(list)) = self.ask(node, list) else { return None };
        let mut tasks = Vec::new();
        for task in list.tasks {
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

    /// Every task is the same everywhere, is completed once if it is, and nothing that is said under a claim that was
    /// overtaken counts.
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
        for text in last.iter().filter_map(wrong) {
            self.fault(Invariant::Tasks, text);
        }
    }
}

/// What is wrong with a task, if anything is.
fn wrong(task: &Task) -> Option<String> {
    let counted: Vec<_> = task.statements.iter().filter(|said| said.counts == Counts::Yes).collect();
    let fences: BTreeSet<&str> = counted.iter().map(|said| said.fence.as_str()).collect();
    let speakers: BTreeSet<_> = counted.iter().map(|said| &said.by).collect();
    if fences.len() > 1 || speakers.len() > 1 {
        return Some(format!("of {} count the words of several holders: {task:?}", task.id));
    }
    let ends = counted.iter().filter(|said| said.state.is_terminal()).count();
    let over = task.state.is_terminal() && task.state != State::Canceled;
    let after = counted.last().is_some_and(|said| !said.state.is_terminal()) && ends > 0;
    let wrong = ends > 1 || after || (over && ends == 0) || (!over && ends > 0 && task.canceled.is_none());
    wrong.then(|| format!("{} ended {ends} times and is {}: {task:?}", task.id, task.state))
}
