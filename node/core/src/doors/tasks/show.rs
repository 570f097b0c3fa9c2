//! Tasks as the doors show them.

use std::collections::BTreeSet;

use fedp2p_crdt::task::{Counts, Said, Standing, bids, is_among};
use fedp2p_protocols::api::task;
use fedp2p_protocols::api::{Caller, Error, task_list};
use fedp2p_protocols::claim::Fence;
use fedp2p_protocols::name::TaskId;
use fedp2p_protocols::task::{Assignee, Task, TaskKey};
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::doors::page::page;

impl Core {
    pub(crate) fn show_task(&self, key: &TaskKey) -> Option<task::Task> {
        let standing = self.board().task(key)?;
        let mut shown = self.show_standing(&standing, &self.ambiguous_tasks());
        shown.text = standing.task.text.clone();
        shown.data = standing.task.data.as_ref().and_then(|data| serde_json::from_str(data).ok());
        let recorded = standing.task.closed.as_ref().and_then(|closed| closed.result.clone());
        shown.result = recorded.or_else(|| last(&standing, |said| said.statement.result.as_ref()));
        shown.statements = standing.said.iter().map(|said| self.show_statement(said)).collect();
        Some(shown)
    }

    /// A task without what lists leave out.
    fn show_standing(&self, standing: &Standing<'_>, ambiguous: &BTreeSet<TaskId>) -> task::Task {
        let (key, task) = (&standing.key, standing.task);
        let id = |key: &TaskKey| self.task_id(key, ambiguous);
        task::Task {
            id: id(key),
            by: self.address(&AgentId { node: key.node, name: task.by.clone() }),
            origin: self.members.origin(&key.node),
            title: task.title.clone(),
            text: None,
            data: None,
            state: standing.state,
            ready: self.is_free(standing),
            blocked: !standing.state.is_terminal() && standing.is_blocked(),
            priority: task.priority,
            to: match &task.to {
                Assignee::Anyone => task::Assignee::Anyone,
                Assignee::Role(role) => task::Assignee::Role(role.clone()),
                Assignee::Agent(agent) => task::Assignee::Agent(self.address(agent)),
            },
            after: standing
                .needs
                .iter()
                .map(|need| task::Need { id: id(&need.key), state: need.state, gone: need.gone, circle: need.circle })
                .collect(),
            due: task.due,
            revision: task.revision,
            attempt: task.attempt,
            made: task.made,
            holder: standing.holder.as_ref().map(|holder| task::Holder {
                agent: self.address(&holder.agent),
                fence: self.show_fence(holder.fence()),
                confirmed: holder.is_confirmed(),
                lapsed: self.has_run_out(&holder.claim),
            }),
            note: match &task.closed {
                Some(closed) => closed.note.clone(),
                None => last(standing, |said| said.statement.note.as_ref()),
            },
            result: None,
            statements: Vec::new(),
            offer: task.offer.as_ref().map(|_| self.show_offer(key, task)),
            canceled: task
                .canceled
                .as_ref()
                .map(|canceled| task::Cancellation { reason: canceled.reason.clone(), at: canceled.at }),
            closed: task.closed.as_ref().map(|closed| task::Closed {
                by: self.address(&AgentId { node: closed.fence.node, name: closed.by.clone() }),
                fence: self.show_fence(closed.fence),
                at: closed.at,
            }),
        }
    }

    fn show_statement(&self, said: &Said<'_>) -> task::Statement {
        let statement = said.statement;
        task::Statement {
            by: self.address(&said.by),
            fence: self.show_fence(said.fence),
            attempt: statement.attempt,
            state: statement.state,
            note: statement.note.clone(),
            result: statement.result.clone(),
            at: statement.at,
            counts: match said.counts {
                Counts::Yes => task::Counts::Yes,
                Counts::Stale => task::Counts::Stale,
                Counts::NotHeld => task::Counts::NotHeld,
                Counts::OtherAttempt => task::Counts::OtherAttempt,
                Counts::Illegal => task::Counts::Illegal,
            },
        }
    }

    fn show_offer(&self, key: &TaskKey, task: &Task) -> task::Offer {
        let picture = self.documents.picture(&self.lobby);
        let offer = task.offer.clone().expect("it is shown because there is one");
        let shown = bids(&picture, key, task).into_iter().map(|(agent, bid)| task::Bid {
            by: self.address(&agent),
            cost: bid.cost,
            reason: bid.reason.clone(),
            at: bid.at,
        });
        let award =
            offer.award.map(|award| task::Award { to: self.address(&award.to), reason: award.reason, at: award.at });
        task::Offer { until: offer.until, auto: offer.auto, bids: shown.collect(), award }
    }

    /// The number of a claim as people read it.
    pub(crate) fn show_fence(&self, fence: Fence) -> String {
        format!("{}@{}", fence.counter, self.members.display(&fence.node))
    }

    /// The id of a task, with its node where that is needed.
    pub(crate) fn task_id(&self, key: &TaskKey, ambiguous: &BTreeSet<TaskId>) -> String {
        if ambiguous.contains(&key.id) {
            format!("{}@{}", key.id, self.members.display(&key.node))
        } else {
            key.id.to_string()
        }
    }

    /// The ids that tasks of several nodes have.
    pub(crate) fn ambiguous_tasks(&self) -> BTreeSet<TaskId> {
        let picture = self.documents.picture(&self.lobby);
        let mut seen = BTreeSet::new();
        picture.tasks().map(|(key, _)| key.id).filter(|id| !seen.insert(id.clone())).collect()
    }

    pub(crate) fn task_list(&self, caller: &Caller, request: &task_list::Request) -> Result<task_list::Reply, Error> {
        let after =
            request.after.as_deref().map(|text| self.find_task(text)).transpose()?.map(|(_, standing)| standing);
        let agent = AgentId { node: self.me(), name: caller.name.clone() };
        let roles = self.roles_of(&agent);
        let board = self.board();
        let all = board.tasks();
        let wanted = |standing: &&Standing<'_>| {
            let over = standing.state.is_terminal();
            let state = match request.states.as_slice() {
                [] => request.all || !over,
                states => states.contains(&standing.state),
            };
            let may_take = may_take(standing.task, &agent, &roles);
            let holds = standing.holder.as_ref().is_some_and(|holder| holder.agent == agent);
            let later = after.as_ref().is_none_or(|after| standing.order() > after.order());
            let wanted =
                (!request.mine || may_take || holds) && (!request.ready || (may_take && self.is_free(standing)));
            state && later && wanted
        };
        let mut found: Vec<&Standing<'_>> = all.iter().filter(wanted).collect();
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        let ambiguous = self.ambiguous_tasks();
        let show = |standing: &Standing<'_>| Some(self.show_standing(standing, &ambiguous));
        let page = page(found, request.limit, show, |task| task.id.clone())?;
        Ok(task_list::Reply { tasks: page.rows, more: page.more, next: page.next })
    }
}

/// Whether an agent with these roles is among those who may take a task.
pub(crate) fn may_take(task: &Task, agent: &AgentId, roles: &[fedp2p_protocols::name::RoleName]) -> bool {
    is_among(&task.to, agent, |role| roles.contains(role))
}

/// The last that was said and counts of what `pick` picks.
fn last<'a>(standing: &Standing<'a>, pick: impl Fn(&Said<'a>) -> Option<&'a String>) -> Option<String> {
    standing.said.iter().rev().filter(|said| said.counts == Counts::Yes).find_map(pick).cloned()
}
