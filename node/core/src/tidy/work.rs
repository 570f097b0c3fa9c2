//! Tasks that are over, and what was said of them.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::claim::Claims;
use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_protocols::name::TaskId;
use fedp2p_protocols::task::{State, Statement, Task, TaskKey};

use super::{Look, Thing};
use crate::Core;

/// How many tasks of a node stay that are over, and how many bytes of texts in them.
const KEPT_TASKS: usize = 128;
const KEPT_TASK_BYTES: usize = 256 * 1024;
/// How many stay at most of those that failed and that others come after.
const KEPT_FOR_OTHERS: usize = 512;
/// How many statements stay that decide nothing any more, and how many bytes of texts in them.
const KEPT_STATEMENTS: usize = 200;
const KEPT_STATEMENT_BYTES: usize = 128 * 1024;

/// What was said of one attempt at a task: it stays or goes as a whole.
#[derive(Default)]
struct Work {
    at: u64,
    bytes: usize,
    places: Vec<Place>,
}

impl Core {
    /// What came of tasks of this node. What most members had no part in is recorded only when it has stood for long: when
    /// a part that was cut off is back, it may turn out otherwise.
    pub(super) fn look_at_results(&self, look: &mut Look<'_>) {
        let me = self.me();
        for (id, task) in &self.documents.content(&self.lobby, &me).tasks {
            let key = TaskKey { node: me, id: id.clone() };
            let Some(outcome) = look.board.outcome(&key) else { continue };
            let most = look.claims.get(&outcome.fence).is_some_and(|claim| claim.is_majority());
            if most || self.is_settled(look, Thing::Over(key)) {
                let bytes = length(&outcome.note) + length(&outcome.result);
                let task = Task { closed: Some(outcome), ..task.clone() };
                look.results.push((bytes, Entry::Task(id.clone(), task).into()));
            }
        }
    }

    /// Tasks of this node that are over: all but the last, and those that failed and that others come after.
    pub(super) fn look_at_tasks(&self, look: &mut Look<'_>) {
        let me = self.me();
        let own = &self.documents.content(&self.lobby, &me).tasks;
        let ended = |task: &Task| {
            let closed = task.closed.as_ref().map(|closed| closed.at);
            closed.or(task.canceled.as_ref().map(|canceled| canceled.at)).map(|at| at.min(self.now.wall_ms))
        };
        let over = own.iter().filter_map(|(id, task)| Some((ended(task)?, id, task)));
        let mut over: Vec<(u64, &TaskId, &Task)> = over.collect();
        over.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let open = look.picture.tasks().filter(|(_, task)| !task.is_closed());
        let wanted: BTreeSet<&TaskKey> = open.flat_map(|(_, task)| &task.after).collect();
        let (mut bytes, mut gone) = (0, Vec::new());
        for (nth, (_, id, task)) in over.into_iter().enumerate() {
            bytes += size(task);
            let failed = task.closed.as_ref().is_none_or(|closed| closed.state != State::Completed);
            let needed = failed && nth < KEPT_FOR_OTHERS && wanted.contains(&TaskKey { node: me, id: id.clone() });
            if !needed && (nth >= KEPT_TASKS / look.scarce || bytes > KEPT_TASK_BYTES / look.scarce) {
                gone.push(Place::Task(id.clone()));
            }
        }
        look.gone.extend(gone);
    }

    /// What agents of this node said of tasks that are over, or bid for them.
    pub(super) fn look_at_statements(&self, look: &mut Look<'_>) {
        let own = self.documents.content(&self.lobby, &self.me());
        let mut over: BTreeMap<(&TaskKey, u64, u32), Work> = BTreeMap::new();
        for (place, said) in &own.statements {
            let found = Place::Statement(place.clone());
            match look.picture.task(&place.task) {
                Some(task) if !task.is_closed() && is_of(said, task) => continue,
                None if look.picture.node(&place.task.node).is_none() => continue,
                None if self.is_task_gone(look, &place.task) => {
                    look.gone.push(found);
                    continue;
                }
                Some(_) | None => {}
            }
            let work = over.entry((&place.task, said.made, said.attempt)).or_default();
            work.at = work.at.max(said.at);
            work.bytes += length(&said.note) + length(&said.result);
            work.places.push(found);
        }
        let mut over: Vec<Work> = over.into_values().collect();
        over.sort_by_key(|work| std::cmp::Reverse(work.at));
        let (mut count, mut bytes) = (0, 0);
        for work in over {
            count += work.places.len();
            bytes += work.bytes;
            if count > KEPT_STATEMENTS / look.scarce || bytes > KEPT_STATEMENT_BYTES / look.scarce {
                look.gone.extend(work.places);
            }
        }
        for (place, bid) in &own.bids {
            let over = match look.picture.task(&place.task) {
                Some(task) => task.is_closed() || (bid.made, bid.attempt) != (task.made, task.attempt),
                None => self.is_task_gone(look, &place.task),
            };
            look.gone.extend(over.then(|| Place::Bid(place.clone())));
        }
    }

    /// Whether a task that is not there was cleared away by its node.
    fn is_task_gone(&self, look: &mut Look<'_>, key: &TaskKey) -> bool {
        look.picture.node(&key.node).is_some() && self.is_settled(look, Thing::Task(key.clone()))
    }

    /// Claims of this node that nobody needs any more.
    pub(super) fn forgotten_claims(&self, claims: &Claims<'_>) -> Vec<Place> {
        let removals = self.forget_claims(claims).into_iter().filter_map(|edit| match edit {
            Edit::Remove(place) => Some(place),
            Edit::Put(_) => None,
        });
        removals.collect()
    }
}

/// Whether a statement is about the present attempt at a task.
fn is_of(said: &Statement, task: &Task) -> bool {
    (said.made, said.attempt) == (task.made, task.attempt)
}

/// How many bytes of texts there are in a task.
fn size(task: &Task) -> usize {
    let came = task.closed.as_ref().map_or(0, |closed| length(&closed.note) + length(&closed.result));
    task.title.len() + length(&task.text) + length(&task.data) + came
}

fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
